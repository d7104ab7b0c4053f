"""A regression on exactly what a prompt states of a candidate: the slot 'all', and a row that the model has to beat."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.config.tree import Slot
from mmsra_pipeline.recommendation.columns import class_column
from mmsra_pipeline.recommendation.listwise_logit import ListwiseLogit

IS_TARGET = "is_target"
FILE = "evidence.json"
HIGHEST = 9  # of the classes
DIGITS = 9  # of a score: below them is rounding, which depends on how many items are asked about


@dataclass(frozen=True)
class EvidenceModel:
    """Coefficients of each slot's class, as a share of the highest, and of whether it is 0, which may mean unknown."""

    slots: tuple[Slot, ...]
    weights: tuple[float, ...]

    def of_classes(self, classes: Mapping[Slot, np.ndarray]) -> Float[np.ndarray, " items"]:
        """Return the score of items from their classes by slot; items of equal classes have equal scores."""
        if not self.slots:
            return np.zeros(len(next(iter(classes.values()))))
        total = np.zeros(len(classes[self.slots[0]]))
        every = np.arange(HIGHEST + 1)[:, None]
        for slot, *weights in zip(self.slots, self.weights, self.weights[len(self.slots) :], strict=False):
            # A class gives the same term wherever it stands: look it up, for a whole catalogue is asked about.
            total += (_features(every) @ np.array(weights))[np.asarray(classes[slot], dtype=np.int64)]
        scores: np.ndarray = np.round(total, DIGITS)
        return scores

    def save(self, folder: Path) -> None:
        """Write the model as JSON."""
        (folder / FILE).write_text(json.dumps({"slots": self.slots, "weights": self.weights}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "EvidenceModel":
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text())
        return cls(tuple(content["slots"]), tuple(content["weights"]))

    def score(self, candidates: pd.DataFrame) -> Float[np.ndarray, " rows"]:
        """Return a score that compares candidates of one list. Without slots it is 0 for all.

        Args:
            candidates: with the columns ``class_<slot>``, from 0 to 9.
        """
        return (
            self.of_classes({slot: candidates[class_column(slot)].to_numpy() for slot in self.slots})
            if self.slots
            else (np.zeros(len(candidates)))
        )


def fit_evidence(lists: pd.DataFrame, slots: Sequence[Slot], regularization: float = 1.0) -> EvidenceModel:
    """Fit by the listwise logit, as the fusion is.

    Args:
        lists: training lists: list_id, is_target (one of each list) and ``class_<slot>``, from 0 to 9.
        slots: those that the prompt states.
        regularization: weight of half the squared coefficients, in lists.

    Raises:
        ValueError: if a list has not exactly one target.
    """
    numbers, _ = pd.factorize(lists["list_id"])
    logit = ListwiseLogit(_of_columns(lists, slots), numbers, lists[IS_TARGET].to_numpy(dtype=bool))
    return EvidenceModel(tuple(slots), tuple(float(weight) for weight in logit.fit(regularization)))


def _of_columns(candidates: pd.DataFrame, slots: Sequence[Slot]) -> Float[np.ndarray, "rows features"]:
    return _features(candidates[[class_column(slot) for slot in slots]].to_numpy())


def _features(classes: np.ndarray) -> Float[np.ndarray, "rows features"]:
    return np.concatenate([classes.astype(np.float64) / HIGHEST, classes == 0], axis=1)
