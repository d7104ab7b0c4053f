"""The settings of data sets as Dagster sees them: observed sources that assets depend on, some for each section.

Dagster compares an asset with its sources by one version each. So settings that different assets read stand in
different sources: a setting belongs to that of the longest path in ``READS`` that it lies at or below, and paths of a
section that the same assets read share one. An asset depends on those sources, and no others, that hold what it reads.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.settings_read import (
    KEYWORD_FORM,
    READS,
    WITHOUT_EFFECT,
    effective,
    json_ready,
)
from mmsra_pipeline.storage.hashing import fingerprint

PREFIX: Final = "settings"
DATA_VERSION: Final = "dagster/data_version"
NAMES: Final = {tuple(sorted(KEYWORD_FORM)): "keyword_form"}
"""Of sources of several paths that several assets read; others are named by all of their paths."""


@functools.cache
def settings_sources() -> Mapping[dg.AssetKey, tuple[str, ...]]:
    """Return the sources with the dotted paths that each holds, in order of name."""
    groups: dict[tuple[str, frozenset[str]], list[str]] = {}
    for path in sorted({path for paths in READS.values() for path in paths} - WITHOUT_EFFECT):
        groups.setdefault((path.partition(".")[0], _readers(path)), []).append(path)
    named = {_key(section, readers, paths): tuple(paths) for (section, readers), paths in groups.items()}
    return dict(sorted(named.items()))


def sources_of(asset: str) -> list[dg.AssetKey]:
    """Return the sources of what an asset reads."""
    return [key for key, paths in settings_sources().items() if asset in _readers(paths[0])]


def is_settings(key: dg.AssetKey) -> bool:
    """Whether a key is that of such a source."""
    return key.path[0] == PREFIX


def values_of(key: dg.AssetKey, config: Config) -> dict[str, Any]:
    """Return the settings of a source that change results, by dotted path down to single values."""
    paths = settings_sources()[key]
    others = {path for more in settings_sources().values() for path in more} - set(paths)
    found = json_ready(effective(paths, config))
    return {place: value for place, value in found.items() if _longest(place, (*paths, *others)) in paths}


def version_of(key: dg.AssetKey, config: Config) -> str:
    """Return the data version of a source: the hash of its settings."""
    return fingerprint(values_of(key, config))


def observe_settings(
    instance: dg.DagsterInstance, dataset: str, config: Config, keys: Iterable[dg.AssetKey] | None = None
) -> None:
    """Tell Dagster the settings of a data set, as far as it does not know them: a run notes which it was made with.

    ``keys``: of these sources; None: of all.
    """
    for key in settings_sources() if keys is None else keys:
        version = version_of(key, config)
        if _observed(instance, key, dataset) != version:
            values = {"settings": dg.MetadataValue.json(values_of(key, config))}
            tags = {DATA_VERSION: version}
            instance.report_runless_asset_event(dg.AssetObservation(key, partition=dataset, tags=tags, metadata=values))


def with_settings(assets: Iterable[Any]) -> Iterator[Any]:
    """Return the assets, each depending on the sources of what it reads, so that none can be forgotten."""
    for asset in assets:
        known = isinstance(asset, dg.AssetsDefinition) and asset.is_executable and asset.key.to_user_string() in READS
        yield asset.map_asset_specs(_depending) if known else asset


def _depending(spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(deps=[*spec.deps, *sources_of(spec.key.to_user_string())])


def _observed(instance: dg.DagsterInstance, key: dg.AssetKey, dataset: str) -> str | None:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[dataset])
    records = instance.fetch_observations(wanted, limit=1).records
    event = records[0].asset_observation if records else None
    return (event.tags or {}).get(DATA_VERSION) if event else None


def _readers(path: str) -> frozenset[str]:
    return frozenset(asset for asset, paths in READS.items() if _longest(path, paths))


def _longest(place: str, paths: Iterable[str]) -> str:
    """Return the longest of the paths that a place lies at or below; empty if it lies below none."""
    return max((path for path in paths if f"{place}.".startswith(f"{path}.")), key=len, default="")


def _key(section: str, readers: frozenset[str], paths: list[str]) -> dg.AssetKey:
    """Name a source by its one path, else by the one asset that reads it, else by what it holds."""
    if len(paths) == 1:
        return dg.AssetKey([PREFIX, *paths[0].split(".")])
    joined = NAMES.get(tuple(paths)) or "_and_".join(path.rpartition(".")[2] for path in paths)
    return dg.AssetKey([PREFIX, section, next(iter(readers)) if len(readers) == 1 else joined])
