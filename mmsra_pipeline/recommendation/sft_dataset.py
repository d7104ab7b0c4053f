"""Training examples of four tasks, and validation queries, as prompts with answers.

A query with its candidates is one example: the positive first, then its negatives. All that a prompt says is as of the
query's time.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TARGET, TRAIN, USER, VALIDATION
from mmsra_pipeline.config.tree import SLOTS, STATED, RecommendationConfig, Slot
from mmsra_pipeline.interactions.query_sampling import (
    CHOOSE,
    ITEM_KEYWORDS,
    NEXT_KEYWORDS,
    YES_NO,
    asked_of,
    task_counts,
)
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.columns import class_column
from mmsra_pipeline.recommendation.context import PromptContext
from mmsra_pipeline.recommendation.evidence import BLANK
from mmsra_pipeline.recommendation.evidence_model import fit_evidence
from mmsra_pipeline.recommendation.negatives import NegativeSampler, by_query, interacted_items, share_of_new
from mmsra_pipeline.recommendation.queries import Query, queries_of
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.retrieval.first_stage import FirstStage

COLUMNS = ["example_id", "task", SPLIT, USER, POSITION, "prompts", "answers", "items", "classes"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """Prompts with their answers, one but for the task yes/no, where each candidate of the query has one.

    ``items`` are the candidates, the positive first, or the item asked about; ``classes`` are those of the candidates'
    signals as they are, though a prompt may leave some blank.
    """

    task: str
    split: str
    query: Query | None
    prompts: list[task_prompts.Parts]
    answers: list[str]
    items: list[str]
    classes: list[list[int]]


def build_sft_dataset(
    sequences: pd.DataFrame,
    drawn: pd.DataFrame,
    training: pd.DataFrame,
    context: PromptContext,
    signals: SignalSource,
    first_stage: FirstStage | None,
    recommendation: RecommendationConfig,
    seed: int,
    interacted: Mapping[str, frozenset[str]] | None = None,
    unseen: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the table ``sft_dataset``: one row per example, with each prompt as a JSON list of parts.

    A yes/no example is what the user took next and ``list_negatives`` items (one where the objective is pointwise) that
    the user never took in any split. Where there are fewer training positions than asked for, they are used again with
    other negatives. Validation rows are yes/no alone, and no class is left blank in them.

    Args:
        sequences: the drawn queries; without ``interacted`` all, which say what is no negative.
        drawn: the table ``training_queries``.
        training: the interactions that training may see.
        context: what prompts show.
        signals: what evidence comes of. Where prompts have the slot 'all' its regression is fitted here.
        first_stage: where a share of the negatives comes from; may be None where that share is 0.
        recommendation: shares of tasks, number of examples, negatives.
        seed: of all draws.
        interacted: what each user of the drawn queries ever took.
        unseen: what anybody took outside of training; None: what of it is in ``interacted``.
    """
    queries, held = asked_of(sequences, drawn, TRAIN), asked_of(sequences, drawn, VALIDATION)
    rng = np.random.default_rng([seed, 2])
    shares, interacted = recommendation.negatives, interacted_items(sequences) if interacted is None else interacted
    users_of = {str(item): int(count) for item, count in training[ITEM].value_counts().items() if count}
    sampler = NegativeSampler(users_of, interacted, shares, vectors=signals.vectors, rng=rng, unseen=unseen)
    near: Mapping[tuple[str, int], list[str]] = {}
    if first_stage is not None and shares.first_stage:
        near = by_query(first_stage.candidates(pd.concat([queries, held]), shares.first_stage_top))
    new_shares = {
        TRAIN: share_of_new(users_of, queries[TARGET], own=1),
        VALIDATION: share_of_new(users_of, held[TARGET], own=0),
    }
    maker = _ExampleMaker(context, sampler, signals, near, new_shares, recommendation, rng)
    counts = task_counts(recommendation.examples, recommendation.tasks)
    pairs = list(zip(queries_of(queries), queries[TARGET].astype(str)))
    examples = maker.make(pairs, sorted(users_of), counts)
    number_of = {task: sum(example.task == task for example in examples) for task in counts}
    logger.info("examples by task: %s (asked for %s), of %d positions", number_of, counts, len(pairs))
    held_pairs = list(zip(queries_of(held), held[TARGET].astype(str)))
    return _table([*examples, *maker.lists(held_pairs, VALIDATION)])


def training_lists(sft_dataset: pd.DataFrame) -> pd.DataFrame:
    """Return a row per candidate of a training query: list_id, is_target, class_<slot>, as a regression reads them."""
    asked = sft_dataset.loc[(sft_dataset["task"] == YES_NO) & (sft_dataset[SPLIT] == TRAIN), "classes"]
    return _as_lists([np.array([list(own) for own in each], dtype=np.int64) for each in asked])


def _as_lists(classes: Sequence[np.ndarray]) -> pd.DataFrame:
    """Number lists whose first candidate is the positive."""
    sizes = [len(own) for own in classes]
    lists = pd.DataFrame({"list_id": np.repeat(np.arange(len(sizes)), sizes)})
    lists["is_target"] = [place == 0 for size in sizes for place in range(size)]
    every = np.concatenate(classes) if classes else np.empty((0, len(SLOTS)), dtype=np.int64)
    lists[[class_column(slot) for slot in SLOTS]] = every
    return lists


