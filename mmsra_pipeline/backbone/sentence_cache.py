"""Sentence embeddings that were computed once are not computed again: a cache by text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mmsra_pipeline.backbone.embedded.packaged_weights import SENTENCES
from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.storage.keyed_cache import KeyedCache

ROUNDING = 2
"""Raised where the last bits of vectors change."""

if TYPE_CHECKING:
    from mmsra_pipeline.backbone.sentences import SentenceEncoder


def sentence_encoder() -> "SentenceEncoder":
    """Load the model. Its libraries take seconds to import, so that is done only where it is needed."""
    from mmsra_pipeline.backbone.sentences import SentenceEncoder

    return SentenceEncoder()


class SentenceCache:
    """Gives what ``SentenceEncoder`` gives. The model is loaded only for texts that are new."""

    def __init__(self, path: Path, load: "Callable[[], SentenceEncoder]" = sentence_encoder) -> None:
        """Keep vectors in the cache at ``path``; ``load`` gives the model."""
        self._kept = KeyedCache[bytes](path)
        self._load = load

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Return one unit vector per text, in float32; zeros for an empty one. ``texts`` has one at least."""
        keys = [_key(text) for text in texts]
        known = self._kept.find(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            vectors = self._load().encode(list(new.values())).astype(np.float32)
            computed = {key: vector.tobytes() for key, vector in zip(new, vectors, strict=True)}
            self._kept.put(computed)
            known |= computed
        return np.stack([np.frombuffer(known[key], np.float32) for key in keys])


def _key(text: str) -> str:
    return content_hash(f"{SENTENCES.sha256}\0{ROUNDING}\0{text}".encode())
