"""Made-up rankings, for the tests of what is measured and how it is reported."""

import numpy as np
import pandas as pd

from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.evaluation.measuring import measure, metrics_table

CONFIG = EvaluationConfig(bootstrap=400)
METRICS = ["hr@5", "ndcg@5", "mrr@5", "auc_user", "auc_pooled"]


def rankings_of(scorers, users: int = 40, protocols=("uniform", "popularity"), seed: int = 0) -> pd.DataFrame:
    """``scorers``: row name to a function of (is_target, generator) that gives scores."""
    parts = []
    for protocol in protocols:
        base = pd.DataFrame(
            {
                "protocol": protocol,
                "user_id": np.repeat([f"u{number:04}" for number in range(users)], 21),
                "position": 7,
                "item_id": [f"i{place:02}" for place in range(21)] * users,
                "is_target": np.arange(21 * users) % 21 == 0,
            }
        )
        for row, scorer in scorers.items():
            scores = scorer(base["is_target"].to_numpy(), np.random.default_rng([seed, len(row)]))
            parts.append(base.assign(row=row, score=scores, p=np.nan))
    return pd.concat(parts, ignore_index=True)


def noise(targets, generator):
    return generator.random(len(targets))


def better(targets, generator):
    return generator.random(len(targets)) + 0.4 * targets


def constant(targets, _):
    return np.zeros(len(targets))


def table_of(rankings: pd.DataFrame, config: EvaluationConfig = CONFIG, seed: int = 0) -> pd.DataFrame:
    """The table ``metrics``."""
    return metrics_table(measure(rankings, config, seed))