@dataclass(frozen=True)
class _ExampleMaker:
    context: PromptContext
    negatives: NegativeSampler
    signals: SignalSource
    near: Mapping[tuple[str, int], Sequence[str]]
    new_shares: Mapping[str, float]
    """By split: of positives that no other user took."""
    config: RecommendationConfig
    rng: np.random.Generator

    def make(self, pairs: list[tuple[Query, str]], items: list[str], counts: Mapping[str, int]) -> list[Example]:
        """Return examples of all tasks; ``pairs`` are queries with what came next."""
        endless = itertools.cycle([pairs[place] for place in self.rng.permutation(len(pairs))])
        drawn = self._draw(list(itertools.islice(endless, counts[YES_NO])), self._negatives(), TRAIN)
        self._fit_evidence(drawn)
        examples = self._said(drawn, TRAIN)
        examples += self.choose(list(itertools.islice(endless, counts[CHOOSE])))
        for query, target in itertools.islice(endless, counts[NEXT_KEYWORDS]):
            examples += self.next_keywords(query, target)
        return examples + self.item_keywords(items, counts[ITEM_KEYWORDS])

    def lists(self, pairs: list[tuple[Query, str]], split: str) -> list[Example]:
        """Return the yes/no examples of queries with what came next."""
        return self._said(self._draw(pairs, self._negatives(), split), split)

    def _negatives(self) -> int:
        return 1 if self.config.objective == "pointwise" else self.config.list_negatives

    def _fit_evidence(self, drawn: list[tuple[Query, list[str]]]) -> None:
        """Fit what the slot 'all' sums up by, on the training lists as they are drawn."""
        if "all" not in self.context.config.evidence or not drawn:
            return
        self.signals.evidence = None
        slots: list[Slot] = [slot for slot in self.context.config.evidence if slot != "all"]
        if not slots:  # where it stands alone, it sums up what is not shown
            slots = list(STATED)
        found = self.signals.of([query for query, _ in drawn], [items for _, items in drawn], training=True)
        self.signals.evidence = fit_evidence(_as_lists([signals.classes for signals in found]), slots)

    def _said(self, drawn: list[tuple[Query, list[str]]], split: str) -> list[Example]:
        examples = []
        for query, items, classes in self._with_classes(drawn, split):
            said = self._blanked(classes) if split == TRAIN else classes
            asked = task_prompts.yes_no_prompts(self.context, query, items, said.tolist())
            answers = [task_prompts.YES, *[task_prompts.NO] * (len(items) - 1)]
            examples.append(Example(YES_NO, split, query, asked, answers, items, classes.tolist()))
        return examples

    def choose(self, pairs: list[tuple[Query, str]]) -> list[Example]:
        """Return the examples that ask for one of several candidates."""
        examples = []
        for query, items, classes in self._with_classes(self._draw(pairs, self.config.options - 1, TRAIN), TRAIN):
            order = self.rng.permutation(len(items))
            letter = ascii_uppercase[int(np.flatnonzero(order == 0)[0])]
            options, said = [items[place] for place in order], self._blanked(classes)[order]
            asked = task_prompts.choose_prompt(self.context, query, options, said.tolist())
            examples.append(Example(CHOOSE, TRAIN, query, [asked], [letter], [items[0]], []))
        return examples

    def next_keywords(self, query: Query, target: str) -> Iterator[Example]:
        answer = task_prompts.keyword_answer(self.context, target)
        if answer:
            asked = task_prompts.next_keywords_prompt(self.context, query)
            yield Example(NEXT_KEYWORDS, TRAIN, query, [asked], [answer], [target], [])

    def item_keywords(self, items: list[str], number: int) -> list[Example]:
        described = [item for item in items if task_prompts.keyword_answer(self.context, item)]
        if not described:
            return []
        rounds = -(-number // len(described))
        order = [described[place] for _ in range(rounds) for place in self.rng.permutation(len(described))]
        return [
            Example(
                ITEM_KEYWORDS,
                TRAIN,
                None,
                [task_prompts.item_keywords_prompt(self.context, item)],
                [task_prompts.keyword_answer(self.context, item)],
                [item],
                [],
            )
            for item in order[:number]
        ]

    def _draw(self, pairs: list[tuple[Query, str]], number: int, split: str) -> list[tuple[Query, list[str]]]:
        """Return each query with its positive and negatives; none of a user who took all there is."""
        lists = []
        for query, target in pairs:
            near = self.near.get((query.user, query.position), ())
            new = self.new_shares[split]
            drawn = self.negatives.draw(query.user, number, target=target, first_stage=near, new_share=new)
            if drawn:
                lists.append((query, [target, *drawn]))
        return lists

    def _with_classes(
        self, drawn: list[tuple[Query, list[str]]], split: str
    ) -> Iterator[tuple[Query, list[str], np.ndarray]]:
        """Return the lists with the classes of their candidates."""
        found = self.signals.of([query for query, _ in drawn], [items for _, items in drawn], training=split == TRAIN)
        for (query, items), signals in zip(drawn, found, strict=True):
            yield query, items, signals.classes

    def _blanked(self, classes: np.ndarray) -> np.ndarray:
        """Leave a share of the classes of a list blank: a slot for all its candidates, or for none."""
        drawn = np.asarray(self.rng.random(classes.shape[1]))
        return np.where(drawn[None, :] < self.config.evidence_dropout, BLANK, classes)


def _table(examples: list[Example]) -> pd.DataFrame:
    rows = [
        {
            "example_id": number,
            "task": example.task,
            SPLIT: example.split,
            USER: example.query.user if example.query else None,
            POSITION: example.query.position if example.query else None,
            "prompts": [task_prompts.to_json(parts) for parts in example.prompts],
            "answers": example.answers,
            "items": example.items,
            "classes": example.classes,
        }
        for number, example in enumerate(examples)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"example_id": "int64", POSITION: "Int64"})
