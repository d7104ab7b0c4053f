"""Settings of how an installation runs by itself and what it keeps. None of them changes a result."""

import zoneinfo
from typing import Annotated, Final

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from mmsra_pipeline.config.section import Section

OPERATION: Final = ("automation", "retention", "limits", "compute")
"""Sections of how the installation runs. They are of the root: no asset reads them, and no data set has its own."""


class AlertConfig(Section):
    """Who is alerted when a run of Dagster's daemon fails. Nobody, unless one of the first two is set."""

    command: tuple[str, ...] = ()
    """Program and arguments, started without a shell; it gets JSON on stdin."""
    webhook: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """The same JSON is posted here."""
    timeout_seconds: PositiveFloat = 10
    """After this time the command is killed, the webhook given up."""


class AutomationConfig(Section):
    """What happens by itself while Dagster's daemon runs (`make ui`, `dagster-daemon run`)."""

    enabled: bool = False
    """The one switch: schedule and sensors are on unless somebody stops one in the UI. Off: they are there, stopped."""
    cron: Annotated[str, Field(pattern=r"^\S+( \S+){4}$")] = "0 3 * * *"
    """When `catalog_refresh` runs: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """Of ``cron``, such as Europe/Berlin."""
    retries: NonNegativeInt = 2
    """Of a nightly refresh that failed for a reason that may pass, and of one whose process died."""
    retry_seconds: PositiveInt = 300
    """Before the first retry; each further wait is twice as long."""
    check_minutes: PositiveInt = 30
    """Between two looks whether a retraining is needed."""
    retrain_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A retraining is needed when this share of the interactions came after the recommender was trained."""
    keyword_drift: Annotated[float, Field(gt=0, le=1)] = 0.2
    """A retraining is needed when this share of the items have other keywords than when the recommender was trained."""
    late_days: PositiveInt = 7
    """The UI calls `metrics` and `recommendations` late where no data set had them computed for so many days, and warns
    at half of that. A refresh that finds nothing changed computes nothing, so data that change less often need more."""
    show_users: bool = False
    """Whether samples of tables in the UI show users' ids and the texts of reviews."""
    alert: AlertConfig = AlertConfig()
    owner: Annotated[str, Field(pattern=r"^(team:[\w.-]+|[^\s@:]+@[^\s@]+)$")] = "team:recommendations"
    """Of the assets, as the UI and alerts name it: a team (team:NAME) or an e-mail address."""

    @field_validator("timezone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{name!r} is no time zone. Write one such as UTC or Europe/Berlin") from None
        return name


class RetentionConfig(Section):
    """What `mmsra gc` keeps. What is current, pinned or in use is kept in any case."""

    versions: NonNegativeInt = 1
    """Versions of a table or an artifact besides the current one."""
    grace_hours: NonNegativeFloat = 24
    """Nothing that changed within this time is removed: somebody may be reading it."""
    work_days: NonNegativeFloat = 14
    """Work folders (checkpoints of a training that did not end) untouched for this long are abandoned."""
    run_days: NonNegativeFloat = 90
    """Runs of Dagster and MLflow that ended this long ago go, but for those that made what is current."""
    cache_days: NonNegativeFloat = 90
    """What of a cache (keywords, scores, sentence embeddings) was not asked for within this time goes."""
    cache_gb: NonNegativeFloat = 10
    """Size of the values of each cache; beyond it those go that were not asked for the longest."""
    report_rows: PositiveInt = 2000
    """Rows of ``refresh_report`` per data set; the oldest go first. This bound holds at each refresh."""
    min_free_gb: NonNegativeFloat = 2
    """With less free space no refresh and no training begins: one that ends half-way costs more. 0: not asked."""


class LimitsConfig(Section):
    """How much is computed at a time on one machine."""

    step_memory_gb: PositiveFloat = 4
    """Main memory that one step is reckoned to need. As many steps without a model run at a time as fit into the
    machine's, or the container's, beside one with a model; one in any case. A step that took more says so in its check
    `memory_within_limits`."""
    duckdb_memory_gb: PositiveFloat = 4
    """Main memory that the relational work of an asset may take; what is more goes to the disk."""
    duckdb_threads: PositiveInt | None = None
    """Of the relational work. Unset: as many as there are processors for this process."""
