"""Scores by what the model is shown: a list of candidates whose prompts did not change is not scored again."""

import json
from collections.abc import Sequence
from pathlib import Path

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.task_prompts import Parts, Picture
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.keyed_cache import KeyedCache

VERSION = 2  # raised when a backbone scores the same prompts otherwise


class KeptScores:
    """Scores by key over several scorings; where all went well, what none of them asked for is dropped at the end."""

    def __init__(self, file: Path | None) -> None:
        """``file``: of the cache; None: it is in memory alone."""
        self._cache = KeyedCache[str](file)
        self._asked: set[str] = set()

    def __enter__(self) -> "KeptScores":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._cache.keep(self._asked)
        self._cache.close()

    def get(self, key: str) -> list[tuple[float, float]] | None:
        """Return the (logit, mass) of a list's candidates, if they are known."""
        self._asked.add(key)
        text = self._cache.get(key)
        return None if text is None else unpacked(text)

    def put(self, key: str, scores: Sequence[tuple[float, float]]) -> None:
        """Keep the scores of a list."""
        self._cache.put({key: packed(scores)})


def list_key(prompts: Sequence[Parts], images: ItemImages | None, backbone: Backbone, *, autocast: bool | str) -> str:
    """Name all that the scores of a list depend on: words, pictures, weights and arithmetic.

    It is of the whole list because what is computed together rounds together: scores that are taken over are to the
    last bit those of a run that began from nothing.
    """
    contents = [[_content(part, images) for part in parts] for parts in prompts]
    return fingerprint(VERSION, contents, backbone.fingerprint, autocast)


def _content(part: str | Picture, images: ItemImages | None) -> str | list[str | None]:
    return part if isinstance(part, str) else [images.image_hash(part.item) if images else None]


def packed(scores: Sequence[tuple[float, float]]) -> str:
    """Return the (logit, mass) of a list's candidates as text, to the last bit."""
    return json.dumps(scores)


def unpacked(text: str) -> list[tuple[float, float]]:
    """Return what was packed."""
    return [(logit, mass) for logit, mass in json.loads(text)]
