"""Items that nobody took yet, found by their keywords: the view of the first stage that knows no other user."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

PROFILE_ITEMS = 10  # the latest of a history, whose keywords make its profile
HISTORIES_TOGETHER = 512
Embed = Callable[[Sequence[str]], Float[np.ndarray, "texts dim"]]


class KeywordView:
    """Compares items with histories by the sentence embeddings of their keywords.

    A history's profile is the mean of the embeddings of its last items; an item fits as well as the cosine of both.
    Items without keywords say nothing and are never found.
    """

    def __init__(self, keywords: Mapping[str, Sequence[str]], embed: Embed) -> None:
        """Bind the keywords of items.

        Args:
            keywords: by item.
            embed: gives one unit vector per text, zeros for an empty one.
        """
        texts = {item: ", ".join(words) for item, words in keywords.items()}
        self._texts = {item: text for item, text in texts.items() if text.strip()}
        self._embed = embed

    def fitting(self, items: Sequence[str], histories: Sequence[Sequence[str]], count: int) -> list[list[str]]:
        """Give, for each history, the ``count`` of ``items`` that fit it best; equal ones by id.

        None for a history none of whose last items has keywords. An item that a history holds is not left out.
        """
        candidates = sorted(item for item in set(items) if item in self._texts)
        latest = [[item for item in history[-PROFILE_ITEMS:] if item in self._texts] for history in histories]
        if not candidates or not any(latest):
            return [[] for _ in latest]
        vectors = self._vectors([*candidates, *(item for history in latest for item in history)])
        known = np.stack([vectors[item] for item in candidates])
        found: list[list[str]] = []
        for start in range(0, len(latest), HISTORIES_TOGETHER):
            part = latest[start : start + HISTORIES_TOGETHER]
            profiles = np.stack([_mean([vectors[item] for item in history], known.shape[1]) for history in part])
            # The length of a profile changes no order among items, so it is left as it is.
            best = np.argsort(-(profiles @ known.T), axis=1, kind="stable")[:, :count]
            found += [[candidates[place] for place in row] if row_of else [] for row, row_of in zip(best, part)]
        return found

    def _vectors(self, items: Sequence[str]) -> dict[str, np.ndarray]:
        """Embed each text once, all in one call."""
        texts = sorted({self._texts[item] for item in items})
        vector = dict(zip(texts, self._embed(texts), strict=True))
        return {item: vector[self._texts[item]] for item in dict.fromkeys(items)}


def _mean(vectors: Sequence[np.ndarray], dim: int) -> Float[np.ndarray, " dim"]:
    return np.mean(vectors, axis=0) if vectors else np.zeros(dim)
