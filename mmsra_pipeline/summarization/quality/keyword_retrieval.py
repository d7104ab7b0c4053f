"""Whether keywords find their item: its text's place among all texts, by the likeness of embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mmsra_pipeline.summarization.pseudo import pseudo_keywords

EQUAL = 1e-6
"""Cosines closer than this are equal: float32 sums differ by that much with the place of a row in a product."""
CELLS = 4_000_000  # cosines held at once


@dataclass(frozen=True)
class Places:
    """Where each item's own text stands in its list of all texts. nan where the item has no text."""

    before: Float[np.ndarray, " items"]
    """Texts that are more like the keywords than the own one."""
    tied: Float[np.ndarray, " items"]
    """Other texts that are as like them."""

    @property
    def rank(self) -> Float[np.ndarray, " items"]:
        """The expected rank under a random order of equal texts, from 1."""
        return 1 + self.before + self.tied / 2

    def hits(self, k: int) -> Float[np.ndarray, " items"]:
        """Return the probability, under a random order of equal texts, that the own text is among the first ``k``."""
        found: np.ndarray = np.clip((k - self.before) / (self.tied + 1), 0.0, 1.0)
        return found


def places(
    keywords: Float[np.ndarray, "items dim"],
    texts: Float[np.ndarray, "catalogue dim"],
    own: Sequence[int | None],
    *,
    cells: int = CELLS,
) -> Places:
    """Return the place of each item's own text among all texts.

    Args:
        keywords: unit-length embeddings of each item's keywords. A zero row (no keyword) is like no text more than
            another, so its rank is that of a guess.
        texts: unit-length embeddings of the texts of the catalogue. A zero row (no text) is in no list.
        own: the row of ``texts`` that is each item's own.
        cells: cosines that are held at once; bounds the memory.
    """
    said = np.asarray(texts.any(axis=1))
    listed = texts[said]
    row_of = np.cumsum(said) - 1  # of a text in ``listed``
    asked = [place for place, row in enumerate(own) if row is not None and said[row]]
    before, tied = np.full(len(own), np.nan), np.full(len(own), np.nan)
    step = max(1, cells // max(len(listed), 1))
    for start in range(0, len(asked), step):
        part = asked[start : start + step]
        cosines = keywords[part] @ listed.T
        mine = cosines[np.arange(len(part)), [row_of[own[place]] for place in part]][:, None]
        before[part] = (cosines > mine + EQUAL).sum(axis=1)
        tied[part] = (np.abs(cosines - mine) <= EQUAL).sum(axis=1) - 1
    return Places(before, tied)


def as_many_extractive(texts: Sequence[str], own: Sequence[int], counts: Sequence[int]) -> list[list[str]]:
    """Return as many words of high TF-IDF of each item's text as it has keywords of its text, for a fair comparison.

    Ten words of a text find it again more often than four do, however they were chosen.

    Args:
        texts: of the whole catalogue.
        own: the row of ``texts`` that is each item's own.
        counts: keywords of each item; one at least is given.

    >>> as_many_extractive(["Red mug. A mug for tea", "A blue mug", "A tea bowl"], [0, 0, 2], [1, 2, 0])
    [['mug'], ['red mug', 'tea'], ['tea bowl']]
    """
    wanted = [max(count, 1) for count in counts]
    found = {count: pseudo_keywords(texts, count=count) for count in sorted(set(wanted))}
    return [found[count][row] for row, count in zip(own, wanted, strict=True)]
