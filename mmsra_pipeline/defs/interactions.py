"""Stage 1, interactions: what users did, cleaned, filtered and cut into queries."""

import logging
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from mmsra_pipeline.columns import SPLIT, TRAIN, VALIDATION, Tables
from mmsra_pipeline.config.datasets import list_datasets, load_dataset
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.errors import DataError, MmsraError
from mmsra_pipeline.orchestration.checks import names
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.interaction_checks import SPECS, interaction_checks
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import MEMORY
from mmsra_pipeline.orchestration.queries import queries
from mmsra_pipeline.orchestration.reporting import report, sample_table
from mmsra_pipeline.orchestration.settings_read import code_version
from mmsra_pipeline.storage.paths import find_paths

logger = logging.getLogger(__name__)


@dg.observable_source_asset(
    partitions_def=datasets,
    group_name=GROUPS["interactions"],
    tags={"dagster/kind/file": ""},
)
def source_files(context: dg.OpExecutionContext) -> dg.DataVersionsByPartition:
    """The source files of a data set, observed by the hash of their content: reviews, metadata and pictures."""
    from mmsra_pipeline.ingest.source_hash import source_version

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
    pool=MEMORY,
    group_name=GROUPS["interactions"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("raw_reviews", 5, __name__),
    check_specs=specs(Tables.RAW_REVIEWS, warning=("few_rejects", "whole_sources")),
)
@reusable
def raw_reviews(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per review of the source, as it stands there; one per item in raw_items, one per refused line in rejects.

    Every format ends in the same columns here. A bad line is kept out, counted and shown, and the rest goes on.
    """
    from mmsra_pipeline.ingest.raw_tables import ITEMS, REVIEWS
    from mmsra_pipeline.ingest.reading import load
    from mmsra_pipeline.ingest.refused import reject_counts
    from mmsra_pipeline.ingest.rejects import REJECTS
    from mmsra_pipeline.ingest.resuming import ReadingMemory
    from mmsra_pipeline.storage.growing import GrowingWriter

    stage = mmsra.stage(context)
    memory = ReadingMemory(stage.spec, stage.paths, stage.store, stage.code_version)
    earlier = memory.start()
    growing = partial(GrowingWriter, beginning=earlier.beginning if earlier else None)

    with (
        stage.store.duckdb() as connection,
        stage.writer(Tables.REJECTS, REJECTS, read_on=False) as rejects,
        stage.writer(Tables.RAW_ITEMS, ITEMS) as items,
        stage.writer(Tables.RAW_REVIEWS, REVIEWS, opened=growing) as reviews,
    ):
        loaded = load(stage.spec, stage.source_folder, connection, reviews.write, items.write, rejects.write, earlier)
    memory.keep(loaded.marks, reviews, rejects.slice)

    reasons = reject_counts(stage.paths, stage.dataset, stage.path(Tables.REJECTS))
    most = stage.config.interactions.max_reject_share
    found = (
        f"{loaded.rejects - loaded.repeated} of {loaded.rows} rows ({loaded.bad_share:.1%}) were refused; table "
        f"rejects says file, line and reason. Fix them, or raise interactions.max_reject_share ({most:.0%})"
    )
    damaged = "; ".join(loaded.damaged) or "all files were read to their end"
    yield from report(
        stage,
        {
            "source rows": loaded.rows,
            "reviews read before": earlier.mark.reviews if earlier else 0,
            "repeated items": loaded.repeated,
            "told from the files": "; ".join(loaded.notes) or "nothing: all is as usual",
            "reject reasons": sample_table(reasons, len(reasons)),
        },
        checks=[
            check("few_rejects", loaded.bad_share <= most, found, share=loaded.bad_share),
            check("whole_sources", not loaded.damaged, f"{damaged}. Get a damaged file again"),
        ],
    )


@dg.asset(
    deps=[Tables.RAW_REVIEWS],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["interactions"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("interactions", 2, __name__),
    check_specs=SPECS,
)
@reusable
def interactions(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per user and item taken, in order of time (position 0, 1, …), after filtering.

    The table funnel says how many users, items and interactions each filter left.
    """
    from mmsra_pipeline.ingest.refused import why_few
    from mmsra_pipeline.interactions.filtering import build_interactions
    from mmsra_pipeline.interactions.funnel_plot import funnel_png
    from mmsra_pipeline.interactions.measures import measure_interactions

    stage = mmsra.stage(context)
    config, reviews, items = stage.config, stage.path(Tables.RAW_REVIEWS), stage.path(Tables.RAW_ITEMS)

    with stage.store.duckdb() as connection:
        try:
            kept, funnel = build_interactions(connection, reviews, config.interactions, config.seed, raw_items=items)
        except DataError as error:
            raise DataError(f"{why_few(stage.paths, stage.dataset)}{error}") from None
        stage.write(Tables.INTERACTIONS, kept)
        measured = measure_interactions(connection, stage.slices[0][0].path, items, datetime.now(UTC))

    stage.write(Tables.FUNNEL, funnel, read_on=False)
    metadata = {
        "funnel": sample_table(funnel, count=len(funnel)),
        "earliest": measured.earliest or "no times",
        "latest": measured.latest or "no times",
    }
    yield from report(stage, metadata, checks=interaction_checks(measured), plot=funnel_png(funnel))


@dg.asset(
    deps=[Tables.INTERACTIONS],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["interactions"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("sequences", 2, __name__),
    check_specs=specs(Tables.SEQUENCES),
)
@reusable
def sequences(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per query: a user at a moment, where the history before it begins, and what came next (the target).

    The history itself stands in interactions. Split 'serve' has one row per user, the whole history and no target: the
    query of a recommendation. The table training_bounds says up to which position of a user training may see.
    """
    from mmsra_pipeline.interactions.splits import build_sequences, query_counts

    stage = mmsra.stage(context)
    config, source = stage.config, stage.path(Tables.INTERACTIONS)

    with stage.store.duckdb() as connection:
        rows, bounds = build_sequences(connection, source, config.interactions, config.seed)
        stage.write(Tables.SEQUENCES, rows)
        stage.write(Tables.TRAINING_BOUNDS, bounds)
        counts = query_counts(connection, stage.slices[0][0].path)

    yield from report(stage, {"queries": counts})


@dg.asset(
    deps=[Tables.SEQUENCES],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["interactions"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("training_queries", 1, __name__),
    check_specs=specs(Tables.TRAINING_QUERIES, blocking=(names.NO_TEST,)),
)
@reusable
def training_queries(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per query drawn for the recommender: those that it learns from, and those that choose its best step.

    As many as `recommendation.examples` needs and `recommendation.validation_lists` asks for.
    """
    from mmsra_pipeline.interactions.query_sampling import draw_queries

    stage = mmsra.stage(context)

    drawn = draw_queries(queries(stage, TRAIN, VALIDATION), stage.config.recommendation, stage.config.seed)

    stage.write(Tables.TRAINING_QUERIES, drawn)
    counts = {str(split): int(count) for split, count in drawn[SPLIT].value_counts().items()}
    yield from report(stage, {"drawn": counts})
