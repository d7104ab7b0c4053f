"""Sentence embeddings that were computed once are not computed again: a cache by text.

One file a batch of texts, put in place as a whole, as with keywords.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mmsra_pipeline.backbone.embedded.packaged_weights import SENTENCES
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import content_hash, fingerprint

if TYPE_CHECKING:
    from mmsra_pipeline.backbone.sentences import SentenceEncoder


def sentence_encoder() -> "SentenceEncoder":
    """Load the model. Its libraries take seconds to import, so that is done only where it is needed."""
    from mmsra_pipeline.backbone.sentences import SentenceEncoder

    return SentenceEncoder()


class SentenceCache:
    """Gives what ``SentenceEncoder`` gives. The model is loaded only for texts that are new."""

    def __init__(self, folder: Path, load: "Callable[[], SentenceEncoder]" = sentence_encoder) -> None:
        """Read what was kept in ``folder``; ``load`` gives the model."""
        self._folder = folder
        self._load = load
        self._vectors: dict[str, np.ndarray] = {}
        for file in sorted(folder.glob("*.npz")) if folder.is_dir() else []:
            with np.load(file, allow_pickle=False) as kept:
                self._vectors |= dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Return one unit vector per text, in float32; zeros for an empty one. ``texts`` has one at least."""
        keys = [_key(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}
        if new:
            self._keep(list(new), self._load().encode(list(new.values())))
        return np.stack([self._vectors[key] for key in keys])

    def _keep(self, keys: list[str], vectors: np.ndarray) -> None:
        self._vectors |= dict(zip(keys, vectors, strict=True))
        content = io.BytesIO()
        np.savez(content, keys=np.array(keys), vectors=vectors.astype(np.float32))
        write_atomically(self._folder / f"{fingerprint(keys)}.npz", content.getvalue())


def _key(text: str) -> str:
    return content_hash(f"{SENTENCES.sha256}\0{text}".encode())
