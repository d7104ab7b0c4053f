"""Variants: data sets on the same sources with other settings. Which there are, and what one has to compute."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from mmsra_pipeline.config.datasets import DatasetSpec, config_of, list_datasets, load_dataset
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.settings_read import READS, effective, json_ready, settings_of
from mmsra_pipeline.orchestration.staleness import AssetGraph, asset_names
from mmsra_pipeline.storage.paths import Paths

EVERY: Final = tuple(sorted({path for paths in READS.values() for path in paths}))


class Expected(NamedTuple):
    """What making a variant comes to, by asset, in the order of the flow."""

    computed: list[str]
    """They read a setting that is another one."""
    depending: list[str]
    """They depend on those: computed too, unless these come out the same."""
    taken_over: list[str]
    """They are what the data set has."""


def same_sources(one: DatasetSpec, other: DatasetSpec) -> bool:
    """Whether two data sets read the same in the same way."""
    return (one.format, one.path, one.options) == (other.format, other.path, other.options)


def changed(one: Config, other: Config) -> dict[str, Any]:
    """Return the single settings with effect on results that ``other`` has otherwise, by dotted path."""
    before, after = (json_ready(effective(EVERY, config)) for config in (one, other))
    return {path: value for path, value in after.items() if before.get(path) != value}


def variants_of(paths: Paths, name: str) -> dict[str, dict[str, Any]]:
    """Return the variants of a data set, by name, with the settings in which they differ from it.

    A description that cannot be read is passed over: whoever refreshes that data set sees the error.

    Raises:
        ConfigError: if ``name`` is not described.
    """
    own = load_dataset(paths.datasets, name)
    config, found = config_of(own), {}
    for other in list_datasets(paths.datasets):
        try:
            spec = load_dataset(paths.datasets, other)
            differing = changed(config, config_of(spec)) if other != name and same_sources(own, spec) else {}
        except MmsraError:
            continue
        if differing:
            found[other] = differing
    return found


def expected(graph: AssetGraph, one: Config, other: Config, left_out: Iterable[str] = ()) -> Expected:
    """Return what a variant with the settings ``other`` computes and takes over of a data set with ``one``."""
    found = Expected([], [], [])
    parents = _parents(graph)
    for name in asset_names(graph):
        if name in left_out:
            continue
        if name in READS and settings_of(name, one) != settings_of(name, other):
            found.computed.append(name)
        elif parents[name] & {*found.computed, *found.depending}:
            found.depending.append(name)
        else:
            found.taken_over.append(name)
    return found


def _parents(graph: AssetGraph) -> Mapping[str, set[str]]:
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
