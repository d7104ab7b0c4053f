"""All tables that the report shows, as the asset reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from mmsra_pipeline.evaluation.ablation import Ablation


@dataclass(frozen=True)
class Measured:
    """What was measured of a data set; tables as the dictionary describes them."""

    dataset: str
    cutoff: int
    metrics: pd.DataFrame
    differences: pd.DataFrame
    pairwise: pd.DataFrame
    by_slice: pd.DataFrame
    per_user: pd.DataFrame
    curves: pd.DataFrame
    """Of ``evaluation.user_metrics.curves``."""
    served: pd.DataFrame
    traits: pd.DataFrame
    overlap: pd.DataFrame
    served_candidates: pd.DataFrame
    injection: pd.DataFrame
    """Of ``recommendation.injection.probe``."""
    funnel: pd.DataFrame
    leak_rate: float
    """Share of similar users' next items that were not taken before the query; nan: cannot be measured."""
    hit_share: float
    """Share of test queries whose target is among them."""
    ablation: Ablation
    """What variants of the data set came to."""
    variants: Mapping[str, str]
    """Names of all variants, each with what it has otherwise."""
    untimed: float
    """Share of test queries without a time."""


@dataclass(frozen=True)
class Catalogue:
    """What is known of items."""

    item_text: pd.DataFrame
    keywords: pd.DataFrame
    quality: pd.DataFrame
    panel: pd.DataFrame
    images: pd.DataFrame
