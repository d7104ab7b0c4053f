"""Whether keywords and probabilities say anything."""

from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.checks.names import FORM, VARIES
from mmsra_pipeline.orchestration.checks.results import check

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.stage import Stage

GOOD_FORM, LEAST_FORM = 0.95, 0.8
SMALLEST = 1e-6  # range of p that is no rounding
TABLE_OF_P = {Tables.FUSION: Tables.VALIDATION_CANDIDATES, Tables.RANKINGS: Tables.CANDIDATES}


def keyword_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check how many of the items' keywords have their form."""
    return [form_check(pd.read_parquet(stage.path(Tables.ITEM_KEYWORDS), columns=["well_formed"])["well_formed"])]


def form_check(well_formed: "pd.Series") -> dg.AssetCheckResult:
    """Warn below a good share, and block below the least."""
    if well_formed.empty:
        return check(FORM, True, "there are no keywords to look at", warn=True)
    rate = float(well_formed.mean())
    found = f"{rate:.1%} of {len(well_formed)} completions have the form of keywords"
    if rate < GOOD_FORM:
        found += (
            f" ({GOOD_FORM:.0%} are good, below {LEAST_FORM:.0%} nothing is published). Raise "
            "summarization.max_new_tokens, or align longer (alignment.steps); the column completion has the answers"
        )
    return check(FORM, rate >= GOOD_FORM, found, warn=rate >= LEAST_FORM, rate=rate)


def p_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check what the recommender answered of all candidates."""
    return [p_varies(pd.read_parquet(stage.path(TABLE_OF_P[stage.asset]), columns=["p"])["p"])]


def p_varies(p: "pd.Series") -> dg.AssetCheckResult:
    """Block on a recommender that says the same of every candidate, or no number."""
    values = p.to_numpy(dtype=np.float64)
    if len(values) < 2:
        return check(VARIES, True, "there are not two candidates to compare")
    low, high = float(np.min(values)), float(np.max(values))
    found = f"p of {len(values)} candidates lies between {low:.6f} and {high:.6f}"
    passed = np.isfinite([low, high]).all() and high - low > SMALLEST
    remedy = (
        ""
        if passed
        else (
            ". The recommender tells no candidate from another: see the curve of its training, and lower its "
            "learning rate"
        )
    )
    return check(VARIES, bool(passed), found + remedy)
