"""Interactions and sequences as frames, each made in a DuckDB of its own."""

from pathlib import Path

import duckdb
import pandas as pd

from mmsra_pipeline.interactions.filtering import build_interactions
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.interactions.splits import build_sequences


def interactions_of(raw_reviews, config, seed=0, *, raw_items=None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give interactions and funnel."""
    with duckdb.connect() as connection:
        found, funnel = build_interactions(connection, raw_reviews, config, seed, raw_items=raw_items)
        return found.read_all().to_pandas(), funnel


def sequences_of(interactions, config, seed=0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give sequences with their histories written out, and training bounds."""
    with duckdb.connect() as connection:
        sequences, bounds = build_sequences(connection, interactions, config, seed)
        rows = sequences.read_all().to_pandas()
        histories = Histories.read(interactions) if isinstance(interactions, Path) else Histories.of(interactions)
        return histories.joined_to(rows), bounds.read_all().to_pandas()
