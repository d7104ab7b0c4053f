"""Keywords that were written once are not written again: a cache by all that they depend on.

One file a batch of completions, put in place as a whole, so that a killed run keeps every batch that it finished.
Many small files are folded into one when the cache is opened.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from mmsra_pipeline.artifacts import fingerprint
from mmsra_pipeline.files import write_atomically

FOLD_ABOVE = 50  # files


class KeywordCache:
    """Completions by key. Of a summarizer that is no longer used, entries stay: settings may be changed back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, str] = {}
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
        for file in files:
            self._entries |= json.loads(file.read_text(encoding="utf-8"))
        if len(files) > FOLD_ABOVE:
            self._write(self._entries)
            kept = self._path(self._entries)
            for file in files:
                if file != kept:
                    file.unlink(missing_ok=True)

    def get(self, key: str) -> str | None:
        """Give the completion stored under a key."""
        return self._entries.get(key)

    def put(self, completions: Mapping[str, str]) -> None:
        """Store completions by key, all of them or none."""
        self._entries |= completions
        self._write(dict(completions))

    def __len__(self) -> int:
        return len(self._entries)

    def _write(self, entries: dict[str, str]) -> None:
        if entries:
            write_atomically(self._path(entries), json.dumps(entries, ensure_ascii=False).encode())

    def _path(self, entries: Mapping[str, str]) -> Path:
        return self._folder / f"{fingerprint(sorted(entries.items()))}.json"


def cache_key(*, image_sha256: str | None, text: str, prompt_version: int, settings: object, summarizer: str) -> str:
    """Name all that a completion depends on: picture, text, prompt, settings of generation, weights."""
    return fingerprint(image_sha256, text, prompt_version, settings, summarizer)
