"""What the UI shows of a materialization: rows, a sample, settings, a curve, checks."""

import base64
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mmsra_pipeline.columns import NEIGHBOR, REVIEW, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.orchestration.checks.again import stored_checks
from mmsra_pipeline.orchestration.checks.names import WITHIN_MEMORY
from mmsra_pipeline.orchestration.checks.results import Results, check
from mmsra_pipeline.orchestration.materializations import MEMORY, NULLS, ROWS, SECONDS, SETTINGS, SLICE, WORK
from mmsra_pipeline.orchestration.settings_read import full_settings, json_ready, loaded_config, settings_of
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.orchestration.table_metadata import table_metadata
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.telemetry.losing import losing

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5
CELL_CHARS = 100
DIGITS = 6
HIDDEN: Final = "(hidden: automation.show_users)"
REFUSED: Final = ("file", "line", "text")  # columns of rejects
logger = logging.getLogger(__name__)


def report(
    stage: Stage,
    metadata: Mapping[str, Any] | None = None,
    *,
    checks: Sequence[dg.AssetCheckResult] = (),
    plot: bytes | None = None,
) -> Results:
    """Check what ``stage`` has staged, make it current, and give the results of an asset.

    The data version is a hash of the content that was written, so that an unchanged output stops the chain.

    Args:
        stage: where the asset has written.
        metadata: what the asset says of what it made.
        checks: those that need more than what is stored; the others are made here.
        plot: a picture, PNG.

    Raises:
        DataError: naming the blocking checks that did not pass. Nothing becomes current then, so that what readers
            see stays what it is, and the asset stays stale: no later run builds on it either.
    """
    from mmsra_pipeline.orchestration.checks.like_before import null_shares

    results = [*checks, *stored_checks(stage), _within_memory(stage.memory.gb())]
    failed = [
        one
        for one in results
        if not one.passed and one.severity == dg.AssetCheckSeverity.ERROR and one.check_name in stage.blocking
    ]
    if failed:
        yield from results
        raise DataError(_refusal(stage, failed))
    stage.make_current()
    standard = _tables(stage) | _artifacts(stage) | _plot(stage, plot) | {"config": stored_config(stage)}
    _tell_mlflow(stage, metadata or {}, standard)
    standard[SETTINGS] = dg.MetadataValue.json(json_ready(settings_of(stage.asset, stage.config)))
    if stage.work:
        standard[WORK] = stage.work
    standard[NULLS] = dg.MetadataValue.json(null_shares(stage.slices[0][0].path))
    rows, seconds = stage.slices[0][0].rows, time.monotonic() - stage.started
    logger.info("%s: %s is done in %.1f s, %d rows", stage.dataset, stage.asset, seconds, rows)
    yield dg.MaterializeResult(
        metadata=standard | {SECONDS: round(seconds, 3), MEMORY: round(stage.memory.gb(), 3)} | dict(metadata or {}),
        data_version=dg.DataVersion(fingerprint(stage.outputs)),
        check_results=results,
    )


def _within_memory(peak_gb: float) -> dg.AssetCheckResult:
    """Warn where the process of the step took more than a step is reckoned to need."""
    most = loaded_config().limits.step_memory_gb
    found = (
        f"the process of this step took {peak_gb:.2f} GB at most; limits.step_memory_gb is {most:g}, by which so many "
        "steps run beside each other as fit into memory. Raise that where it is less"
    )
    return check(WITHIN_MEMORY, peak_gb <= most, found, warn=True, peak_memory_gb=round(peak_gb, 3))


def _refusal(stage: Stage, failed: Sequence[dg.AssetCheckResult]) -> str:
    """Say which checks failed, and where what they refused can be looked at."""
    found = "; ".join(f"{one.check_name}: {one.description}" for one in failed)
    kept = "; ".join(
        f"table {written.table}: mmsra sql \"from read_parquet('{written.path}')\"" for written, _ in stage.slices
    )
    artifact = f"; artifact: {stage.staged}" if stage.staged else ""
    return (
        f"asset {stage.asset!r} of dataset {stage.dataset!r} did not pass its checks. {found}. Nothing was published: "
        f"readers see what they saw before. What was made can be looked at until it is swept as old versions are: "
        f"{kept}{artifact}"
    )


