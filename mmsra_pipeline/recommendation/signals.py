"""What is known of a candidate for one query beside its words and picture: eight signals, each a rank in the catalogue.

All are as of the query's time and without the user's own later events: a training positive must see what a test
positive would see. The sequential model answers training queries out of fold.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import ITEM, POSITION, RANK, SCORE, USER
from mmsra_pipeline.config.tree import SLOTS, STATED
from mmsra_pipeline.recommendation.catalogue_classes import Ordered
from mmsra_pipeline.recommendation.evidence_model import EvidenceModel
from mmsra_pipeline.recommendation.keyword_affinity import KeywordAffinity
from mmsra_pipeline.recommendation.queries import Query
from mmsra_pipeline.retrieval.cooccurrence.index import WINDOW, CooccurrenceIndex
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

RECENT = 10  # items of the history that likeness looks at
DIGITS = 6  # of likeness: below them is rounding, which would order what is equally like
ALL: Final = SLOTS.index("all")
TOGETHER = 256  # queries whose catalogue scores are held at once


class Signals(NamedTuple):
    """The signals of the candidates of one query; columns in the order of ``config.SLOTS``."""

    raw: Float[np.ndarray, "items slots"]
    """Higher speaks more for the candidate; nan: nothing is known. ``popularity`` is the number of users."""
    classes: Int[np.ndarray, "items slots"]
    """9: among the best of the catalogue, 1: the last quarter, 0: nothing is known. See ``catalogue_classes``."""


class SignalSource:
    """Answers for queries and candidates.

    The catalogue that candidates are ranked in are the items of the training interactions.
    """

    def __init__(
        self,
        cooccurrence: CooccurrenceIndex,
        encoder: FoldedEncoder,
        similar_users: pd.DataFrame,
        *,
        keywords: Mapping[str, Sequence[str]],
        vectors: Mapping[str, Float[np.ndarray, " dim"]],
        evidence: EvidenceModel | None = None,
    ) -> None:
        """Bind what signals come of.

        Args:
            cooccurrence: of the interactions that training may see, within ``WINDOW`` at least.
            encoder: the sequential model, with its folds.
            similar_users: the voters of the queries that will be asked.
            keywords: of each item.
            vectors: sentence vectors of text and keywords, of each item that has any; of length 1.
            evidence: sums up the others in the slot 'all'. None: nothing is known of it.
        """
        self.evidence = evidence
        self._soon, self._next = cooccurrence.within(WINDOW), cooccurrence.within(1)
        self._encoder = encoder
        self._items = self._soon.items
        self._place = {item: place for place, item in enumerate(self._items)}
        self._of_encoder = pd.Index(encoder.full.items).get_indexer(pd.Index(self._items))
        self._keywords, self._vectors = keywords, vectors
        self._affinity = KeywordAffinity(keywords, self._items)
        self._known = np.array([item in vectors for item in self._items], dtype=bool)
        dim = len(next(iter(vectors.values()))) if vectors else 1
        self._matrix = np.stack([vectors.get(item, np.zeros(dim)) for item in self._items]).astype(np.float32)
        self._votes = votes_of(similar_users)

    @property
    def vectors(self) -> Mapping[str, Float[np.ndarray, " dim"]]:
        """Sentence vectors of text and keywords, by item."""
        return self._vectors

    def asked_about(self, similar_users: pd.DataFrame) -> "SignalSource":
        """Return the same with the voters of other queries."""
        other = copy.copy(self)
        other._votes = votes_of(similar_users)
        return other

    def of(self, queries: Sequence[Query], candidates: Sequence[Sequence[str]], *, training: bool) -> Iterator[Signals]:
        """Return the signals of each query's candidates, in order.

        ``training``: the queries are training positions, which the encoder of their user's fold answers.
        """
        for start in range(0, len(queries), TOGETHER):
            part = queries[start : start + TOGETHER]
            scores = self._encoder.scores_by_query(
                [query.user for query in part],
                [list(query.history) for query in part],
                np.full(len(part), training),
            )
            for query, row, items in zip(part, scores, candidates[start : start + TOGETHER], strict=True):
                yield self._one(query, row, items)

    def _one(self, query: Query, sequence: np.ndarray, items: Sequence[str]) -> Signals:
        places = np.array([self._place.get(item, -1) for item in items], dtype=np.int64)
        # An encoder knows an item only by users who took it. Of one that the user alone took it knows nothing, as of a
        # later positive that nobody took yet: else "unknown" would stand at negatives alone, and speak against the new.
        others = self._soon.counts(before=None, exclude_user=query.user) > 0
        known = np.where(others & (self._of_encoder >= 0), sequence[self._of_encoder], np.nan)
        ranked = {
            "sequence": known if sequence.any() else None,  # all 0: the encoder knows no item of the history
            **interaction_signals(self._soon, self._next, self._votes, query, self._place),
        }
        found = {
            slot: (np.where(places >= 0, every[places], np.nan), every)
            for slot, every in ranked.items()
            if every is not None
        } | self._content(query, items, places)
        raw, classes = np.full((len(items), len(SLOTS)), np.nan), np.zeros((len(items), len(SLOTS)), dtype=np.int64)
        ordered = {slot: Ordered(every) for slot, (_, every) in found.items()}
        for slot, (own, _) in found.items():
            column = SLOTS.index(slot)
            raw[:, column], classes[:, column] = own, ordered[slot].classes_of(own)
        if self.evidence is not None:
            raw[:, ALL], classes[:, ALL] = self._summed_up(self.evidence, classes, ordered)
        raw[np.isnan(raw[:, SLOTS.index("popularity")]), SLOTS.index("popularity")] = 0.0
        return Signals(raw, classes)

    def _summed_up(
        self, evidence: EvidenceModel, classes: np.ndarray, ordered: Mapping[str, Ordered]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return score and class of the slot 'all': by the place of the sum of the others among the catalogue's."""
        nothing = np.zeros(len(self._items), dtype=np.int64)
        catalogue = {slot: ordered[slot].classes() if slot in ordered else nothing for slot in STATED}
        own = evidence.of_classes({slot: classes[:, SLOTS.index(slot)] for slot in STATED})
        return own, Ordered(evidence.of_classes(catalogue)).classes_of(own)

    def _content(
        self, query: Query, items: Sequence[str], places: np.ndarray
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return each signal of content for the candidates and for the catalogue: they need no other user.

        An item of the catalogue has the value that it has there to the last bit: products round otherwise with the
        number of rows, and the rank would depend on the list.
        """
        recent = [self._vectors[item] for item in query.history[-RECENT:] if item in self._vectors]
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        if recent:
            history = np.stack(recent).astype(np.float32).T
            like = np.round(self._matrix @ history, DIGITS)
            cold = {item for item, at in zip(items, places) if at < 0 and item in self._vectors}
            new = {item: np.round(self._vectors[item].astype(np.float32) @ history, DIGITS) for item in cold}
            for slot, reduced in (("taste", np.mean), ("nearest", np.max)):
                every = np.where(self._known, reduced(like, axis=1), np.nan)
                own = [every[at] if at >= 0 else reduced(new.get(item, np.nan)) for item, at in zip(items, places)]
                found[slot] = (np.array(own, dtype=np.float64), every)
        if any(self._keywords.get(item) for item in query.history):
            found["keywords"] = self._affinity.of(query.history, items)
        return found


def interaction_signals(
    soon: CooccurrenceIndex,
    following: CooccurrenceIndex,
    votes: Mapping[tuple[str, int], Mapping[str, float]],
    query: Query,
    place: Mapping[str, int],
) -> dict[str, Float[np.ndarray, " catalogue"]]:
    """Return the signals that interactions of others give each item of the catalogue; nan: nothing is known.

    Args:
        soon: co-occurrence within ``WINDOW``; its items are the catalogue.
        following: the same within one interaction.
        votes: of ``votes_of``.
        query: the moment.
        place: of each item in the catalogue.
    """
    voted = np.full(len(soon.items), np.nan)
    for item, weight in votes.get((query.user, query.position), {}).items():
        if item in place:
            voted[place[item]] = weight
    return {
        "cooccurrence": _positive(soon.score_all(list(query.history), query.before, query.user)),
        "next": _positive(following.score_all(list(query.history[-1:]), query.before, query.user)),
        "votes": voted,
        "popularity": _positive(soon.counts(before=query.before, exclude_user=query.user)),
    }


def _positive(values: np.ndarray) -> Float[np.ndarray, " items"]:
    return np.where(values > 0, values, np.nan)


def votes_of(similar_users: pd.DataFrame) -> dict[tuple[str, int], dict[str, float]]:
    """Give, by query, the summed cosines of the voters of each item."""
    votes: dict[tuple[str, int], dict[str, float]] = {}
    ordered = similar_users.sort_values([USER, POSITION, RANK], kind="stable")
    for user, position, item, cosine in zip(*(ordered[name] for name in (USER, POSITION, ITEM, SCORE))):
        own = votes.setdefault((str(user), int(position)), {})
        own[str(item)] = own.get(str(item), 0.0) + max(float(cosine), 0.0)
    return votes
