"""Whether a training went as trainings should, by its curve and by what the trained model says."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import dagster as dg
import numpy as np

from mmsra_pipeline.columns import HISTORY, TRAIN, Tables
from mmsra_pipeline.orchestration.checks.names import DIFFER, FALLS, FINITE, RISES
from mmsra_pipeline.orchestration.checks.results import check

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.orchestration.stage import Stage

FEWEST = 6  # steps by which a fall can be told from chance
HISTORIES = 256  # whose vectors are compared
EQUAL = 0.9999  # least cosine to their mean of vectors that are as good as one


def loss_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check the loss of an asset's own table by step or epoch."""
    curve = _curve(stage)
    return [loss_is_finite(curve["loss"]), moves(FALLS, "the loss", curve["loss"], down=True)]


def tuning_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check the loss and the reward of a tuning by reward: its loss need not fall, its reward should not."""
    curve = _curve(stage)
    loss = curve["loss"] if "loss" in curve else curve["reward"]  # one that was switched off has no loss
    return [loss_is_finite(loss), moves(RISES, "the reward", curve["reward"], down=False)]


def encoder_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check the curve of the user encoder, and the vectors of the one for all users and of those of the folds."""
    from mmsra_pipeline.orchestration.queries import queries, with_histories
    from mmsra_pipeline.retrieval.as_of_search import unit_vectors
    from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

    encoder, rows = FoldedEncoder.load(stage.artifact(Tables.USER_ENCODER)), queries(stage, TRAIN)
    places = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(HISTORIES, len(rows))).astype(int))
    some = with_histories(stage, rows.iloc[places])
    distinct = [list(history) for history in dict.fromkeys(tuple(history) for history in some[HISTORY])]
    vectors = [unit_vectors(one.embed(distinct)) for one in (encoder.full, *encoder.folds)] if distinct else []
    return [*loss_checks(stage), vectors_differ(vectors)]


def loss_is_finite(loss: "pd.Series") -> dg.AssetCheckResult:
    """Block on a loss that is no number: the weights are none either."""
    values = loss.to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if not len(bad):
        return check(FINITE, True, f"{len(values)} losses, all finite")
    found = f"{len(bad)} of {len(values)} losses are no finite numbers, the first in row {bad[0]} of the table"
    return check(FINITE, False, f"{found}. Lower the learning rate of this training, or compute in float32")


def moves(name: str, what: str, values: "pd.Series", *, down: bool) -> dg.AssetCheckResult:
    """Warn where the mean of the last third of a curve is not on the right side of that of its first third."""
    known = values.dropna().to_numpy(dtype=np.float64)
    if len(known) < FEWEST:
        return check(name, True, f"{len(known)} values are too few to tell ({FEWEST} are enough)", warn=True)
    third = len(known) // 3
    first, last = float(known[:third].mean()), float(known[-third:].mean())
    passed = last < first if down else last >= first
    found = f"{what} goes from {first:.4g} to {last:.4g} (means of the first and the last third)"
    remedy = "" if passed else ". Train longer, or change the learning rate; see the curve of the materialization"
    return check(name, passed, found + remedy, warn=True, first=first, last=last)


def vectors_differ(encoders: Sequence[np.ndarray]) -> dg.AssetCheckResult:
    """Block on an encoder that gives all histories nearly the same vector.

    Args:
        encoders: of each the unit vectors of the same, distinct histories, [histories, dim]; a zero row is of one that
            it knows nothing of.
    """
    least = []
    for vectors in encoders:
        known = vectors[np.linalg.norm(vectors, axis=1) > 0]
        if len(known) > 1:
            mean = known.mean(axis=0)
            least.append(float((known @ mean / max(np.linalg.norm(mean), 1e-12)).min()))
    if not least:
        return check(DIFFER, True, "there are not two histories to compare")
    found = f"the vector that differs most has a cosine of {max(least):.5f} to the mean of all"
    remedy = (
        ""
        if max(least) < EQUAL
        else (
            ". The encoder has collapsed, so similar users would be chance: lower the learning rate of "
            "retrieval.encoder, or give more epochs"
        )
    )
    return check(DIFFER, max(least) < EQUAL, found + remedy, cosine=max(least))


def _curve(stage: "Stage") -> "pd.DataFrame":
    """The rows of steps or epochs; measures may stand below them."""
    rows = stage.read(stage.asset)
    by: Final = "epoch" if "epoch" in rows else "step"
    return rows[rows[by].notna()]
