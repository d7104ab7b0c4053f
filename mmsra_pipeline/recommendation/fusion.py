"""The fusion: a small model that joins the language model with collaborative scores and likeness of content."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import POSITION, USER

PROTOCOL: Final = "protocol"
LOGIT: Final = "logit"
SIGNAL: Final = "signal_"
COLLABORATIVE: Final = ("sequence", "cooccurrence", "next", "votes")
CONTENT: Final = ("taste", "nearest", "keywords")
FUSED: Final = "mmsrarec+cf"
WITHOUT_MODEL: Final = "cf+content"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {WITHOUT_MODEL: CONTENT, FUSED: (*CONTENT, LOGIT)}
"""The two fusions, by the name of their row, and what each joins with the collaborative scores."""
FILE: Final = "model.json"
CONSTANT: Final = 1e-9  # of the largest value: a column that spreads less says nothing


@dataclass(frozen=True)
class FusionModel:
    r"""Coefficients and calibration of one kind of fusion.

    A candidate's features are its signals and the model's logit, each as z-score within the list (what is not known is
    as the lowest that is), and gated by the users who took the candidate: $g = \ln(1+n) / (\ln(1+n) + \ln(1+pivot))$.
    A collaborative score enters as $z$ and $z g$, what content says as $z$ and $z (1-g)$. So popularity decides whom to
    believe and is no term itself: a term learns "the rarer one" or "the more popular one" of how lists were drawn. The
    gate is that of CLAM-Rec-v2 (there with one weight and without being fitted).
    """

    kind: str
    features: tuple[str, ...]
    weights: tuple[float, ...]
    pivot: float
    """Mean users of an item."""
    slope: float
    """At least 0, so that calibration keeps the order."""
    intercept: float
    calibration: str
    """What slope and intercept were fitted on, in words."""

    def score(self, candidates: pd.DataFrame) -> Float[np.ndarray, " rows"]:
        """Return the joined score; it compares candidates of one list.

        Args:
            candidates: whole lists, rows in any order: user_id, position, the ``signal_`` columns, for the kind with
                the model ``logit``, and, where it tells lists apart, protocol.
        """
        scores: np.ndarray = fusion_features(candidates, self.kind, self.pivot) @ np.array(self.weights)
        return scores

    def probability(self, candidates: pd.DataFrame) -> Float[np.ndarray, " rows"]:
        """Return the probability, from 0 to 1, that a candidate of a served list is what comes next; as ``score``."""
        return sigmoid(self.slope * self.score(candidates) + self.intercept)

    def to_json(self) -> str:
        """Write the model; ``from_json`` gives back the same to the last bit."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "FusionModel":
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: if the features are not those of this code.
        """
        content: dict[str, Any] = json.loads(text)
        model = cls(**content | {name: tuple(content[name]) for name in ("features", "weights")})
        if model.features != feature_names(model.kind):
            raise ValueError(f"the stored fusion joins {model.features}, this code {feature_names(model.kind)}")
        return model


def save_models(models: Mapping[str, FusionModel], folder: Path) -> None:
    """Write the models of all kinds into one file."""
    content = {kind: json.loads(model.to_json()) for kind, model in models.items()}
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")


def load_models(folder: Path) -> dict[str, FusionModel]:
    """Read what ``save_models`` wrote, by kind."""
    content = json.loads((folder / FILE).read_text())
    return {kind: FusionModel.from_json(json.dumps(model)) for kind, model in content.items()}


def feature_names(kind: str) -> tuple[str, ...]:
    """Name the features of a kind, as ``fusion_features`` gives them.

    >>> feature_names("mmsrarec+cf")[:2], feature_names("mmsrarec+cf")[-2:]
    (('sequence', 'sequence*popular'), ('logit', 'logit*rare'))
    """
    popular = [name for signal in COLLABORATIVE for name in (signal, f"{signal}*popular")]
    rare = [name for signal in KINDS[kind] for name in (signal, f"{signal}*rare")]
    return (*popular, *rare)


def fusion_features(candidates: pd.DataFrame, kind: str, pivot: float) -> Float[np.ndarray, "rows features"]:
    """Return what the fusion adds up for each candidate, see :class:`FusionModel`."""
    lists = list_numbers(candidates)
    popular = gate(candidates[f"{SIGNAL}popularity"].to_numpy(dtype=np.float64), pivot)
    columns: list[np.ndarray] = []
    for signal in (*COLLABORATIVE, *KINDS[kind]):
        name = LOGIT if signal == LOGIT else f"{SIGNAL}{signal}"
        standard = standardized(candidates[name].to_numpy(dtype=np.float64, na_value=np.nan), lists)
        columns += [standard, standard * (popular if signal in COLLABORATIVE else 1 - popular)]
    return np.stack(columns, axis=1)


def gate(users: Float[np.ndarray, " rows"], pivot: float) -> Float[np.ndarray, " rows"]:
    """Return how far to believe collaborative scores of an item that so many users took: 0 none, 0.5 pivot, below 1.

    >>> gate(np.array([0.0, 4.0, np.nan]), 4.0).tolist()
    [0.0, 0.5, 0.0]
    """
    known = np.log1p(np.nan_to_num(users, nan=0.0))
    believed: np.ndarray = np.divide(known, known + np.log1p(pivot), out=np.zeros_like(known), where=known > 0)
    return believed


def standardized(values: Float[np.ndarray, " rows"], lists: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Return z-scores within lists numbered from 0. Unknown values count as the list's lowest known one.

    A list whose values are all the same, or all unknown, gets 0.

    >>> standardized(np.array([1.0, 3.0, np.nan, 5.0]), np.array([0, 0, 0, 1])).round(2).tolist()
    [-0.71, 1.41, -0.71, 0.0]
    """
    known, count = np.isfinite(values), int(lists.max(initial=-1)) + 1
    lowest = np.full(count, np.inf)
    np.minimum.at(lowest, lists[known], values[known])
    filled = np.where(known, values, np.where(np.isinf(lowest), 0.0, lowest)[lists])
    size = np.maximum(np.bincount(lists, minlength=count), 1)
    centred = filled - (np.bincount(lists, filled, minlength=count) / size)[lists]
    spread = np.sqrt(np.bincount(lists, centred**2, minlength=count) / size)
    largest = np.zeros(count)
    np.maximum.at(largest, lists, np.abs(filled))
    tells = (spread > CONSTANT * largest)[lists]
    standard: np.ndarray = np.divide(centred, spread[lists], out=np.zeros_like(centred), where=tells)
    return standard


def list_numbers(candidates: pd.DataFrame) -> Int[np.ndarray, " rows"]:
    """Number the lists from 0 in order of their first rows: the query, and the protocol where there is one."""
    keys = [name for name in (PROTOCOL, USER, POSITION) if name in candidates]
    return candidates.groupby(keys, sort=False, observed=True).ngroup().to_numpy(dtype=np.int64)


def sigmoid(logits: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Turn logits into probabilities.

    >>> sigmoid(np.array([0.0, 800.0, -800.0])).tolist()
    [0.5, 1.0, 0.0]
    """
    small = np.exp(-np.abs(logits))
    p: np.ndarray = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return p
