"""The user encoder: histories of item ids become vectors, and vectors score items (sec. 3.4)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import nn

from mmsra_pipeline.config.tree import EncoderConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.retrieval.user_encoder.gru4rec import Gru4Rec
from mmsra_pipeline.retrieval.user_encoder.sasrec import PADDING, SasRec
from mmsra_pipeline.retrieval.user_encoder.windows import flatten, pad
from mmsra_pipeline.storage.files import write_atomically

WEIGHTS = "model.safetensors"
DESCRIPTION = "encoder.json"
EMBED_BATCH = 512  # histories per forward pass
ARCHITECTURE = ("kind", "dim", "layers", "heads", "max_length")


def build_model(config: EncoderConfig, items: int) -> SasRec | Gru4Rec:
    """Return an untrained model for ``items`` item codes, 1 to ``items``."""
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
        self._index = pd.Index(np.array(self.items, dtype=object))

    def embed(self, histories: Sequence[Sequence[str]]) -> Float[np.ndarray, "histories dim"]:
        """Return the vector e_u of each history (float32), oldest item first; only the last ``max_length`` items count.

        Equal histories have equal vectors, bit by bit.
        """
        codes, row = self.codes(histories)
        return self.embed_codes(codes, np.bincount(row, minlength=len(histories)))

    def embed_codes(
        self, codes: Int[np.ndarray, " total"], sizes: Int[np.ndarray, " histories"]
    ) -> Float[np.ndarray, "histories dim"]:
        """Return the same of histories that are given as codes of ``codes_of``, one behind the other, and lengths."""
        distinct, row = np.unique(self._last_codes(codes, sizes), axis=0, return_inverse=True)
        lengths = (distinct != PADDING).sum(axis=1)
        order = np.argsort(lengths, kind="stable")  # like lengths together: little padding
        vectors = np.zeros((len(distinct), self.config.dim), dtype=np.float32)
        for start in range(0, len(order), EMBED_BATCH):
            rows = order[start : start + EMBED_BATCH]
            vectors[rows] = self._embed_codes(distinct[rows], lengths[rows])
        return vectors[row.ravel()]

    def embed_beginnings(self, histories: Sequence[Int[np.ndarray, " length"]]) -> Float[np.ndarray, "total dim"]:
        """Return the vectors of all beginnings of histories of known codes, ``max_length`` long at most.

        Those of the first history come first: of its first item, of its first two items, and so on.
        """
        sizes = np.array([len(one) for one in histories], dtype=np.int64)
        ends, order = np.cumsum(sizes), np.argsort(sizes, kind="stable")
        vectors = np.zeros((int(sizes.sum()), self.config.dim), dtype=np.float32)
        for start in range(0, len(order), EMBED_BATCH):
            rows = order[start : start + EMBED_BATCH]
            own = sizes[rows]
            padded = pad(np.concatenate([histories[row] for row in rows]), own, int(own.max()))
            with torch.inference_mode():
                hidden = self.model(torch.from_numpy(padded)).numpy()
            place = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own - (ends[rows] - own), own)
            vectors[place] = hidden[padded > 0]
        return vectors

    def codes_of(self, items: Sequence[str]) -> Int[np.ndarray, " items"]:
        """Return the code of each item: that of ``items[i]`` is i + 1, that of an unknown item 0."""
        codes: np.ndarray = self._index.get_indexer(np.array(items, dtype=object)) + 1
        return codes

    def codes(self, histories: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of all items of all histories, one behind the other, and the history that each belongs to.

        The code of ``items[i]`` is i + 1, that of an unknown item 0.
        """
        flat, sizes = flatten(histories)
        named = flat.dictionary_encode()  # looks up each item once, however often it was taken
        code = self._index.get_indexer(named.dictionary.to_numpy(zero_copy_only=False)) + 1
        return code[named.indices.to_numpy()], np.repeat(np.arange(len(sizes)), sizes)

    def score_all(self, histories: Sequence[Sequence[str]]) -> Float[np.ndarray, "histories items"]:
        """Return the score e_u · v_i of every known item, in the order of ``items``; higher is likelier next."""
        scores: np.ndarray = self.embed(histories) @ self._item_vectors().T
        return scores

    def score(self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return the scores of each history's own candidates.

        An item the encoder does not know scores 1 below the history's lowest known item: behind all, tied among
        themselves.
        """
        scores: list[np.ndarray] = []
        for start in range(0, len(histories), EMBED_BATCH):
            every = self.score_all(histories[start : start + EMBED_BATCH])
            padded = np.concatenate([every.min(axis=1, keepdims=True) - 1, every], axis=1)  # code 0: unknown
            codes, row = self.codes(candidates[start : start + EMBED_BATCH])
            ends = np.cumsum(np.bincount(row, minlength=len(every)))
            scores += np.split(padded[row, codes], ends[:-1])
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

    def _last_codes(
        self, codes: Int[np.ndarray, " total"], sizes: Int[np.ndarray, " histories"]
    ) -> Int[np.ndarray, "histories length"]:
        row = np.repeat(np.arange(len(sizes)), sizes)[codes != PADDING]
        codes = codes[codes != PADDING]
        sizes = np.bincount(row, minlength=len(sizes))
        late = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(codes)) <= self.config.max_length
        sizes = np.minimum(sizes, self.config.max_length)
        return pad(codes[late], sizes, int(sizes.max(initial=1)))

    def _embed_codes(
        self, padded: Int[np.ndarray, "histories length"], lengths: Int[np.ndarray, " histories"]
    ) -> Float[np.ndarray, "histories dim"]:
        with torch.inference_mode():
            hidden = self.model(torch.from_numpy(padded[:, : max(int(lengths.max()), 1)]))
            last = hidden[torch.arange(len(padded)), torch.from_numpy(np.maximum(lengths - 1, 0))]
        vectors: np.ndarray = last.numpy()
        vectors[lengths == 0] = 0.0
        return vectors

    def _item_vectors(self) -> Float[np.ndarray, "items dim"]:
        embedding: nn.Embedding = self.model.items
        vectors: np.ndarray = embedding.weight.detach().numpy()[1:]
        return vectors
