"""Stage 6, evaluation: the recall of the first stage, and the metrics of all rows that rank the same lists."""

import dagster as dg

from mmsra_pipeline.columns import TARGET, TEST, USER, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.freshness import FRESH
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import MEMORY
from mmsra_pipeline.orchestration.queries import queries as asked
from mmsra_pipeline.orchestration.queries import queries_of_users, with_histories
from mmsra_pipeline.orchestration.recommender_inputs import cooccurrence_index, first_stage
from mmsra_pipeline.orchestration.reporting import report, sample_table
from mmsra_pipeline.orchestration.settings_read import code_version


@dg.asset(
    deps=[
        Tables.USER_ENCODER,
        Tables.COOCCURRENCE_NEIGHBORS,
        Tables.INTERACTIONS,
        Tables.SEQUENCES,
        Tables.ITEM_TEXT,
        Tables.ITEM_KEYWORDS,
    ],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pandas"},
    code_version=code_version("first_stage_recall", 1, __name__),
    check_specs=specs(Tables.FIRST_STAGE_RECALL),
)
@reusable
def first_stage_recall(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per view and k: how often the first k candidates hold what came next, in percent, 95 % intervals.

    Of the users of the test split, `evaluation.recall_users` at most, over the whole catalogue, against popularity and
    each view alone.
    """
    from mmsra_pipeline.evaluation.lists import held_out_queries, recall_queries
    from mmsra_pipeline.evaluation.recall import first_stage_recall as measure

    stage = mmsra.stage(context)
    some = recall_queries(held_out_queries(asked(stage, TEST)), stage.config.evaluation.recall_users, stage.config.seed)
    queries, training = with_histories(stage, some), stage.training_interactions()
    ranking = first_stage(stage, cooccurrence_index(stage), queries)

    table = measure(ranking, queries, training, stage.config.evaluation.bootstrap, stage.config.seed)

    stage.write(Tables.FIRST_STAGE_RECALL, table)
    cold = float(queries[TARGET].isin(ranking.cold).mean())
    yield from report(stage, {"all_recall": sample_table(table, count=len(table)), "cold_targets": cold})


@dg.asset(
    deps=[Tables.RANKINGS, Tables.INTERACTIONS, Tables.SEQUENCES, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pandas", "mlflow"},
    code_version=code_version("metrics", 2, __name__),
    freshness_policy=FRESH,
    check_specs=specs(Tables.METRICS, blocking=("metrics_are_numbers",), warning=("adds_to_evidence",)),
)
@reusable
def metrics(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per ranking row, protocol and metric, in percent, with a 95 % interval over users.

    The table differences compares rows, paired by user, and pairwise all of them; metrics_by_count parts users by how
    often training saw what came next, metrics_by_slice also by history, picture and time; user_metrics has every list.
    """
    from mmsra_pipeline.evaluation.by_count import by_count_table
    from mmsra_pipeline.evaluation.differences import beyond_evidence, differences_table, followed_differences
    from mmsra_pipeline.evaluation.measuring import headline, measure, metrics_table
    from mmsra_pipeline.evaluation.metric_plots import metrics_png
    from mmsra_pipeline.evaluation.pairwise import pairwise_table
    from mmsra_pipeline.evaluation.slices import query_parts, slices_table
    from mmsra_pipeline.evaluation.user_metrics import user_metrics_table

    stage = mmsra.stage(context)
    config, drawn = stage.config, (stage.config.evaluation.bootstrap, stage.config.seed)
    pictures = stage.read(Tables.ITEM_IMAGES)
    measured = measure(stage.read(Tables.RANKINGS), config.evaluation, config.seed)
    users = {str(user) for one in measured for user in one.queries[USER]}
    sequences = with_histories(stage, queries_of_users(stage, users))
    table, differences = metrics_table(measured), differences_table(measured)
    training = stage.training_interactions()
    by_count = by_count_table(measured, training, *drawn)
    parts = {one.protocol: query_parts(one.queries, sequences, training, pictures) for one in measured}

    with stage.tracked():  # an MLflow run of its own, which report() gives the numbers to follow
        stage.write(Tables.METRICS, table)
        stage.write(Tables.DIFFERENCES, differences)
        stage.write(Tables.METRICS_BY_COUNT, by_count)
        stage.write(Tables.METRICS_BY_SLICE, slices_table(measured, parts, *drawn))
        stage.write(Tables.PAIRWISE, pairwise_table(measured))
        stage.write(Tables.USER_METRICS, user_metrics_table(measured))
    better, said = beyond_evidence(differences, f"hr@{config.evaluation.cutoff}")
    bad = int(table[["value", "low", "high"]].isna().any(axis=1).sum())
    found = f"{bad} of {len(table)} metrics are not numbers"
    yield from report(
        stage,
        {"all_metrics": sample_table(table, count=len(table)), **headline(table), **followed_differences(differences)},
        checks=[
            check("metrics_are_numbers", bad == 0, found),
            check("adds_to_evidence", better, said, warn=True),
        ],
        plot=metrics_png(table),
    )
