"""When to train again: how far the data have moved since the recommender was trained, and whether settings have.

Measured against the tables that were current when the recommender was materialized. Those slices are pinned in the
store, so that they are still there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.operation import AutomationConfig
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.materializations import Materialization, changed_settings, latest
from mmsra_pipeline.orchestration.settings_read import READS, settings_of
from mmsra_pipeline.orchestration.staleness import AssetGraph, codes_behind
from mmsra_pipeline.storage.hashing import fingerprint

if TYPE_CHECKING:
    from mmsra_pipeline.storage.tables import Store

WATCHED: Final = (Tables.INTERACTIONS, Tables.ITEM_KEYWORDS)
Measure = Callable[[Any, Path, Path], float]


@dataclass(frozen=True)
class Watched:
    """A table as the recommender's training saw it, and as it is."""

    table: str
    then: Materialization | None
    now: Materialization | None

    def share(self, store: "Store", dataset: str, measure: Measure) -> float | None:
        """Return what ``measure`` gives of both slices; None if what the training saw is not there any more."""
        if self.then is None or self.now is None or self.then.slice == self.now.slice:
            return 0.0
        then, now = (
            store.version(self.table, dataset, moment.slice) if moment.slice else None
            for moment in (self.then, self.now)
        )
        if then is None or now is None:
            return None
        with store.duckdb() as connection:
            return measure(connection, then, now)

    @property
    def grown(self) -> float:
        """The share of new rows by their number alone: what was replaced does not show."""
        then, now = (moment.rows if moment else None for moment in (self.then, self.now))
        return max(0.0, (now - then) / now) if now and then is not None else 0.0


def watched(instance: dg.DagsterInstance, dataset: str) -> list[Watched]:
    """Return the tables by which a retraining is judged; none if the recommender was never trained."""
    trained = latest(instance, Tables.RECOMMENDER, dataset)
    if trained is None:
        return []
    return [
        Watched(table, latest(instance, table, dataset, before=trained), latest(instance, table, dataset))
        for table in WATCHED
    ]


def retraining_reasons(
    instance: dg.DagsterInstance,
    graph: AssetGraph,
    store: "Store",
    dataset: str,
    settings: AutomationConfig,
    config: Config | None,
) -> list[str]:
    """Say why the adapters of a data set should be renewed; nothing where they should not, or there are none yet.

    ``config``: the settings of the data set; None where they cannot be read: then they are not compared.
    """
    from mmsra_pipeline.orchestration.drift import changed_keywords_share, new_share

    tables = watched(instance, dataset)
    if not tables:
        return []
    interactions, keywords = tables
    reasons = []
    new = interactions.share(store, dataset, new_share)
    new = interactions.grown if new is None else new
    if new >= settings.retrain_share:
        reasons.append(
            f"{new:.1%} of the interactions came after the recommender was trained "
            f"(automation.retrain_share is {settings.retrain_share:.1%})"
        )
    changed = keywords.share(store, dataset, changed_keywords_share)
    if changed is not None and changed >= settings.keyword_drift:
        reasons.append(
            f"{changed:.1%} of the items have other keywords than when the recommender was trained "
            f"(automation.keyword_drift is {settings.keyword_drift:.1%})"
        )
    for asset, difference in _other_code(instance, graph, dataset, config):
        reasons.append(f"{asset} was made with other settings or code: {difference}")
    return reasons


def _other_code(
    instance: dg.DagsterInstance, graph: AssetGraph, dataset: str, config: Config | None
) -> Iterator[tuple[str, str]]:
    """Return the trainings, and what they depend on, that other code or settings made for the recommender.

    Of what they depend on, only what has come out different since.
    """
    trained = latest(instance, Tables.RECOMMENDER, dataset)
    for asset, code in codes_behind(graph, COSTLY).items():
        seen = trained if asset == Tables.RECOMMENDER else latest(instance, asset, dataset, before=trained)
        now = latest(instance, asset, dataset)
        if seen is None or now is None:
            continue
        changes = changed_settings(asset, seen, config) if config else []
        if not changes and seen.code in (None, code):
            continue
        if asset in COSTLY or now.version != seen.version:
            yield asset, ", ".join(changes) or "other code"


def occasion(instance: dg.DagsterInstance, graph: AssetGraph, dataset: str, config: Config | None) -> str:
    """Name what a retraining would be made of. For one occasion it is asked for once, be it that its run fails."""
    latest_events = [latest(instance, asset, dataset) for asset in (Tables.RECOMMENDER, *WATCHED)]
    codes = codes_behind(graph, COSTLY)
    read = {asset: settings_of(asset, config) for asset in codes if config and asset in READS}
    code = fingerprint(codes, read)
    return " ".join([dataset, code, *(str(event.number) if event else "-" for event in latest_events)])


def pin_what_the_training_saw(instance: dg.DagsterInstance, store: "Store", dataset: str) -> None:
    """Have the store keep the slices that the recommender was trained on, to measure against, and no older ones."""
    for table in watched(instance, dataset):
        if table.then and table.then.slice and store.has(table.table, dataset):
            store.pin(table.table, dataset, {table.then.slice})
