"""Stage 6, evaluation: whether what is served is good, measured over the whole catalogue."""

from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import ITEM, KEYWORDS, RANK, TARGET, TEST, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.orchestration.queries import queries as asked
from mmsra_pipeline.orchestration.queries import with_histories
from mmsra_pipeline.orchestration.recommender_inputs import PROMPT_TABLES, answered, cooccurrence_index, first_stage
from mmsra_pipeline.orchestration.reporting import report, sample_table
from mmsra_pipeline.orchestration.settings_read import code_version

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mmsra_pipeline.recommendation.fusion import FusionModel

HELPS = "reranking_does_no_harm"


@dg.asset(
    deps=[Tables.FUSION, Tables.RECOMMENDER, Tables.ALIGNMENT, Tables.ITEM_IMAGES, Tables.SFT_DATASET, *PROMPT_TABLES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("served_quality", 1, __name__),
    check_specs=specs(Tables.SERVED_QUALITY, warning=(HELPS,)),
)
@reusable
def served_quality(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per row, depth and metric: the first stage's candidates as the model orders them, over the catalogue.

    Of a sample of test users (`evaluation.served_users`), against the first stage's own order. The table
    served_candidates has the lists; served_traits says how popular, varied and new they are, served_overlap what rows
    have in common.
    """
    from mmsra_pipeline.config.tree import EvaluationConfig
    from mmsra_pipeline.evaluation.beyond_accuracy import overlap_table, traits_table
    from mmsra_pipeline.evaluation.lists import FIRST_STAGE_RANK, SERVED, sample_queries
    from mmsra_pipeline.evaluation.served import in_lists, served_orders, served_table
    from mmsra_pipeline.recommendation.fusion import FUSED, load_models
    from mmsra_pipeline.retrieval.popularity import popularity

    stage = mmsra.stage(context)
    config = stage.config.evaluation
    bound = EvaluationConfig(users=config.served_users)
    queries = with_histories(stage, sample_queries(asked(stage, TEST), bound, stage.config.seed))
    ranking = first_stage(stage, cooccurrence_index(stage), queries)
    lists = ranking.candidates(queries, max(config.served_depths)).rename(columns={RANK: FIRST_STAGE_RANK})
    lists = lists.merge(queries[["user_id", "position", TARGET]], on=["user_id", "position"])
    lists.insert(0, "protocol", SERVED)
    lists["is_target"] = lists[ITEM] == lists.pop(TARGET)

    candidates = answered(stage, lists, queries)
    models = load_models(stage.artifact(Tables.FUSION))
    scores = {key: score for depth in config.served_depths for key, score in _scores(candidates, models, depth).items()}
    orders = served_orders(ranking, queries, candidates, scores)
    table = served_table(orders, config.bootstrap, stage.config.seed)
    keywords = stage.read(Tables.ITEM_KEYWORDS)
    users_of = dict(zip(ranking.items, popularity(stage.training_interactions(), ranking.items).tolist()))
    words = {item: tuple(own) for item, own in zip(keywords[ITEM], keywords[KEYWORDS])}

    stage.write(Tables.SERVED_QUALITY, table)
    stage.write(Tables.SERVED_CANDIDATES, candidates.assign(p_served=models[FUSED].probability(candidates)))
    stage.write(Tables.SERVED_TRAITS, traits_table(orders, config.cutoff, len(ranking.items), users_of, words))
    stage.write(Tables.SERVED_OVERLAP, overlap_table(orders, config.cutoff))
    harmless, said = _harm(table, FUSED, min(config.served_depths))
    yield from report(
        stage,
        {
            "all_served": sample_table(table, count=len(table)),
            "users": len(queries),
            "targets among the candidates": in_lists(queries, candidates),
        },
        checks=[check(HELPS, harmless, said, warn=True)],
    )


def _scores(
    candidates: "pd.DataFrame", models: "dict[str, FusionModel]", depth: int
) -> "dict[tuple[str, int], np.ndarray]":
    """Return the scores of the first ``depth`` candidates by row; the fusion joins what stands in one list."""
    import numpy as np

    inside = candidates["first_stage_rank"].to_numpy(dtype=np.int64) <= depth
    found = {("mmsrarec", depth): candidates["p"].to_numpy(dtype=np.float64)}
    for row, model in models.items():
        found[row, depth] = np.full(len(candidates), -np.inf)
        found[row, depth][inside] = model.score(candidates[inside])
    return found


def _harm(table: "pd.DataFrame", row: str, depth: int) -> tuple[bool, str]:
    """Tell whether users show that the served order finds less than that of the first stage."""
    own = table[(table["row"] == row) & (table["depth"] == depth)].set_index("metric").loc["ndcg@5"]
    said = (
        f"NDCG@5 over the whole catalogue of {row} on the first {depth} candidates is {own['value']:.1f} %, "
        f"{own['difference']:+.1f} points [{own['difference_low']:+.1f}, {own['difference_high']:+.1f}] from the first "
        f"stage's own order, {own['users']:.0f} users"
    )
    return bool(own["difference_high"] >= 0), said
