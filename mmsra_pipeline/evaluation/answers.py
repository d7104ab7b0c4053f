"""Whether the answers of a model are fit to rank by: words, not ties, and not upside down."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import POSITION, USER
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL, UNIFORM
from mmsra_pipeline.evaluation.metrics import Placed, auc_user, placed

LEAST_MASS = 0.5
MOST_TIES = 0.05
CHANCE = 0.5


@dataclass(frozen=True)
class Answers:
    """What is measured of a model's answers."""

    mass: float
    """Mean of P(Yes) + P(No) among all tokens."""
    tied: float
    """Share of lists whose target has the score of a negative."""
    auc: float
    """Mean AUC of lists with uniform negatives."""

    @classmethod
    def of(cls, candidates: pd.DataFrame) -> "Answers":
        """Measure validation lists; without lists of uniform negatives only the mass is measured."""
        judged = _placed(candidates[candidates[PROTOCOL] == UNIFORM])
        if not len(judged.equal):
            return cls(float(candidates["mass"].mean()), math.nan, math.nan)
        return cls(float(candidates["mass"].mean()), float((judged.equal > 0).mean()), float(auc_user(judged).mean()))

    def values(self) -> dict[str, float]:
        """Return the measures by name; what could not be measured is left out."""
        named = {"answer_mass": self.mass, "tie_rate": self.tied, "validation_auc": self.auc}
        return {name: value for name, value in named.items() if not math.isnan(value)}

    def checks(self) -> dict[str, tuple[bool, str]]:
        """Give, by name of the check, whether it passes and what was found."""
        return {
            "answers_are_words": (
                self.mass >= LEAST_MASS,
                f"Yes and No have {self.mass:.1%} of the probability of the first token on average (at least "
                f"{LEAST_MASS:.0%} is sound). Less: the recommender was tuned too little; raise "
                "`recommendation.yes_no_weight` or `recommendation.examples`.",
            ),
            "few_ties": (
                not self.tied > MOST_TIES,
                f"in {self.tied:.1%} of the lists the target has the very score of a negative (at most "
                f"{MOST_TIES:.0%} is sound). More: prompts do not tell items apart, or scores are rounded.",
            ),
            "not_inverted": (
                not self.auc < CHANCE,
                f"AUC on validation lists is {self.auc:.3f}; below {CHANCE} scores rank upside down. Then look whether "
                "Yes is the first answer of the examples, and whether the learning rate let training diverge.",
            ),
        }


def _placed(lists: pd.DataFrame) -> Placed:
    numbers = lists.groupby([USER, POSITION], sort=False).ngroup().to_numpy()
    return placed(numbers, lists[IS_TARGET].to_numpy(dtype=bool), lists["logit"].to_numpy(dtype=np.float64))
