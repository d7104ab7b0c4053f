"""Stage 6, evaluation: the same candidate lists ranked by the recommender and four baselines, and metrics."""

from collections.abc import Iterator

import dagster as dg

from mmsra_pipeline.columns import ITEM, SCORE, TARGET, Tables
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.defs.recommendation import (
    PROMPT_TABLES,
    TRAINED,
    cooccurrence_index,
    first_stage,
    prompt_context,
)
from mmsra_pipeline.defs.reporting import check, report, report_or_stop, sample_table
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.defs.settings import code_version
from mmsra_pipeline.defs.shown import GROUPS, OWNERS

OURS = "mmsrarec"


@dg.asset(
    deps=[Tables.RECOMMENDER, Tables.ALIGNMENT, Tables.USER_ENCODER, *PROMPT_TABLES],
    partitions_def=datasets,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("rankings", 4),
)
def rankings(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per protocol, ranking row, query and candidate: its score, and p where the recommender ranks.

    All rows rank the same lists, the true next item among drawn negatives; the table candidates has them.
    """
    import pandas as pd

    from mmsra_pipeline.evaluation.baselines import baseline_scores
    from mmsra_pipeline.evaluation.candidates import draw_candidates, sample_queries
    from mmsra_pipeline.recommendation.scoring import score_candidates
    from mmsra_pipeline.retrieval.encoder import UserEncoder

    stage = mmsra.stage(context)
    config, index, training = stage.config, cooccurrence_index(stage), stage.training_interactions()
    taken = stage.read(Tables.INTERACTIONS)
    queries = sample_queries(stage.read(Tables.SEQUENCES), config.evaluation, config.seed)
    candidates = draw_candidates(
        queries, training, taken[ITEM].unique().tolist(), config.evaluation, config.seed, interactions=taken
    )
    encoder = UserEncoder.load(stage.artifact(Tables.USER_ENCODER))
    prompts, backbone = prompt_context(stage, index), stage.backbone(*TRAINED)

    baselines = baseline_scores(candidates, queries, training, index, encoder, config.seed)
    autocast = config.recommendation.scoring_autocast
    p = score_candidates(backbone, queries, candidates, prompts, stage.score_file(), autocast=autocast)
    ours = candidates.assign(row=OURS, p=p, **{SCORE: p})

    stage.write(Tables.RANKINGS, pd.concat([baselines, ours], ignore_index=True))
    stage.write(Tables.CANDIDATES, candidates, read_on=False)
    return report(stage, {"queries": len(queries)})


@dg.asset(
    deps=[Tables.USER_ENCODER, Tables.INTERACTIONS, Tables.SEQUENCES, Tables.ITEM_TEXT, Tables.ITEM_KEYWORDS],
    partitions_def=datasets,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pandas"},
    code_version=code_version("first_stage_recall", 1),
)
def first_stage_recall(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per view and k: how often the first k candidates hold what came next, in percent, 95 % intervals.

    Of all users of the test split, over the whole catalogue, against popularity and each view alone.
    """
    from mmsra_pipeline.evaluation.candidates import held_out_queries
    from mmsra_pipeline.evaluation.first_stage import first_stage_recall as measure

    stage = mmsra.stage(context)
    queries, training = held_out_queries(stage.read(Tables.SEQUENCES)), stage.training_interactions()
    ranking = first_stage(stage, cooccurrence_index(stage))

    table = measure(ranking, queries, training, stage.config.evaluation.bootstrap, stage.config.seed)

    stage.write(Tables.FIRST_STAGE_RECALL, table)
    cold = float(queries[TARGET].isin(ranking.cold).mean())
    return report(stage, {"all_recall": sample_table(table, count=len(table)), "cold_targets": cold})


@dg.asset(
    deps=[Tables.RANKINGS],
    partitions_def=datasets,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pandas"},
    code_version=code_version("metrics", 1),
    check_specs=[dg.AssetCheckSpec("metrics_are_numbers", asset=Tables.METRICS, blocking=True)],
)
def metrics(
    context: dg.AssetExecutionContext, mmsra: Installation
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """One row per ranking row, protocol and metric, in percent, with a 95 % interval over users."""
    from mmsra_pipeline.evaluation.plots import metrics_png
    from mmsra_pipeline.evaluation.report import metrics_table

    stage = mmsra.stage(context)
    ranked = stage.read(Tables.RANKINGS)

    table = metrics_table(ranked, stage.config.evaluation, stage.config.seed)

    stage.write(Tables.METRICS, table)
    bad = int(table[["value", "low", "high"]].isna().any(axis=1).sum())
    found = f"{bad} of {len(table)} metrics are not numbers"
    yield from report_or_stop(
        stage,
        {"all_metrics": sample_table(table, count=len(table))},
        checks=[check("metrics_are_numbers", bad == 0, found)],
        plot=metrics_png(table),
    )
