"""Sentence embeddings: phi of eq. 1."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from sentence_transformers import SentenceTransformer

from mmsra_pipeline.backbone.embedded.packaged_weights import SENTENCES


class SentenceEncoder:
    """MiniLM-L6-v2, from the package that ships it."""

    dim = 384

    def __init__(self, device: str = "cpu") -> None:
        self._model = SentenceTransformer(
            str(SENTENCES.checked_path().parent), device=device, local_files_only=True, trust_remote_code=False
        )

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Float[np.ndarray, "texts dim"]:
        """Return one unit vector per text, in float32. An empty text gives zeros: it has no direction.

        Long texts are cut by the model after 256 tokens.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        spoken = [row for row, text in enumerate(texts) if text.strip()]
        if spoken:
            vectors[spoken] = self._model.encode(
                [texts[row] for row in spoken],
                batch_size=batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return vectors
