"""The user encoder: histories of item ids become vectors, and vectors score items (sec. 3.4)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import nn

from mmsra_pipeline.config import EncoderConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.files import write_atomically
from mmsra_pipeline.retrieval.gru4rec import Gru4Rec
from mmsra_pipeline.retrieval.sasrec import PADDING, SasRec

WEIGHTS = "model.safetensors"
DESCRIPTION = "encoder.json"
EMBED_BATCH = 512  # histories per forward pass
ARCHITECTURE = ("kind", "dim", "layers", "heads", "max_length")


def build_model(config: EncoderConfig, items: int) -> SasRec | Gru4Rec:
    """Give an untrained model for ``items`` item codes, 1 to ``items``."""
    if config.kind == "gru4rec":
        return Gru4Rec(items, dim=config.dim, layers=config.layers, dropout=config.dropout)
    return SasRec(
        items,
        dim=config.dim,
        layers=config.layers,
        heads=config.heads,
        dropout=config.dropout,
        max_length=config.max_length,
    )


class UserEncoder:
    """Embeds histories of item ids. ``items`` are the items it was trained on, in the order of ``score_all``.

    Items that it does not know are passed over in a history. A history without a known item has the zero vector,
    which is similar to nobody and scores all items alike.
    """

    def __init__(self, model: SasRec | Gru4Rec, items: Sequence[str], config: EncoderConfig) -> None:
        self.model = model.eval()
        self.items = list(items)
        self.config = config
        self._codes = {item: code for code, item in enumerate(self.items, start=1)}

    def embed(self, histories: Sequence[Sequence[str]]) -> Float[np.ndarray, "histories dim"]:
        """Give the vector e_u of each history (float32), oldest item first; only the last ``max_length`` items count.

        Equal histories have equal vectors, bit by bit.
        """
        known = [tuple(self._encoded(history)) for history in histories]
        distinct = sorted(set(known), key=lambda codes: (len(codes), codes))  # like lengths together: little padding
        row = {codes: index for index, codes in enumerate(distinct)}
        vectors = np.zeros((len(distinct), self.config.dim), dtype=np.float32)
        for start in range(0, len(distinct), EMBED_BATCH):
            vectors[start : start + EMBED_BATCH] = self._embed_codes(distinct[start : start + EMBED_BATCH])
        return vectors[[row[codes] for codes in known]]

    def score_all(self, histories: Sequence[Sequence[str]]) -> Float[np.ndarray, "histories items"]:
        """Give the score e_u · v_i of every known item, in the order of ``items``; higher is likelier next."""
        scores: np.ndarray = self.embed(histories) @ self._item_vectors().T
        return scores

    def score(self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Give the scores of each history's own candidates.

        An item the encoder does not know scores 1 below the history's lowest known item: behind all, tied among
        themselves.
        """
        scores = []
        for start in range(0, len(histories), EMBED_BATCH):
            every = self.score_all(histories[start : start + EMBED_BATCH])
            padded = np.concatenate([every.min(axis=1, keepdims=True) - 1, every], axis=1)  # code 0: unknown
            for row, wanted in zip(padded, candidates[start : start + EMBED_BATCH], strict=True):
                scores.append(row[[self._codes.get(item, PADDING) for item in wanted]])
        return scores

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and description (JSON) into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / WEIGHTS)
        description = {"items": self.items, **{name: getattr(self.config, name) for name in ARCHITECTURE}}
        write_atomically(folder / DESCRIPTION, json.dumps(description, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: Path) -> "UserEncoder":
        """Read what ``save`` wrote.

        Raises:
            MissingInputError: if a file is not there.
        """
        for name in (DESCRIPTION, WEIGHTS):
            if not (folder / name).is_file():
                raise MissingInputError(
                    f"{folder} holds no user encoder: {name} is missing. Materialize the asset 'user_encoder' again."
                )
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        items = description.pop("items")
        config = EncoderConfig(**description)
        model = build_model(config, len(items))
        model.load_state_dict(load_file(folder / WEIGHTS))
        return cls(model, items, config)

    def _encoded(self, history: Sequence[str]) -> list[int]:
        codes = [self._codes[item] for item in history if item in self._codes]
        return codes[-self.config.max_length :]

    def _embed_codes(self, histories: list[tuple[int, ...]]) -> Float[np.ndarray, "histories dim"]:
        lengths = np.array([len(codes) for codes in histories])
        padded = pad(histories, max(int(lengths.max()), 1))
        with torch.inference_mode():
            hidden = self.model(torch.from_numpy(padded))
            last = hidden[torch.arange(len(histories)), torch.from_numpy(np.maximum(lengths - 1, 0))]
        vectors: np.ndarray = last.numpy()
        vectors[lengths == 0] = 0.0
        return vectors

    def _item_vectors(self) -> Float[np.ndarray, "items dim"]:
        embedding: nn.Embedding = self.model.items
        vectors: np.ndarray = embedding.weight.detach().numpy()[1:]
        return vectors


def pad(histories: Sequence[Sequence[int]], length: int) -> Int[np.ndarray, "histories length"]:
    """Write item codes into a matrix, padded with 0 on the right.

    >>> pad([[3, 1], [2]], 3).tolist()
    [[3, 1, 0], [2, 0, 0]]
    """
    sizes = np.array([len(codes) for codes in histories], dtype=np.int64)
    padded = np.full((len(histories), length), PADDING, dtype=np.int64)
    padded[np.arange(length) < sizes[:, None]] = np.fromiter(
        (code for codes in histories for code in codes), dtype=np.int64, count=int(sizes.sum())
    )
    return padded
