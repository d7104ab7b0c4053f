"""The same checks of what is current: after an upgrade, or where rows that were published long ago are doubted."""

import functools
from dataclasses import dataclass
from typing import Final, Literal

import dagster as dg

from mmsra_pipeline.errors import ConfigError, MmsraError
from mmsra_pipeline.orchestration.checks.again import stored_checks
from mmsra_pipeline.orchestration.checks.names import COMPARED
from mmsra_pipeline.orchestration.materializations import last
from mmsra_pipeline.orchestration.settings_read import READS, dataset_config, readable
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.paths import Paths

State = Literal["passes", "warns", "fails", "absent"]
WHOLE: Final = "all"
"""Stands for the checks of an asset that could not be made."""


@dataclass(frozen=True)
class Checked:
    """What a check found of what is current of an asset."""

    asset: str
    check: str
    state: State
    found: str


def check_current(instance: dg.DagsterInstance, paths: Paths, dataset: str, asset: str | None = None) -> list[Checked]:
    """Run the checks that need only what is stored, of all assets of a data set or of one; nothing is changed.

    Raises:
        ConfigError: if there is no such asset.
    """
    if asset is not None and asset not in READS:
        raise ConfigError(f"there is no asset {asset!r}. Choose one of: {', '.join(READS)}.")
    return [found for name in ([asset] if asset else READS) for found in _of_asset(instance, paths, dataset, name)]


def _of_asset(instance: dg.DagsterInstance, paths: Paths, dataset: str, asset: str) -> list[Checked]:
    before = functools.partial(last, instance, asset, dataset, 2 * COMPARED)
    stage = Stage(asset, dataset, "", "", readable(asset, dataset_config(paths, dataset)), paths, before=before)
    if not stage.store.has(asset, dataset):
        return [Checked(asset, WHOLE, "absent", f"never published; run `mmsra refresh --dataset {dataset}`")]
    try:
        results = stored_checks(stage)
    except MmsraError as error:
        return [Checked(asset, WHOLE, "fails", str(error))]
    return [Checked(asset, str(one.check_name), _state(one), one.description or "") for one in results]


def _state(result: dg.AssetCheckResult) -> State:
    if result.passed:
        return "passes"
    return "warns" if result.severity == dg.AssetCheckSeverity.WARN else "fails"
