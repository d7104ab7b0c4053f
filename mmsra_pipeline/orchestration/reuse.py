"""Takes over what another data set has that was made of the same: code, settings, inputs. Then nothing is computed.

Each materialization notes a fingerprint of what it was made of. Outputs are named by their content, so what was taken
over has the versions of the other data set, and what depends on it has its fingerprint too: a variant of a data set
(``mmsra dataset vary``) computes what its own settings change, and what depends on that.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.orchestration.checks.names import LIKE_BEFORE
from mmsra_pipeline.orchestration.checks.results import Results
from mmsra_pipeline.orchestration.materializations import (
    REUSED_FROM,
    ROWS,
    SLICE,
    Materialization,
    latest,
    latest_with_event,
)
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.reporting import plot_file, stored_config
from mmsra_pipeline.orchestration.settings_read import settings_of
from mmsra_pipeline.orchestration.settings_sources import DATA_VERSION, is_settings
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.run_locks import work_lock

BESIDE: Final = f" {SLICE}"
"""Behind the name of a table that an asset writes beside its own, in the metadata."""
logger = logging.getLogger(__name__)


def taken_over(stage: Stage, context: dg.AssetExecutionContext) -> Results | None:
    """Return the results of an asset that another data set's slice gives, or None: then it has to be computed.

    Only what is current there and passed its blocking checks is taken over. Meanwhile, and until the stage ends, no
    other process computes the same. Who starts what is made of the same as before wants it computed, and gets that.
    """
    instance = context.instance
    stage.work = work_of(stage, instance, context.assets_def.asset_deps[context.asset_key])
    others = [name for name in instance.get_dynamic_partitions(str(datasets.name)) if name != stage.dataset]
    before = latest(instance, stage.asset, stage.dataset)
    if stage.work is None or not others or (before is not None and before.work == stage.work):
        return None
    what = f"what is made of the same as {stage.asset} of {stage.dataset}"
    stage.held.enter_context(locked(work_lock(stage.paths, stage.work), what))
    checks = {str(spec.name) for spec in context.assets_def.check_specs}
    for other in sorted(others):
        found = latest_with_event(instance, stage.asset, other)
        if found is None or found[0].work != stage.work or not _is_current(stage, stage.asset, other, found[0]):
            continue
        materialization, event = found
        results = _checked(instance, stage, materialization)
        if {str(one.check_name) for one in results} == checks:
            try:
                _adopt(stage, other, materialization)
            except MissingInputError as error:
                logger.info("%s: %s of %s is not taken over: %s", stage.dataset, stage.asset, other, error)
                stage.slices.clear()
                stage.staged = None
            else:
                return _reported(stage, other, event, results)
    return None


def work_of(stage: Stage, instance: dg.DagsterInstance, parents: Iterable[dg.AssetKey]) -> str | None:
    """Return the fingerprint of what an asset is made of: code, settings, how its source is read, and its inputs.

    None if the version of an input is not known: an asset that was never materialized, or whose pointers were moved by
    a run that was killed before it could say so; a source never observed.
    """
    versions = {key.to_user_string(): _version(stage, instance, key) for key in parents if not is_settings(key)}
    if not stage.code_version or None in versions.values():
        return None
    read = (stage.spec.format, stage.spec.options)
    return fingerprint(stage.asset, stage.code_version, settings_of(stage.asset, stage.config), read, versions)


def _version(stage: Stage, instance: dg.DagsterInstance, key: dg.AssetKey) -> str | None:
    name = key.to_user_string()
    materialization = latest(instance, name, stage.dataset)
    if materialization is not None:
        return materialization.version if _is_current(stage, name, stage.dataset, materialization) else None
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[stage.dataset])
    for record in instance.fetch_observations(wanted, limit=1).records:
        if record.asset_observation:
            return (record.asset_observation.tags or {}).get(DATA_VERSION)
    return None


def _is_current(stage: Stage, asset: str, dataset: str, materialization: Materialization) -> bool:
    """Whether readers see all that a materialization made: its tables and its artifact."""
    artifact = materialization.metadata.get("artifact")
    if artifact is not None and stage.artifacts.version(asset, dataset) != PurePath(str(artifact)).name:
        return False
    try:
        return all(
            stage.store.current(table, dataset).version == _named(materialization, name)
            for table, name in _tables(asset, materialization).items()
        )
    except MissingInputError:
        return False


def _tables(asset: str, materialization: Materialization) -> dict[str, str]:
    """Return the tables of a materialization, each with the name of the metadata that says its slice."""
    beside = {name.removesuffix(BESIDE): name for name in materialization.metadata if name.endswith(BESIDE)}
    return {asset: SLICE} | beside


def _named(materialization: Materialization, name: str) -> str:
    return PurePath(str(materialization.metadata.get(name))).stem


def _checked(instance: dg.DagsterInstance, stage: Stage, materialization: Materialization) -> list[dg.AssetCheckResult]:
    """Return what the checks found of a materialization, as its run has it."""
    found = {}
    for entry in instance.all_logs(materialization.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        one: Any = entry.dagster_event.event_specific_data if entry.dagster_event else None
        if one is not None and one.asset_key.to_user_string() == stage.asset:
            found[one.check_name] = dg.AssetCheckResult(
                check_name=one.check_name,
                passed=one.passed,
                severity=one.severity,
                description=one.description,
                metadata=one.metadata,
            )
    return list(found.values())


def _adopt(stage: Stage, other: str, materialization: Materialization) -> None:
    """Stage the tables and the artifact of another data set's materialization as those of this one.

    Raises:
        MissingInputError: if something of it is gone.
    """
    import pandas as pd

    from mmsra_pipeline.storage.adoption import adopt_artifact, adopt_slice
    from mmsra_pipeline.storage.slices import Slice

    for table, name in _tables(stage.asset, materialization).items():
        version = _named(materialization, name)
        path = stage.store.version(table, other, version)
        if path is None:
            raise MissingInputError(f"version {version} of table {table} is gone.")
        rows = int(materialization.metadata[ROWS if name == SLICE else f"{table} rows"])
        stage.slices.append(
            (adopt_slice(stage.paths, Slice(table, other, version, rows, path), stage.dataset), pd.DataFrame())
        )
    if artifact := materialization.metadata.get("artifact"):
        place = stage.artifacts.root / stage.asset / other / PurePath(str(artifact)).name
        stage.staged = adopt_artifact(stage.paths, place, stage.dataset)


def _reported(stage: Stage, other: str, event: dg.AssetMaterialization, results: list[dg.AssetCheckResult]) -> Results:
    """Make current what was adopted, and say of it what was said there, with places of its own.

    The results of the checks are those of the same content there; what compares with earlier materializations of the
    data set itself is checked anew.
    """
    from mmsra_pipeline.orchestration.checks.like_before import like_before

    again = [like_before(stage.slices[0][0], stage.before())]
    kept = [*(one for one in results if one.check_name != LIKE_BEFORE), *again]
    stage.make_current()
    logger.info("%s: %s is taken over from %s, which made it of the same", stage.dataset, stage.asset, other)
    yield dg.MaterializeResult(
        metadata={**event.metadata, **dict(_places(stage, other, event)), REUSED_FROM: other},
        data_version=dg.DataVersion((event.tags or {})[DATA_VERSION]),
        check_results=kept,
    )


def _places(stage: Stage, other: str, event: dg.AssetMaterialization) -> Iterator[tuple[str, Any]]:
    """Give the metadata that names places, for this data set; its plot is copied."""
    remote = stage.paths.remote
    for written, _ in stage.slices:
        name = SLICE if written.table == stage.asset else f"{written.table}{BESIDE}"
        yield name, dg.MetadataValue.path(remote.address(written.path))
    if stage.staged:
        yield "artifact", dg.MetadataValue.path(remote.address(stage.staged))
    yield "config", stored_config(stage)
    if "plot_file" in event.metadata:
        own = plot_file(stage)
        content = remote.read(own.parent.parent / other / own.name)
        if content is not None:
            remote.write(own, content)
            yield "plot_file", dg.MetadataValue.path(remote.address(own))
