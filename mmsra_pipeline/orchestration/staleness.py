"""What is stale, and why. The only module that uses internals of Dagster.

Dagster has no public call that says whether one partition of an asset is stale. ``CachingStaleStatusResolver`` answers
what the UI shows; tests/orchestration/test_staleness.py holds what is expected of it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCause,
    StaleCauseCategory,
    StaleStatus,
)
from dagster._core.loader import LoadingContext

from mmsra_pipeline.orchestration.settings_sources import is_settings

MISSING = "was never materialized"
GONE = "what it had made is gone"
CODE_CHANGED = "its code changed"
SETTINGS_CHANGED = "settings changed"

AssetGraph = Any  # Dagster's BaseAssetGraph, which has no public name


@dataclass(frozen=True)
class Stale:
    """An asset of a data set that must, or may have to, be computed."""

    asset: str
    partition: str
    reasons: tuple[str, ...]
    certain: bool
    """Whether it has a cause of its own; else one upstream may give it one, or may come out unchanged."""

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]"


def stale_assets(
    instance: dg.DagsterInstance,
    graph: AssetGraph,
    partition: str,
    *,
    leave_out: Collection[str] = (),
    exists: Callable[[str], bool] = lambda _asset: True,
    changes: Callable[[str], list[str]] = lambda _asset: [],
) -> list[Stale]:
    """Return all that is stale of a partition, each asset after those it depends on.

    Args:
        instance: holds what was materialized and observed.
        graph: of the assets as they are now.
        partition: the data set.
        leave_out: assets that are not to be computed now. What they have made counts as up to date; what depends on one
            that was never materialized cannot be made and is left out too.
        exists: whether what an asset has made of the partition is still there; Dagster cannot know.
        changes: which settings of an asset changed since it was materialized, in words. Such a change makes it stale
            whatever was observed.
    """
    resolver = CachingStaleStatusResolver(instance, graph, _Loading(instance))
    found: dict[str, Stale] = {}
    unavailable: set[str] = set()
    for name, parents in _in_order(graph):
        key = dg.AssetKey(name)
        never = resolver.get_status(key, partition) == StaleStatus.MISSING
        missing = never or not exists(name)
        if name in leave_out or unavailable.intersection(parents):
            if missing or unavailable.intersection(parents):
                unavailable.add(name)
            continue
        own: tuple[str, ...]
        if missing:
            own = (MISSING if never else GONE,)
        else:
            own = _reasons(resolver.get_stale_causes(key, partition), changes(name))
        if own:
            found[name] = Stale(name, partition, own, certain=True)
        else:
            upstream = [parent for parent in parents if parent in found]
            if upstream:
                reason = f"may change with {', '.join(upstream)}"
                found[name] = Stale(name, partition, (reason,), certain=False)
    return list(found.values())


def asset_names(graph: AssetGraph) -> list[str]:
    """Return the assets that we make, each after those it depends on."""
    return [name for name, _ in _in_order(graph)]


def codes_behind(graph: AssetGraph, assets: Collection[str]) -> dict[str, str | None]:
    """Return the code versions of assets and of all that we make that they depend on, each after what it depends on."""
    behind = set(assets)
    for name, parents in reversed(list(_in_order(graph))):
        if name in behind:
            behind.update(parents)
    return {name: graph.get(dg.AssetKey(name)).code_version for name in asset_names(graph) if name in behind}


def codes_of(graph: AssetGraph) -> dict[str, str | None]:
    """Return the code version of each asset that we make."""
    return {name: graph.get(dg.AssetKey(name)).code_version for name in asset_names(graph)}


def next_wave(graph: AssetGraph, stale: Collection[Stale]) -> list[Stale]:
    """Return what can be computed at once: what is surely stale and depends on nothing that is only perhaps so.

    What is only perhaps stale waits: if what it depends on comes out unchanged, it need not be computed.
    """
    by_name = {entry.asset: entry for entry in stale}
    wave: dict[str, Stale] = {}
    for name, parents in _in_order(graph):
        entry = by_name.get(name)
        if entry and entry.certain and all(parent in wave or parent not in by_name for parent in parents):
            wave[name] = entry
    return list(wave.values())


def _in_order(graph: AssetGraph) -> Iterator[tuple[str, list[str]]]:
    """The assets that we make, each after those it depends on, with the names of these."""
    for level in graph.toposorted_asset_keys_by_level:
        for key in sorted(level):
            node = graph.get(key)
            if not node.is_external:
                yield key.to_user_string(), sorted(parent.to_user_string() for parent in node.parent_keys)


def _reasons(causes: Iterable[StaleCause], changes: list[str]) -> tuple[str, ...]:
    """Say why an asset is stale; for all sources of settings that changed the changes stand, as far as known."""
    said = [f"{SETTINGS_CHANGED}: {', '.join(changes)}"] if changes else []
    for cause in causes:
        key = cause.dependency_asset_key
        of_settings = key is not None and is_settings(key)
        if not (of_settings and changes and cause.category is StaleCauseCategory.DATA):
            said.append(_reason(cause, key.to_user_string() if key else ""))
    return tuple(dict.fromkeys(said))


def _reason(cause: StaleCause, dependency: str) -> str:
    if cause.category is StaleCauseCategory.CODE:
        return CODE_CHANGED
    if cause.category is StaleCauseCategory.DATA:
        return f"{dependency} has changed"
    return f"{cause.reason}"


class _Loading(LoadingContext):
    """What the resolver loads records through; the cache lives as long as this object."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict[type, Any] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        return self._loaders
