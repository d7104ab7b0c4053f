"""The command `mmsra plan`: what computing a data set will take, by what it took here before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from mmsra_pipeline.cli.results import AsJson, Dataset
from mmsra_pipeline.columns import USER, Tables
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.telemetry.terminal import print_json, print_rows

if TYPE_CHECKING:
    from mmsra_pipeline.config.tree import Config
    from mmsra_pipeline.storage.tables import Store

COMPUTED = ("changed", "unchanged")


@dataclass(frozen=True)
class Size:
    """How large a data set is; None: not known before its first assets were computed."""

    interactions: int | None
    items: int | None
    users: int | None


@dataclass(frozen=True)
class Planned:
    """One asset of a plan."""

    asset: str
    count: int | None
    unit: str
    per_unit: float | None
    """Seconds, the most that a refresh here took; None: none has computed it."""
    measured_on: str
    """The data set of that refresh."""

    @property
    def seconds(self) -> float | None:
        """What it will take."""
        return None if self.count is None or self.per_unit is None else self.count * self.per_unit


def plan(dataset: Dataset, as_json: AsJson = False) -> None:
    """Print what computing a data set will take, by the slowest that each asset was here, whatever data set that was.

    Sizes are those of its tables, so what no asset has counted yet is unknown: `raw_reviews` to `item_text` take
    minutes even where a model takes days. Caches may make it less.
    """
    from mmsra_pipeline.config.datasets import load_dataset
    from mmsra_pipeline.config.loading import load_config

    paths = find_paths()
    load_dataset(paths.datasets, dataset)
    planned = plan_of(paths, dataset, load_config())
    known = [one.seconds for one in planned if one.seconds is not None]
    unknown = [one.asset for one in planned if one.seconds is None]
    if as_json:
        rows = [{**vars(one), "seconds": one.seconds} for one in planned]
        print_json({"dataset": dataset, "assets": rows, "seconds": sum(known), "unknown": unknown})
        return
    lines = [
        [one.asset, "?" if one.count is None else f"{one.count:,}", one.unit, _said(one.per_unit), _said(one.seconds),
         one.measured_on]
        for one in planned
    ]  # fmt: skip
    print_rows(f"Plan of {dataset}", ["asset", "how many", "of", "each", "in all", "measured on"], lines)
    typer.echo(f"\n{_said(sum(known))} in all, one after the other.")
    if unknown:
        typer.echo(f"Not known, for no refresh here has computed or counted it: {', '.join(unknown)}.")


def plan_of(paths: Paths, dataset: str, config: "Config") -> list[Planned]:
    """Return the assets in the order of the graph, with how much each will do and how long it took here at most."""
    from mmsra_pipeline.storage.tables import Store

    store = Store.of(paths)
    rates: dict[str, tuple[float, str]] = {}
    for other in store.datasets(Tables.REFRESH_REPORT):
        done = store.read(Tables.REFRESH_REPORT, other)
        most = done[done["outcome"].isin(COMPUTED)].groupby("asset")["seconds"].max()
        for asset, (count, _) in work_of(size_of(store, other), config).items():
            if count and asset in most:
                rates[asset] = max(rates.get(asset, (0.0, "")), (float(most[asset]) / count, other))
    return [
        Planned(asset, count, unit, *rates.get(asset, (None, "")))
        for asset, (count, unit) in work_of(size_of(store, dataset), config).items()
    ]


def size_of(store: "Store", dataset: str) -> Size:
    """Return how large a data set is, by its tables."""

    def rows(table: str) -> int | None:
        return store.current(table, dataset).rows if store.has(table, dataset) else None

    users = None
    if store.has(Tables.INTERACTIONS, dataset):
        with store.duckdb() as connection:
            path = str(store.current(Tables.INTERACTIONS, dataset).path)
            query = f"select count(distinct {USER}) from read_parquet($path, hive_partitioning = false)"
            [[users]] = connection.execute(query, {"path": path}).fetchall()
    items = rows(Tables.ITEM_TEXT)
    return Size(rows(Tables.INTERACTIONS), rows(Tables.RAW_ITEMS) if items is None else items, users)


def work_of(size: Size, config: "Config") -> Mapping[str, tuple[int | None, str]]:
    """Return how many units of work each asset has, and what one is; the settings bound what a model looks at."""

    def most(bound: Any, known: int | None) -> int | None:
        return bound if known is None else min(known, bound) if isinstance(bound, int) else known

    protocols = len(config.evaluation.protocols)
    by_row = [Tables.RAW_REVIEWS, Tables.INTERACTIONS, Tables.SEQUENCES, Tables.TRAINING_QUERIES]
    work: dict[str, tuple[int | None, str]] = dict.fromkeys(by_row, (size.interactions, "interactions"))
    work |= dict.fromkeys([Tables.ITEM_TEXT, Tables.ITEM_IMAGES], (size.items, "items"))
    work[Tables.ALIGNMENT] = (config.alignment.steps, "steps")
    work[Tables.DRAFT_KEYWORDS] = (most(config.summarization.draft_items, size.items), "items")
    work[Tables.SUMMARIZER] = (config.grpo.steps, "steps")
    work[Tables.ITEM_KEYWORDS] = (size.items, "items")
    work[Tables.KEYWORD_QUALITY] = (size.items, "items")
    by_row = [Tables.USER_ENCODER, Tables.SIMILAR_USERS, Tables.COOCCURRENCE_NEIGHBORS]
    work |= dict.fromkeys(by_row, (size.interactions, "interactions"))
    work[Tables.SFT_DATASET] = (config.recommendation.examples, "examples")
    work[Tables.RECOMMENDER] = (config.recommendation.examples * config.recommendation.epochs, "examples")
    work[Tables.FIRST_STAGE_RECALL] = (most(config.evaluation.recall_users, size.users), "users")
    validated, tested = (most(one, size.users) for one in (config.evaluation.validation_users, config.evaluation.users))
    work[Tables.FUSION] = (None if validated is None else validated * (protocols + 1), "lists")
    work[Tables.RANKINGS] = (None if tested is None else tested * protocols, "lists")
    work[Tables.METRICS] = work[Tables.RANKINGS]
    work[Tables.RECOMMENDATIONS] = (most(config.recommendations.users, size.users), "lists")
    return work


def _said(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1000 * seconds:.3g} ms"
