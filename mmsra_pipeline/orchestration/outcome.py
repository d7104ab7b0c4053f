"""What a refresh intends, what it did, and which checks did not pass: for the terminal and for scripts."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import dagster as dg

from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.staleness import Stale

Result = Literal["computed", "unchanged", "reused", "failed", "skipped"]
RESULTS: Final[Mapping[str, Result]] = {
    "changed": "computed",
    "unchanged": "unchanged",
    "reused": "reused",
    "failed": "failed",
    "cut off": "skipped",
    "left out": "skipped",
    "not reached": "skipped",
}
"""By the outcome of ``refresh_report``; what it calls fresh was never to be computed."""
WHY_SKIPPED: Final = {
    "cut off": "what it depends on came out as before",
    "left out": "trainings are left out",
    "not reached": "waits for what failed",
}


@dataclass(frozen=True)
class MaterializedAsset:
    """An asset of a data set that was computed."""

    asset: str
    partition: str

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]"


@dataclass(frozen=True)
class Planned:
    """An asset of a data set that is to be computed, or may have to be."""

    asset: str
    partition: str
    reasons: tuple[str, ...]
    seconds: float | None
    """That it took last time; None: it was never computed."""


@dataclass(frozen=True)
class AssetOutcome:
    """What became of an asset that was to be computed."""

    asset: str
    partition: str
    outcome: Result
    seconds: float
    peak_memory_gb: float | None
    """Of the process while the asset was computed; None: it was not, or did not say."""
    reason: str


@dataclass(frozen=True)
class FailedCheck:
    """A check that did not pass."""

    asset: str
    partition: str
    check: str
    severity: Literal["ERROR", "WARN"]
    found: str
    measured: Mapping[str, float]
    """The numbers that it reported beside."""
    run_id: str

    @property
    def where(self) -> str:
        """Where to look."""
        return f"`mmsra show {self.asset} -d {self.partition}`, and run {self.run_id[:8]} in `mmsra ui`"


@dataclass
class Outcome:
    """What a refresh found and did."""

    stale: list[Stale] = field(default_factory=list)
    materialized: list[MaterializedAsset] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    plan: list[Planned] = field(default_factory=list)
    assets: list[AssetOutcome] = field(default_factory=list)
    """Of all that was stale, in the order of the flow; empty in a dry run."""
    failed_checks: list[FailedCheck] = field(default_factory=list)
    """Of what was computed; the checks of what was not hold as they were."""

    @property
    def checks_have_errors(self) -> bool:
        """Whether a check failed whose severity is not just a warning."""
        return any(check.severity == "ERROR" for check in self.failed_checks)

    def as_json(self) -> dict[str, object]:
        """What was stale and what was materialized; then what was intended, what became of it, and failed checks."""
        stale = [{"asset": s.asset, "partition": s.partition, "reasons": list(s.reasons)} for s in self.stale]
        materialized = [{"asset": m.asset, "partition": m.partition} for m in self.materialized]
        return {
            "stale": stale,
            "materialized": materialized,
            "plan": [{**asdict(entry), "reasons": list(entry.reasons)} for entry in self.plan],
            "assets": [asdict(entry) for entry in self.assets],
            "failed_checks": [asdict(entry) for entry in self.failed_checks],
        }


def asset_outcomes(dataset: str, rows: Iterable[Mapping[str, Any]]) -> list[AssetOutcome]:
    """Return what became of the assets that a refresh wanted to compute, of its rows in ``refresh_report``."""
    found = []
    for row in rows:
        if row["outcome"] not in RESULTS:
            continue
        reasons = "" if row["outcome"] == "cut off" else row["reasons"]  # that it might have changed: now it is known
        reason = "; ".join(part for part in (WHY_SKIPPED.get(row["outcome"], ""), reasons) if part)
        result = RESULTS[row["outcome"]]
        found.append(AssetOutcome(row["asset"], dataset, result, row["seconds"], row["peak_memory_gb"], reason))
    return found


def failed_checks(evaluations: Iterable[dg.AssetCheckEvaluation], run_id: str, dataset: str) -> list[FailedCheck]:
    """Return the checks of a run that did not pass."""
    return [
        FailedCheck(
            asset=evaluation.asset_key.to_user_string(),
            partition=dataset,
            check=evaluation.check_name,
            severity="ERROR" if evaluation.severity == dg.AssetCheckSeverity.ERROR else "WARN",
            found=evaluation.description or "it says nothing",
            measured=_numbers(evaluation.metadata),
            run_id=run_id,
        )
        for evaluation in evaluations
        if not evaluation.passed
    ]


def _numbers(metadata: Mapping[str, Any]) -> dict[str, float]:
    values = {name: getattr(value, "value", None) for name, value in metadata.items()}
    return {name: value for name, value in values.items() if isinstance(value, int | float) and value == value}