def sample_table(rows: "pd.DataFrame", count: int = SAMPLE_ROWS) -> dg.TableMetadataValue:
    """Show the first rows; without users and what they wrote, unless ``automation.show_users``."""
    hidden = set() if loaded_config().automation.show_users else _of_users([str(name) for name in rows.columns])
    records = [
        dg.TableRecord({str(name): HIDDEN if name in hidden else _cell(value) for name, value in row.items()})
        for row in rows.head(count).to_dict(orient="records")
    ]
    columns = [dg.TableColumn(str(name), str(dtype)) for name, dtype in rows.dtypes.items()]
    return dg.TableMetadataValue(records=records, schema=dg.TableSchema(columns))


def _of_users(columns: Sequence[str]) -> set[str]:
    """Columns of a table with users or what they wrote; a refused line of a source may hold both."""
    own = {USER, REVIEW}
    if USER in columns:
        own.add(NEIGHBOR)  # elsewhere it is an item
    if set(REFUSED) <= set(columns):
        own.add(REFUSED[-1])
    return own.intersection(columns)


def _tables(stage: Stage) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for number, (written, rows) in enumerate(stage.slices):
        own = number == 0
        metadata |= table_metadata(written.table, written.path, written.rows) if own else {}
        metadata[ROWS if own else f"{written.table} rows"] = written.rows
        metadata["sample" if own else f"{written.table} sample"] = sample_table(rows)
        where = stage.paths.remote.address(written.path)
        metadata[SLICE if own else f"{written.table} slice"] = dg.MetadataValue.path(where)
    return metadata


def _artifacts(stage: Stage) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if stage.staged:
        metadata["artifact"] = dg.MetadataValue.path(stage.paths.remote.address(stage.staged))
    if stage.mlflow_run_id:
        from mmsra_pipeline.telemetry.tracking import run_link

        metadata["mlflow_run"] = dg.MetadataValue.md(f"`{stage.mlflow_run_id}`")
        with losing("the question for the place of a run"):
            metadata["mlflow_run"] = dg.MetadataValue.md(run_link(stage.paths.mlflow_uri, stage.mlflow_run_id))
    return metadata


def _tell_mlflow(stage: Stage, metadata: Mapping[str, Any], standard: Mapping[str, Any]) -> None:
    """Return the stage's MLflow run its measures, its plot, and what it published."""
    from mmsra_pipeline.telemetry.tracking import annotate

    if not stage.mlflow_run_id:
        return
    with losing("measures, tags and the plot"):  # what was made is current already
        annotate(
            stage.paths.mlflow_uri,
            stage.mlflow_run_id,
            metrics={name: float(value) for name, value in metadata.items() if isinstance(value, float)},
            tags={"artifact": stage.paths.remote.address(stage.staged)} if stage.staged else {},
            files=[plot_file(stage)] if "plot_file" in standard else [],
        )


def stored_config(stage: Stage) -> dg.MetadataValue:
    """Keep the whole resolved configuration once, and point to it."""
    settings = full_settings(stage.config)
    path = stage.paths.artifacts / "configs" / f"{fingerprint(settings)}.json"
    if not path.is_file() or stage.paths.remote.is_store:
        stage.paths.remote.write(path, json.dumps(settings, indent=2).encode())
    return dg.MetadataValue.path(stage.paths.remote.address(path))


def _plot(stage: Stage, plot: bytes | None) -> dict[str, Any]:
    if plot is None:
        return {}
    path = plot_file(stage)
    stage.paths.remote.write(path, plot)
    picture = base64.b64encode(plot).decode()
    return {
        "plot": dg.MetadataValue.md(f"![{stage.asset}](data:image/png;base64,{picture})"),
        "plot_file": dg.MetadataValue.path(stage.paths.remote.address(path)),
    }


def plot_file(stage: Stage) -> Path:
    """Return where the plot of an asset lies."""
    return stage.paths.artifacts / "plots" / stage.dataset / f"{stage.asset}.png"


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


def switched_off(stage: Stage, value: str, *, checks: Sequence[dg.AssetCheckResult] = ()) -> Results:
    """Write the empty table of a training that the settings leave out, and report it so."""
    import pandas as pd

    stage.write(stage.asset, pd.DataFrame({"step": pd.Series(dtype="int64"), value: pd.Series(dtype="float64")}))
    yield from report(stage, {"switched_off": True}, checks=checks)
