"""What the UI shows of a materialization: rows, a sample, settings, a curve, checks."""

import base64
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.orchestration.materializations import MEMORY, ROWS, SECONDS, SETTINGS, SLICE
from mmsra_pipeline.orchestration.settings_read import settings_of
from mmsra_pipeline.orchestration.stage import Stage, full_settings
from mmsra_pipeline.orchestration.table_metadata import table_metadata
from mmsra_pipeline.storage.hashing import fingerprint

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5
CELL_CHARS = 100
DIGITS = 6
logger = logging.getLogger(__name__)


def report(
    stage: Stage,
    metadata: Mapping[str, Any] | None = None,
    *,
    checks: Sequence[dg.AssetCheckResult] = (),
    plot: bytes | None = None,
) -> dg.MaterializeResult:
    """Return the result of an asset from what ``stage`` wrote.

    The data version is a hash of the content that was written, so that an unchanged output stops the chain.
    """
    shown = _tables(stage) | _artifacts(stage) | _plot(stage, plot) | {"config": _stored_config(stage)}
    _tell_mlflow(stage, metadata or {}, shown)
    shown[SETTINGS] = dg.MetadataValue.json(_json_ready(settings_of(stage.asset)))
    rows, seconds = stage.slices[0][0].rows, time.monotonic() - stage.started
    logger.info("%s: %s is done in %.1f s, %d rows", stage.dataset, stage.asset, seconds, rows)
    return dg.MaterializeResult(
        metadata=shown | {SECONDS: round(seconds, 3), MEMORY: round(stage.memory.gb(), 3)} | dict(metadata or {}),
        data_version=dg.DataVersion(fingerprint(stage.outputs)),
        check_results=list(checks),
    )


def report_or_stop(
    stage: Stage,
    metadata: Mapping[str, Any] | None = None,
    *,
    checks: Sequence[dg.AssetCheckResult],
    plot: bytes | None = None,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Report like :func:`report`, but fail if a check does not pass.

    A blocking check alone holds up later assets only within its own run; an asset that failed stays stale, so that no
    later run builds on it either.

    Raises:
        DataError: naming the checks that did not pass.
    """
    failed = [check for check in checks if not check.passed]
    if not failed:
        yield report(stage, metadata, checks=checks, plot=plot)
        return
    yield from checks
    found = "; ".join(f"{check.check_name}: {check.description}" for check in failed)
    raise DataError(f"asset {stage.asset!r} of dataset {stage.dataset!r} did not pass its checks. {found}")


def check(name: str, passed: bool, description: str, *, warn: bool = False, **metadata: Any) -> dg.AssetCheckResult:
    """Return the result of a check; ``description`` says what was found and how to fix it."""
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name=name, passed=bool(passed), severity=severity, description=description, metadata=metadata
    )


def sample_table(rows: "pd.DataFrame", count: int = SAMPLE_ROWS) -> dg.TableMetadataValue:
    """Show the first rows."""
    records = [
        dg.TableRecord({str(name): _cell(value) for name, value in row.items()})
        for row in rows.head(count).to_dict(orient="records")
    ]
    columns = [dg.TableColumn(str(name), str(dtype)) for name, dtype in rows.dtypes.items()]
    return dg.TableMetadataValue(records=records, schema=dg.TableSchema(columns))


def _tables(stage: Stage) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for number, (written, rows) in enumerate(stage.slices):
        own = number == 0
        shown |= table_metadata(written.table, written.path, written.rows) if own else {}
        shown[ROWS if own else f"{written.table} rows"] = written.rows
        shown["sample" if own else f"{written.table} sample"] = sample_table(rows)
        where = stage.paths.remote.address(written.path)
        shown[SLICE if own else f"{written.table} slice"] = dg.MetadataValue.path(where)
    return shown


def _artifacts(stage: Stage) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if stage.published:
        shown["artifact"] = dg.MetadataValue.path(stage.paths.remote.address(stage.published))
    if stage.mlflow_run_id:
        from mmsra_pipeline.telemetry.tracking import run_link

        shown["mlflow_run"] = dg.MetadataValue.md(run_link(stage.paths.mlflow_uri, stage.mlflow_run_id))
    return shown


def _tell_mlflow(stage: Stage, metadata: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Return the stage's MLflow run its measures, its plot, and what it published."""
    from mmsra_pipeline.telemetry.tracking import annotate

    if stage.mlflow_run_id:
        annotate(
            stage.paths.mlflow_uri,
            stage.mlflow_run_id,
            metrics={name: float(value) for name, value in metadata.items() if isinstance(value, float)},
            tags={"artifact": stage.paths.remote.address(stage.published)} if stage.published else {},
            files=[_plot_file(stage)] if "plot_file" in shown else [],
        )


def _stored_config(stage: Stage) -> dg.MetadataValue:
    """Keep the whole resolved configuration once, and point to it."""
    settings = full_settings()
    path = stage.paths.artifacts / "configs" / f"{fingerprint(settings)}.json"
    if not path.is_file() or stage.paths.remote.is_store:
        stage.paths.remote.write(path, json.dumps(settings, indent=2).encode())
    return dg.MetadataValue.path(stage.paths.remote.address(path))


def _plot(stage: Stage, plot: bytes | None) -> dict[str, Any]:
    if plot is None:
        return {}
    path = _plot_file(stage)
    stage.paths.remote.write(path, plot)
    picture = base64.b64encode(plot).decode()
    return {
        "plot": dg.MetadataValue.md(f"![{stage.asset}](data:image/png;base64,{picture})"),
        "plot_file": dg.MetadataValue.path(stage.paths.remote.address(path)),
    }


def _plot_file(stage: Stage) -> Path:
    return stage.paths.artifacts / "plots" / stage.dataset / f"{stage.asset}.png"


def _json_ready(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {path: list(value) if isinstance(value, tuple) else value for path, value in settings.items()}


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, bool | int | float | str) or value is None:
        found = value
    elif hasattr(value, "tolist"):
        found = value.tolist()
    else:
        found = str(value)
    if isinstance(found, list):
        found = ", ".join(str(entry) for entry in found)
    if isinstance(found, float):
        return None if found != found else float(f"{found:.{DIGITS}g}")
    return found[:CELL_CHARS] if isinstance(found, str) else found


def switched_off(stage: Stage, value: str, *, checks: Sequence[dg.AssetCheckResult] = ()) -> dg.MaterializeResult:
    """Write the empty table of a training that the settings leave out, and report it so."""
    import pandas as pd

    stage.write(stage.asset, pd.DataFrame({"step": pd.Series(dtype="int64"), value: pd.Series(dtype="float64")}))
    return report(stage, {"switched_off": True}, checks=checks)
