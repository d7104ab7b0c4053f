"""Stage 1, interactions: what users did, cleaned, filtered and cut into queries."""

import logging

import dagster as dg

from mmsra_pipeline.columns import SPLIT, Tables
from mmsra_pipeline.datasets import list_datasets, load_dataset
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.defs.reporting import check, report, sample_table
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.defs.settings import code_version
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.paths import find_paths

FEW_REJECTS = 0.05
logger = logging.getLogger(__name__)


@dg.observable_source_asset(partitions_def=datasets, group_name="interactions")
def source_files(context: dg.OpExecutionContext) -> dg.DataVersionsByPartition:
    """The source files of a data set, observed by the hash of their content: reviews, metadata and pictures."""
    from mmsra_pipeline.interactions.sources import source_version

    folder = find_paths().datasets
    known = set(context.instance.get_dynamic_partitions("dataset"))
    versions = {}
    for name in sorted(known.intersection(list_datasets(folder))):
        try:
            versions[name] = source_version(load_dataset(folder, name))
        except MmsraError as error:
            logger.error("dataset %s was not observed: %s", name, error)
    return dg.DataVersionsByPartition(versions)


@dg.asset(
    deps=[source_files],
    partitions_def=datasets,
    group_name="interactions",
    kinds={"parquet"},
    code_version=code_version("raw_reviews", 1),
    check_specs=[dg.AssetCheckSpec("few_rejects", asset=Tables.RAW_REVIEWS)],
)
def raw_reviews(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per review of the source, as it stands there; one per item in raw_items, one per refused line in rejects.

    Every format ends in the same columns here. A bad line is kept out, counted and shown, and the rest goes on.
    """
    from mmsra_pipeline.interactions.reviews import read_dataset

    stage = mmsra.stage(context)

    raw = read_dataset(stage.spec, stage.source_folder)

    stage.write(Tables.RAW_REVIEWS, raw.reviews)
    stage.write(Tables.RAW_ITEMS, raw.items)
    stage.write(Tables.REJECTS, raw.rejects, read_on=False)
    share = len(raw.rejects) / max(len(raw.reviews) + len(raw.items) + len(raw.rejects), 1)
    found = f"{len(raw.rejects)} lines ({share:.1%}) were refused; table rejects says file, line and reason"
    return report(stage, checks=[check("few_rejects", share <= FEW_REJECTS, found, warn=True, share=share)])


@dg.asset(
    deps=[Tables.RAW_REVIEWS],
    partitions_def=datasets,
    group_name="interactions",
    kinds={"parquet"},
    code_version=code_version("interactions", 1),
)
def interactions(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per user and item taken, in order of time (position 0, 1, …), after filtering.

    The table funnel says how many users, items and interactions each filter left.
    """
    from mmsra_pipeline.interactions.filtering import build_interactions

    stage = mmsra.stage(context)
    reviews, items = stage.read(Tables.RAW_REVIEWS), stage.read(Tables.RAW_ITEMS)

    kept, funnel = build_interactions(reviews, stage.config.interactions, stage.config.seed, raw_items=items)

    stage.write(Tables.INTERACTIONS, kept)
    stage.write(Tables.FUNNEL, funnel, read_on=False)
    return report(stage, {"funnel": sample_table(funnel, count=len(funnel))})


@dg.asset(
    deps=[Tables.INTERACTIONS],
    partitions_def=datasets,
    group_name="interactions",
    kinds={"parquet"},
    code_version=code_version("sequences", 1),
)
def sequences(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per query: a user at a moment, with the history before it and the item that came next (the target).

    Split 'serve' has one row per user, the whole history and no target: the query of a recommendation.
    """
    from mmsra_pipeline.interactions.splits import build_sequences

    stage = mmsra.stage(context)
    taken = stage.read(Tables.INTERACTIONS)

    queries = build_sequences(taken, stage.config.interactions, stage.config.seed)

    stage.write(Tables.SEQUENCES, queries)
    counts = {str(name): int(count) for name, count in queries[SPLIT].value_counts().items()}
    return report(stage, {"queries": counts})
