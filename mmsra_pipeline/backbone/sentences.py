"""Sentence embeddings: phi of eq. 1."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from sentence_transformers import SentenceTransformer

from mmsra_pipeline.backbone.embedded.packaged_weights import SENTENCES

ROWS: Final = 16
"""Texts of a batch, always: what rounding makes of a row depends on the shape of the batch that it is computed in."""
STEP: Final = 8
"""Tokens; a text is padded to the next multiple, so that texts of about the same length share a shape."""


class SentenceEncoder:
    """MiniLM-L6-v2, from the package that ships it."""

    dim = 384

    def __init__(self, device: str = "cpu") -> None:
        self._model = SentenceTransformer(
            str(SENTENCES.checked_path().parent), device=device, local_files_only=True, trust_remote_code=False
        )

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Return one unit vector per text, in float32. An empty text gives zeros: it has no direction.

        A vector depends on its text alone, to the last bit, not on the texts beside it: what is encoded one night after
        the other is what is encoded at once. Long texts are cut by the model after 256 tokens.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        spoken = [row for row, text in enumerate(texts) if text.strip()]
        if spoken:
            for rows, width in self._batches([texts[row] for row in spoken]):
                found = self._encoded([texts[spoken[row]] for row in rows], width)
                vectors[[spoken[row] for row in rows]] = found
        return vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], int]]:
        """Give up to ``ROWS`` rows of a like length at a time, and the tokens to pad them to."""
        longest = self._model.max_seq_length
        tokens = self._model.tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
        widths = np.array([min(longest, -(-len(own) // STEP) * STEP) for own in tokens])
        for width in np.unique(widths).tolist():
            rows = np.flatnonzero(widths == width).tolist()
            for start in range(0, len(rows), ROWS):
                yield rows[start : start + ROWS], width

    @torch.inference_mode()
    def _encoded(self, texts: list[str], width: int) -> Float[np.ndarray, "texts dim"]:
        full = texts + texts[-1:] * (ROWS - len(texts))
        tokens = self._model.tokenizer(
            full, padding="max_length", truncation=True, max_length=width, return_tensors="pt"
        ).to(self._model.device)
        vectors = self._model(dict(tokens))["sentence_embedding"][: len(texts)]
        found: np.ndarray = torch.nn.functional.normalize(vectors.float(), dim=1).cpu().numpy()
        return found
