"""Keywords that were written once are not written again: a cache by all that they depend on.

One file a batch of completions, put in place as a whole, so that a killed run keeps every batch that it finished.
Many small files are folded into one when the cache is opened. Where the root mirrors an object store each batch goes
there as well, and opening the cache brings what other machines wrote: a lost entry would cost a generation.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.mirror import NOTHING, Remote

FOLD_ABOVE = 50  # files


class KeywordCache:
    """Completions by key. Of a summarizer that is no longer used, entries stay: settings may be changed back."""

    def __init__(self, folder: Path, remote: Remote = NOTHING) -> None:
        """Read what was kept in ``folder``, and in the store behind it."""
        self._folder = folder
        self._remote = remote
        remote.exchange(folder)
        self._entries: dict[str, str] = {}
        while (files := self._read()) is None:
            pass
        if len(files) > FOLD_ABOVE:
            self._write(self._entries)
            kept = self._path(self._entries)
            for file in files:
                if file != kept:
                    remote.delete(file)
                    file.unlink(missing_ok=True)

    def get(self, key: str) -> str | None:
        """Return the completion stored under a key."""
        return self._entries.get(key)

    def put(self, completions: Mapping[str, str]) -> None:
        """Store completions by key, all of them or none."""
        self._entries |= completions
        self._write(dict(completions))

    def __len__(self) -> int:
        return len(self._entries)

    def _read(self) -> list[Path] | None:
        """Read all files and give them; None if another process has folded them meanwhile into one that is new."""
        files = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        try:
            for file in files:
                self._entries |= json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return files

    def _write(self, entries: dict[str, str]) -> None:
        if entries:
            path = self._path(entries)
            write_atomically(path, json.dumps(entries, ensure_ascii=False).encode())
            self._remote.push(path)

    def _path(self, entries: Mapping[str, str]) -> Path:
        return self._folder / f"{fingerprint(sorted(entries.items()))}.json"


def cache_key(*, image_sha256: str | None, text: str, prompt_version: int, settings: object, summarizer: str) -> str:
    """Name all that a completion depends on: picture, text, prompt, settings of generation, weights."""
    return fingerprint(image_sha256, text, prompt_version, settings, summarizer)
