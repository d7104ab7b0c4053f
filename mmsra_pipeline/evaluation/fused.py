"""The rows of the fusions, beside those of ``rankings``."""

from collections.abc import Mapping

import pandas as pd

from mmsra_pipeline.columns import SCORE
from mmsra_pipeline.evaluation.baselines import RANKING_COLUMNS, ROW
from mmsra_pipeline.recommendation.fusion import FusionModel


def fused_rankings(candidates: pd.DataFrame, models: Mapping[str, FusionModel]) -> pd.DataFrame:
    """Rank lists by each fusion.

    Args:
        candidates: rows of the table ``candidates``, whole lists.
        models: by the name of their row.

    Returns:
        The columns of ``rankings``. ``p`` is that of a served list, whatever list the candidate stands in.
    """
    parts = []
    for row, model in models.items():
        part = candidates.copy()
        part[ROW], part[SCORE], part["p"] = row, model.score(candidates), model.probability(candidates)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[RANKING_COLUMNS]
