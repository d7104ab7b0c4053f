"""Candidate lists whose targets are drawn by a known rule, for the tests of the fusion."""

import numpy as np
import pandas as pd

from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.recommendation.fusion import LOGIT, fusion_features

PIVOT = 5.0
SIGNALS = [f"signal_{slot}" for slot in SLOTS]


def synthetic_lists(
    users: int,
    rule: dict[str, float],
    seed: int = 0,
    *,
    protocol: str = "uniform",
    part: str = "validation",
    size: int = 21,
    present: float = 1.0,
) -> pd.DataFrame:
    """One list a user. The target is drawn by the softmax of the features that ``rule`` weighs.

    ``present`` is the share of lists that hold their target; of the others it is taken out.
    """
    generator = np.random.default_rng([seed, users, len(protocol)])
    frame = pd.DataFrame(
        {
            "part": part,
            "protocol": protocol,
            "user_id": np.repeat([f"u{number:04}" for number in range(users)], size),
            "position": 5,
            "item_id": [f"i{number}" for number in generator.integers(0, 10_000, users * size)],
        }
    )
    for name in (*SIGNALS, LOGIT):
        frame[name] = generator.normal(size=len(frame))
    frame["signal_popularity"] = generator.integers(0, 30, len(frame)).astype(float)
    frame["first_stage_rank"] = np.tile(np.arange(1, size + 1), users)
    frame["mass"] = 1.0
    scores = planted(frame, rule)
    noisy = (scores + generator.gumbel(size=len(frame))).reshape(users, size)
    frame["is_target"] = (noisy == noisy.max(axis=1, keepdims=True)).ravel()
    absent = np.repeat(generator.random(users) >= present, size)
    frame.loc[absent, "is_target"] = False
    return frame


def planted(frame: pd.DataFrame, rule: dict[str, float], pivot: float = PIVOT) -> np.ndarray:
    """The joined score of a rule that names features."""
    from mmsra_pipeline.recommendation.fusion import feature_names

    names = feature_names("mmsrarec+cf")
    weights = np.array([rule.get(name, 0.0) for name in names])
    assert set(rule) <= set(names)
    return fusion_features(frame, "mmsrarec+cf", pivot) @ weights


def both(users: int, rule: dict[str, float], seed: int = 0, present: float = 0.5) -> pd.DataFrame:
    """Uniform and served lists of the same users."""
    uniform = synthetic_lists(users, rule, seed)
    served = synthetic_lists(users, rule, seed + 100, protocol="served", present=present)
    return pd.concat([uniform, served], ignore_index=True)
