"""What each refresh did with a data set, asset by asset: the table ``refresh_report``, and a note of it in Dagster."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.materializations import Materialization, latest
from mmsra_pipeline.orchestration.reporting import sample_table
from mmsra_pipeline.orchestration.staleness import Stale
from mmsra_pipeline.orchestration.table_metadata import table_metadata

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.orchestration.run_results import RunResult
    from mmsra_pipeline.storage.tables import Store

Outcome = Literal["changed", "unchanged", "reused", "cut off", "fresh", "left out", "failed", "not reached"]
MEANING: Final = {
    "changed": "was computed and came out different, or for the first time",
    "unchanged": "was computed and came out as before, so it ends the chain",
    "reused": "was taken over from another data set, which made it of the same code, settings and inputs",
    "cut off": "could have changed; what it depends on came out as before, so it was not computed",
    "fresh": "nothing that it depends on changed",
    "left out": "is stale, but trainings were left out; what it made last was used",
    "failed": "was computed and failed",
    "not reached": "was stale and had to wait for what failed",
}
TYPES: Final = {
    "at": "datetime64[ms, UTC]",
    "asset": "str",
    "outcome": "str",
    "reasons": "str",
    "seconds": "float64",
    "rows": "Int64",
    "peak_memory_gb": "float64",
    "seconds_saved": "float64",
    "run_id": "str",
}
ALL: Final = "(all)"


@dataclass
class DatasetRefresh:
    """What a refresh found and did with one data set."""

    dataset: str
    at: datetime
    stale: dict[str, Stale] = field(default_factory=dict)
    """What was stale at first, or became so meanwhile; with the latest reasons."""
    left_out: dict[str, Stale] = field(default_factory=dict)
    before: dict[str, Materialization | None] = field(default_factory=dict)
    """The last materialization before it was computed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of what was computed, whether it ended well or not."""
    runs: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by asset."""

    def note(self, stale: Iterable[Stale]) -> None:
        """Add what is stale now."""
        self.stale |= {entry.asset: entry for entry in stale}

    def begin(self, instance: dg.DagsterInstance, wave: Iterable[Stale]) -> None:
        """Note what there is of a wave before it is computed."""
        self.before |= {entry.asset: latest(instance, entry.asset, self.dataset) for entry in wave}

    def end(self, result: "RunResult") -> None:
        """Note what became of a wave."""
        self.failed |= {failure.asset: failure.text for failure in result.failures}
        self.seconds |= result.seconds
        self.runs |= dict.fromkeys(result.seconds, result.run_id)


def report_refresh(
    instance: dg.DagsterInstance, store: "Store", summary: DatasetRefresh, assets: Iterable[str], *, most_rows: int
) -> list[dict[str, Any]]:
    """Put the rows of a refresh before those of earlier ones, and tell Dagster.

    The table is replaced as a whole, so a kill leaves it as it was before or as it is afterwards.

    Args:
        instance: Dagster's.
        store: gets the table.
        summary: what was done.
        assets: all that could have been computed, in order.
        most_rows: of the table; the oldest go first.

    Returns:
        The rows of this refresh.
    """
    rows = _rows(summary, {asset: latest(instance, asset, summary.dataset) for asset in assets})
    frame = _frame(rows)
    content = _with_earlier(frame, store, summary.dataset, most_rows)
    written = store.replace(Tables.REFRESH_REPORT, summary.dataset, content)
    metadata: dict[str, Any] = {
        **Counter(row["outcome"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "seconds saved": sum(row["seconds_saved"] for row in rows),
        "sample": sample_table(frame, len(frame)),
        "slice": dg.MetadataValue.path(written.path),
        **table_metadata(written.table, written.path, written.rows),
    }
    note = dg.AssetMaterialization(Tables.REFRESH_REPORT, partition=summary.dataset, metadata=metadata)
    instance.report_runless_asset_event(note)
    return rows


def _rows(summary: DatasetRefresh, now: Mapping[str, Materialization | None]) -> list[dict[str, Any]]:
    elsewhere = [asset for asset in summary.failed if asset not in now]
    if elsewhere:  # the source cannot be read, so nothing else is known
        return [_row(summary, asset, None) for asset in elsewhere]
    rows = [_row(summary, asset, last) for asset, last in now.items()]
    return rows if summary.stale or summary.failed else [_nothing(summary, rows)]


def _row(summary: DatasetRefresh, asset: str, last: Materialization | None) -> dict[str, Any]:
    outcome, reasons = _outcome(summary, asset, last)
    saved = last.seconds if last and outcome in ("cut off", "fresh", "left out") else None
    computed = last if outcome in ("changed", "unchanged") else None
    return {
        "at": summary.at,
        "asset": asset,
        "outcome": outcome,
        "reasons": "; ".join(reasons),
        "seconds": summary.seconds.get(asset, 0.0),
        "rows": last.rows if last else None,
        "peak_memory_gb": computed.peak_memory_gb if computed else None,
        "seconds_saved": saved or 0.0,
        "run_id": summary.runs.get(asset, ""),
    }


def _outcome(summary: DatasetRefresh, asset: str, last: Materialization | None) -> tuple[Outcome, tuple[str, ...]]:
    if asset in summary.failed:
        return "failed", (*_reasons(summary.stale, asset), summary.failed[asset])
    if asset in summary.seconds:
        before = summary.before.get(asset)
        if last is not None and last.reused_from:
            return "reused", (*_reasons(summary.stale, asset), f"taken over from {last.reused_from}")
        same = before is not None and last is not None and before.version == last.version
        return ("unchanged" if same else "changed"), _reasons(summary.stale, asset)
    if asset in summary.left_out:
        return "left out", summary.left_out[asset].reasons
    if asset in summary.stale:
        return ("not reached" if summary.failed else "cut off"), summary.stale[asset].reasons
    return "fresh", ()


def _reasons(stale: Mapping[str, Stale], asset: str) -> tuple[str, ...]:
    return stale[asset].reasons if asset in stale else ()


def _nothing(summary: DatasetRefresh, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row in place of many."""
    reasons = f"left out: {', '.join(summary.left_out)}" if summary.left_out else ""
    saved = sum(row["seconds_saved"] for row in rows)
    return dict(_row(summary, ALL, None), reasons=reasons, seconds_saved=saved)


def _with_earlier(rows: "pd.DataFrame", store: "Store", dataset: str, most_rows: int) -> "pd.DataFrame":
    import pandas as pd

    earlier = store.read(Tables.REFRESH_REPORT, dataset) if store.has(Tables.REFRESH_REPORT, dataset) else None
    if earlier is not None and list(earlier.columns) == list(TYPES):  # of another release: begin anew
        earlier = earlier.astype(TYPES)
        other = earlier[~earlier["at"].isin(rows["at"])]  # a report that was cut off is made again
        rows = pd.concat([rows, other], ignore_index=True)
    return rows.head(most_rows)


def _frame(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)
