"""Scores by what the model is shown: a list of candidates whose prompts did not change is not scored again."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.task_prompts import Parts, Picture
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import fingerprint

VERSION = 2  # raised when a backbone scores the same prompts otherwise


def list_key(prompts: Sequence[Parts], images: ItemImages | None, backbone: Backbone, *, autocast: bool | str) -> str:
    """Name all that the scores of a list depend on: words, pictures, weights and arithmetic.

    It is of the whole list because what is computed together rounds together: scores that are taken over are to the
    last bit those of a run that began from nothing.
    """
    shown = [[_shown(part, images) for part in parts] for parts in prompts]
    return fingerprint(VERSION, shown, backbone.fingerprint, autocast)


def _shown(part: str | Picture, images: ItemImages | None) -> str | list[str | None]:
    return part if isinstance(part, str) else [images.image_hash(part.item) if images else None]


class ScoreCache:
    """Lists of (logit, mass) by :func:`list_key`, added to a file one by one where there is one.

    A run that was stopped goes on; a later run takes over what did not change. A file that is lost costs the scoring.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lists: dict[str, list[tuple[float, float]]] = {}
        self._lines = 0  # of the file
        if file and file.exists():
            whole, _, torn = file.read_text(encoding="utf-8").rpartition("\n")
            if torn:  # a kill tore the last line
                write_atomically(file, (whole + "\n" if whole else "").encode())
            lines = [json.loads(line) for line in whole.splitlines()]
            self._lines = len(lines)
            self._lists = {key: [tuple(one) for one in scores] for key, scores in lines if _is_list(scores)}

    def get(self, key: str) -> list[tuple[float, float]] | None:
        """Return the scores of a list, if they are known."""
        return self._lists.get(key)

    def add(self, key: str, scores: list[tuple[float, float]]) -> None:
        """Remember the scores of a list."""
        self._lists[key] = scores
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps([key, scores]) + "\n")
            self._lines += 1

    def keep(self, keys: Iterable[str]) -> None:
        """Forget all other lists, so that the file stays as large as what is asked for."""
        kept = {key: self._lists[key] for key in keys}
        if self._file and len(kept) < self._lines:
            lines = (json.dumps([key, scores]) + "\n" for key, scores in kept.items())
            write_atomically(self._file, "".join(lines).encode())
            self._lines = len(kept)
        self._lists = kept


def _is_list(scores: list[object]) -> bool:
    """Whether an entry is of this version's form; older files hold one number a candidate."""
    return all(isinstance(one, list) for one in scores)
