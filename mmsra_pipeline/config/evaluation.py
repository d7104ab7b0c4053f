"""Settings of what is measured, of the fusion that is fitted on measured lists, and of what is served."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from mmsra_pipeline.config.section import Section, Share

DRAWN = ("uniform", "popularity", "existing", "served")
"""Protocols by which lists are drawn, so no names of others."""


def wrong_name(name: str) -> str | None:
    """Say why candidate lists from elsewhere cannot be called so; None if they can."""
    if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,39}", name):
        return f"candidate lists cannot be called {name!r}: take small letters, digits, - and _, at most 40."
    if name in DRAWN:
        return f"candidate lists from elsewhere cannot be called {name!r}, as drawn ones are. Give them another name."
    return None


def _named(name: str) -> str:
    if (wrong := wrong_name(name)) is not None:
        raise ValueError(wrong)
    return name


ListsName = Annotated[str, AfterValidator(_named)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EvaluationConfig(Section):
    """How rankings are measured."""

    negatives: PositiveInt = 20
    """Random items per positive (sec. 4: 20)."""
    protocols: tuple[Literal["uniform", "popularity", "existing"], ...] = ("uniform", "popularity")
    """How negatives are drawn: evenly, by how many took them, or evenly among items that somebody had taken by the time
    of the query. An item that came later makes an easy negative for whoever knows what is new."""
    lists: dict[ListsName, Sha256] = Field(default_factory=dict)
    """Candidate lists from elsewhere that are ranked beside those drawn, by name: the hash that `mmsra lists import`
    prints. The name is the protocol's in metrics."""
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
    served_users: PositiveInt | None = 100
    """Test users whose served lists are scored, to measure what is served over the whole catalogue. Unset: all."""
    served_depths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (20,)
    """How many of the first stage's candidates the model reorders there. The deepest costs, the others do not."""


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
    """Users whose lists the recommender ranks. A number: of a random sample of so many, and no other user gets a list.
    ``active``: of those seen in the last ``active_days``; the others get the first stage's order, and the table says
    which. Unset: of all, and where there are more than 100,000 users as ``active``."""
    active_days: PositiveInt = 30
    """Before the latest interaction of the data."""


class ReportConfig(Section):
    """The pages that people look at."""

    cases: PositiveInt = 500
    """Test users that can be looked up, a random sample; the good, median and bad ones among them are named."""
    explained_cases: NonNegativeInt = 12
    """Of those, users for whom it is computed what leaving out a part of the prompt does to p. Each costs about as much
    as scoring ten lists of two candidates."""
    worst_keywords: PositiveInt = 20
    """Items shown with the keywords that fit them least."""
    user_ids: bool = False
    """Whether pages show ids of users as they are. Otherwise users are numbered."""
