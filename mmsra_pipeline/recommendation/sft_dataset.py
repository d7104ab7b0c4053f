"""Training examples of the four instruction types (sec. 3.5), out of training positions only."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SPLIT, TARGET, TIME, TRAIN, USER
from mmsra_pipeline.config import RecommendationConfig, TaskWeights
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation import prompts
from mmsra_pipeline.recommendation.context import PromptContext, Query, prompt_context, queries_of
from mmsra_pipeline.recommendation.negatives import NegativeSampler, taken_items
from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex

YES_NO = "yes_no"
CHOOSE = "choose"
NEXT_KEYWORDS = "next_keywords"
ITEM_KEYWORDS = "item_keywords"
KEYWORD_TASKS = (NEXT_KEYWORDS, ITEM_KEYWORDS)
COLUMNS = ["example_id", "task", USER, POSITION, "prompt", "answer", ITEM]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One prompt with its answer. ``item`` is the candidate, or the item asked about; None where there is none."""

    task: str
    query: Query | None
    parts: prompts.Parts
    answer: str
    item: str | None


def task_counts(examples: int, weights: TaskWeights) -> dict[str, int]:
    """Share ``examples`` among the tasks; yes/no gets an even number and what rounding leaves.

    >>> task_counts(100, TaskWeights(yes_no=0.7, choose=0.1, next_keywords=0.1, item_keywords=0.1))
    {'yes_no': 70, 'choose': 10, 'next_keywords': 10, 'item_keywords': 10}
    """
    shares = weights.model_dump()
    total = sum(shares.values())
    counts = {task: int(examples * share / total) for task, share in shares.items()}
    counts[YES_NO] = 2 * ((examples - sum(counts.values()) + counts[YES_NO]) // 2)
    return counts


def training_queries(sequences: pd.DataFrame, config: RecommendationConfig, seed: int) -> pd.DataFrame:
    """Give the training rows of ``sequences`` that examples are made of, sorted by user and position.

    A random sample of as many as the examples need; positions with a history shorter than ``min_history``, or among
    the earliest ``early_share``, come in only if the others are too few.

    Raises:
        DataError: if there is no training row.
    """
    rng = np.random.default_rng([seed, 1])
    rows = sequences[sequences[SPLIT] == TRAIN].sort_values([USER, POSITION], kind="stable")
    if rows.empty:
        raise DataError(
            "table 'sequences' has no row of the split 'train', so there is nothing to learn from. Lower "
            "`interactions.user_core` and `interactions.item_core`, or give the dataset more interactions."
        )
    users = np.array(sorted(rows[USER].unique()), dtype=object)
    if config.training_users is not None and config.training_users < len(users):
        rows = rows[rows[USER].isin(rng.choice(users, config.training_users, replace=False))]
    counts = task_counts(config.examples, config.tasks)
    needed = counts[YES_NO] // 2 + counts[CHOOSE] + counts[NEXT_KEYWORDS]
    short = (rows[HISTORY].map(len) < config.min_history).to_numpy()
    order = np.lexsort((rng.random(len(rows)), short | _early(rows, config.early_share)))
    return rows.iloc[np.sort(order[:needed])].reset_index(drop=True)


def build_sft_dataset(
    sequences: pd.DataFrame,
    training: pd.DataFrame,
    keywords: pd.DataFrame,
    item_text: pd.DataFrame,
    similar_users: pd.DataFrame,
    index: CooccurrenceIndex,
    recommendation: RecommendationConfig,
    seed: int,
) -> pd.DataFrame:
    """Give the table ``sft_dataset``: one row per example, with the prompt as a JSON list of parts.

    Yes/no examples come in pairs: what the user took next, and an item that the user never took in any split. Where
    the data have fewer training positions than asked for, positions are used again with other negatives.

    Args:
        sequences: all splits; the held-out ones only say what is no negative.
        training: the interactions that training may see.
        keywords: ``item_keywords``.
        item_text: what prompts say of items.
        similar_users: rows for the queries of :func:`training_queries`.
        index: co-occurrence over ``training``.
        recommendation: shares of tasks, number of examples, what prompts show.
        seed: of all draws.
    """
    queries = training_queries(sequences, recommendation, seed)
    rng = np.random.default_rng([seed, 2])
    context = prompt_context(
        recommendation.prompt,
        keywords=keywords,
        item_text=item_text,
        similar_users=similar_users,
        index=index,
        training=training,
    )
    negatives = NegativeSampler(
        Counter(training[ITEM]),
        taken_items(sequences),
        popularity_share=recommendation.popularity_negatives,
        rng=rng,
    )
    maker = _ExampleMaker(context, negatives, recommendation.options, rng)
    counts = task_counts(recommendation.examples, recommendation.tasks)
    pairs = list(zip(queries_of(queries), queries[TARGET].astype(str)))
    examples = maker.make(pairs, sorted(training[ITEM].unique()), counts)
    made = {task: sum(example.task == task for example in examples) for task in counts}
    logger.info("examples by task: %s (asked for %s), of %d training positions", made, counts, len(pairs))
    return _table(examples)


def _early(rows: pd.DataFrame, share: float) -> np.ndarray:
    times = pd.to_numeric(rows[TIME]).astype("Int64")
    return np.asarray((times < times.quantile(share)).fillna(False), dtype=bool)


@dataclass(frozen=True)
class _ExampleMaker:
    context: PromptContext
    negatives: NegativeSampler
    options: int
    rng: np.random.Generator

    def make(self, pairs: list[tuple[Query, str]], items: list[str], counts: Mapping[str, int]) -> list[Example]:
        """Give examples of all tasks; ``pairs`` are queries with what came next."""
        endless = itertools.cycle([pairs[place] for place in self.rng.permutation(len(pairs))])
        examples: list[Example] = []
        for _ in range(counts[YES_NO] // 2):
            examples += self.yes_no(*next(endless))
        for _ in range(counts[CHOOSE]):
            examples += self.choose(*next(endless))
        for _ in range(counts[NEXT_KEYWORDS]):
            examples += self.next_keywords(*next(endless))
        return examples + self.item_keywords(items, counts[ITEM_KEYWORDS])

    def yes_no(self, query: Query, target: str) -> Iterator[Example]:
        for negative in self.negatives.draw(query.user, 1):
            for item, answer in ((target, prompts.YES), (negative, prompts.NO)):
                yield Example(YES_NO, query, prompts.yes_no_prompt(self.context, query, item), answer, item)

    def choose(self, query: Query, target: str) -> Iterator[Example]:
        items = [target, *self.negatives.draw(query.user, self.options - 1)]
        if len(items) < 2:
            return
        shown = [items[place] for place in self.rng.permutation(len(items))]
        letter = ascii_uppercase[shown.index(target)]
        yield Example(CHOOSE, query, prompts.choose_prompt(self.context, query, shown), letter, target)

    def next_keywords(self, query: Query, target: str) -> Iterator[Example]:
        answer = prompts.keyword_answer(self.context, target)
        if answer:
            yield Example(NEXT_KEYWORDS, query, prompts.next_keywords_prompt(self.context, query), answer, target)

    def item_keywords(self, items: list[str], number: int) -> list[Example]:
        described = [item for item in items if prompts.keyword_answer(self.context, item)]
        if not described:
            return []
        rounds = -(-number // len(described))
        order = [described[place] for _ in range(rounds) for place in self.rng.permutation(len(described))]
        return [
            Example(ITEM_KEYWORDS, None, prompts.item_keywords_prompt(self.context, item), answer, item)
            for item in order[:number]
            for answer in [prompts.keyword_answer(self.context, item)]
        ]


def _table(examples: list[Example]) -> pd.DataFrame:
    rows = [
        {
            "example_id": number,
            "task": example.task,
            USER: example.query.user if example.query else None,
            POSITION: example.query.position if example.query else None,
            "prompt": prompts.to_json(example.parts),
            "answer": example.answer,
            ITEM: example.item,
        }
        for number, example in enumerate(examples)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"example_id": "int64", POSITION: "Int64"})
