"""Settings of what is measured, of the fusion that is fitted on measured lists, and of what is served."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmsra_pipeline.config.section import Section, Share


class EvaluationConfig(Section):
    """How rankings are measured."""

    negatives: PositiveInt = 20
    """Random items per positive (sec. 4: 20)."""
    protocols: tuple[Literal["uniform", "popularity"], ...] = ("uniform", "popularity")
    """How negatives are drawn."""
    users: PositiveInt | None = None
    """Test users that are scored, a random sample. Unset: all."""
    validation_users: PositiveInt | None = 200
    """Validation users that are scored, a random sample: on their lists the fusion is fitted. Unset: all."""
    recall_users: PositiveInt = 20_000
    """Test users by whom the recall of the first stage is measured, a random sample where there are more."""
    cutoff: PositiveInt = 5
    """k of HR@k, NDCG@k, MRR@k."""
    bootstrap: PositiveInt = 1000
    """Resamples of users for the 95 % intervals."""


class FusionConfig(Section):
    """The small model that joins p of the language model with collaborative scores and likeness of content."""

    regularization: PositiveFloat = 1.0
    """Weight of half the squared coefficients, in lists: the fit is a mode under a normal prior."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Parts of the validation users; each is judged by a fit that has not seen it."""
    max_calibration_error: Share = 0.05
    """A check fails where the served p is further from what happened, on users that the fit has not seen."""


class RecommendationsConfig(Section):
    """Top-N lists."""

    top_n: PositiveInt = 5
    """Items of a stored list."""
    users: PositiveInt | Literal["active"] | None = None
    """Users who get a list: a random sample of so many, or ``active``: those seen in the last ``active_days``. Unset:
    all, and of more than 100,000 users those that are active."""
    active_days: PositiveInt = 30
    """Before the latest interaction of the data."""
