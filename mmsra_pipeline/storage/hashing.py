"""Every hash of the package: of bytes, files, folders and values, and numbers that are drawn by a hash.

Versions of tables and artifacts, keys of caches and splits are made of these, so what a function returns never changes:
a change would make all that is stored look stale. `tests/storage/test_hashing.py` pins one value of each.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

READ_AT_ONCE: Final = 1 << 20


class Digest(Protocol):
    """A hash of what came so far."""

    def update(self, data: bytes, /) -> None:
        """Go on with these bytes."""

    def hexdigest(self) -> str:
        """Return it in hexadecimal; it may go on afterwards."""


def fingerprint(*parts: object) -> str:
    """Short hash of a sequence of strings, numbers and JSON-like values, for naming work and cache keys."""
    return content_hash(json.dumps(parts, sort_keys=True, default=str).encode())[:16]


def content_hash(content: bytes) -> str:
    """Sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def joined_hash(pieces: Iterable[bytes]) -> str:
    """Sha256 of pieces one behind the other, in hexadecimal. They are never in memory together."""
    digest = running_hash()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def running_hash(start: bytes = b"") -> Digest:
    """Return a sha256 that goes on with ``update``, for what comes piece by piece from elsewhere."""
    return hashlib.sha256(start)


def file_hash(path: Path) -> str:
    """Sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def beginning_hash(path: Path, size: int) -> str | None:
    """Sha256 of the first ``size`` bytes of a file, in hexadecimal; None if it has fewer."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as handle:
        while left and (piece := handle.read(min(left, READ_AT_ONCE))):
            digest.update(piece)
            left -= len(piece)
    return None if left else digest.hexdigest()


def folder_hash(folder: Path) -> str:
    """Sha256 over names and bytes of all files below a folder, in hexadecimal."""
    files = sorted(item for item in folder.rglob("*") if item.is_file())
    return joined_hash(f"{path.relative_to(folder).as_posix()}\0{file_hash(path)}\n".encode() for path in files)


def short_hash(content: bytes, size: int) -> bytes:
    """Blake2b of bytes, of ``size`` bytes: faster than sha256, for keys in memory and draws."""
    return hashlib.blake2b(content, digest_size=size).digest()


def drawn_number(*names: object) -> int:
    """Return a number from 0 to 2^64 - 1 that looks random and is always the same for the same names."""
    return int(content_hash("\0".join(str(name) for name in names).encode())[:16], 16)
