"""What a night must compute, known from the source alone, and what it computed."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pandas as pd
from endurance.counting import KEYWORDS, PICTURES
from endurance.source import Content, Source

from mmsra_pipeline.columns import ITEM, Tables
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.summarization.writing import draft_sample

OF_REVIEWS = {Tables.SEQUENCES, Tables.SIMILAR_USERS, Tables.COOCCURRENCE_NEIGHBORS}
"""What no text and no picture can change."""


@dataclass(frozen=True)
class State:
    """What the source held when a refresh had ended."""

    reviews: str
    contents: dict[str, Content]
    pictures: list[str]

    @classmethod
    def of(cls, source: Source) -> "State":
        """Read it."""
        return cls(source.reviewed(), source.contents(), source.pictures())


class Expectation:
    """Remembers what was written and seen, and says what is new."""

    def __init__(self, source: Source, drafts: int, seed: int) -> None:
        self.last = State.of(source)
        self._drafts = drafts
        self._seed = seed
        self._written = set(self.last.contents.values())
        self._drafted = self._sample(self.last)

    def judge(
        self, now: State, counted: Counter[str], computed: Collection[str], *, tries: int, batch: int
    ) -> list[str]:
        """Say what was computed that need not be, or was not and should, and remember ``now``.

        Args:
            now: what the source holds.
            counted: what was counted over the whole night.
            computed: assets that were computed, as often as they were.
            tries: refreshes that it took; each that was stopped may have lost one batch of keywords, and all pictures.
            batch: items whose keywords are kept together.
        """
        return list(self._judged(now, counted, computed, tries - 1, batch))

    def _judged(
        self, now: State, counted: Counter[str], computed: Collection[str], stopped: int, batch: int
    ) -> Iterator[str]:
        drafted = self._sample(now)
        keywords = len(set(now.contents.values()) - self._written) + len(drafted - self._drafted)
        pictures = sum(picture not in set(self.last.pictures) for picture in now.pictures)
        yield from _compared(KEYWORDS, counted[KEYWORDS], keywords, keywords + stopped * batch)
        yield from _compared(PICTURES, counted[PICTURES], pictures, pictures * (1 + stopped))
        often = Counter(computed)
        yield from (f"training {asset} was materialized" for asset in COSTLY if asset in often)
        if not stopped:
            yield from (f"{asset} was materialized {times} times" for asset, times in often.items() if times > 1)
        if now.reviews == self.last.reviews:
            yield from (f"{asset} was materialized, but no review is new" for asset in sorted(OF_REVIEWS & set(often)))
        if now == self.last:
            yield from (f"{asset} was materialized, but nothing has changed" for asset in often)
        self._written |= set(now.contents.values())
        self._drafted |= drafted
        self.last = now

    def _sample(self, state: State) -> set[Content]:
        sample = draft_sample(pd.DataFrame({ITEM: sorted(state.contents)}), self._drafts, self._seed)
        return {state.contents[item] for item in sample[ITEM]}


def _compared(what: str, found: int, least: int, most: int) -> Iterator[str]:
    if not least <= found <= most:
        yield f"{what}: {found}, but {least}{f' to {most}' if most > least else ''} were needed"
