"""How much better a row is than another, paired by user."""

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.baselines import EVIDENCE_ROW, OURS, ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.measuring import FOLLOWED_METRICS, Measured
from mmsra_pipeline.recommendation.fusion import FUSED, WITHOUT_MODEL
from mmsra_pipeline.resampling import QUANTILES

AGAINST = "against"
COLLABORATIVE_ROWS = ("popularity", "popularity_as_of", "cooccurrence", "cooccurrence_as_of", "sasrec", "first_stage")
FOLLOWED_PAIRS = ((FUSED, "sasrec"), (FUSED, WITHOUT_MODEL), (FUSED, EVIDENCE_ROW), (OURS, EVIDENCE_ROW))
COLUMNS = [PROTOCOL, ROW, AGAINST, "users", "metric", "value", "low", "high"]


def pairs(rows: list[str]) -> list[tuple[str, str]]:
    """Return who is compared with whom, of the rows there are.

    The recommender and its fusion are compared with every other row, the fusion without the language model with the
    collaborative ones.
    """
    ours = [(row, other) for row in (OURS, FUSED) if row in rows for other in rows if other != row]
    without = [(WITHOUT_MODEL, other) for other in rows if other in COLLABORATIVE_ROWS]
    return ours + (without if WITHOUT_MODEL in rows else [])


def differences_table(measured: list[Measured]) -> pd.DataFrame:
    """Return the differences of :func:`pairs` in points of percent, with 95 % intervals paired by user.

    Returns:
        ``protocol``, ``row``, ``against``, ``users``, ``metric``, ``value``, ``low``, ``high``. An interval without 0
        is a difference that these users show.
    """
    entries = []
    for one in measured:
        place = {name: number for number, name in enumerate(one.rows)}
        for row, other in pairs(one.rows):
            ours, theirs = place[row], place[other]
            value = one.values[ours] - one.values[theirs]
            low, high = np.percentile(one.samples[:, ours] - one.samples[:, theirs], QUANTILES, axis=0)
            for column, metric in enumerate(one.metrics):
                numbers = (value[column], low[column], high[column])
                entries.append((one.protocol, row, other, len(one.per_list), metric, *numbers))
    return pd.DataFrame(entries, columns=COLUMNS)


def followed_differences(differences: pd.DataFrame) -> dict[str, float]:
    """Return the differences to follow, such as 'hr@5/uniform/mmsrarec+cf - sasrec'."""
    wanted = np.array([pair in FOLLOWED_PAIRS for pair in zip(differences[ROW], differences[AGAINST])], dtype=bool)
    followed = differences[wanted & differences["metric"].str.startswith(FOLLOWED_METRICS)]
    names = followed["metric"] + "/" + followed[PROTOCOL] + "/" + followed[ROW] + " - " + followed[AGAINST]
    return dict(zip(names, followed["value"].to_numpy(dtype=np.float64).tolist(), strict=True))


def beyond_evidence(differences: pd.DataFrame, metric: str) -> tuple[bool, str]:
    """Tell whether the recommender ranks better than a regression on what its prompt states, under every protocol.

    Returns:
        Whether all differences are above 0 (also where there is nothing to compare), and what was found.
    """
    mine = (differences[ROW] == OURS) & (differences[AGAINST] == EVIDENCE_ROW) & (differences["metric"] == metric)
    if not mine.any():
        return True, f"there are no rows {OURS!r} and {EVIDENCE_ROW!r} to compare"
    found = []
    numbers = differences.loc[mine, ["value", "low", "high"]].to_numpy(dtype=np.float64)
    for protocol, (value, low, high) in zip(differences.loc[mine, PROTOCOL], numbers, strict=True):
        sure = "without 0: these users show it" if low > 0 or high < 0 else "with 0: it may be chance"
        found.append(f"{protocol} {value:+.1f} [{low:+.1f}, {high:+.1f}], {sure}")
    better = bool((differences.loc[mine, "value"] > 0).all())
    said = f"{metric} of {OURS} minus {EVIDENCE_ROW}, in points: {'; '.join(found)}"
    return better, said if better else f"{said}. The language model adds nothing to the evidence in its prompt"
