"""Stage 6, evaluation: the same candidate lists ranked by the recommender and by all that it has to beat."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from mmsra_pipeline.columns import ITEM, SCORE, TARGET, TEST, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks import names
from mmsra_pipeline.orchestration.checks.results import Results, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.orchestration.queries import queries as asked
from mmsra_pipeline.orchestration.queries import with_histories
from mmsra_pipeline.orchestration.recommender_inputs import (
    PROMPT_TABLES,
    answered,
    cooccurrence_index,
    first_stage,
    user_encoder,
)
from mmsra_pipeline.orchestration.reporting import report
from mmsra_pipeline.orchestration.settings_read import code_version
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

OURS = "mmsrarec"


@dg.asset(
    deps=[Tables.FUSION, Tables.RECOMMENDER, Tables.ALIGNMENT, Tables.ITEM_IMAGES, Tables.SFT_DATASET, *PROMPT_TABLES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("rankings", 6, __name__),
    check_specs=specs(Tables.RANKINGS, blocking=(names.VARIES, names.AS_OF)),
)
@reusable
def rankings(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per protocol, ranking row, query and candidate of the test split: its score, and p where it is one.

    All rows rank the same lists, the true next item among drawn negatives. The table candidates has the lists, with
    signals and the model's answers. Nothing is fitted here.
    """
    import pandas as pd

    from mmsra_pipeline.evaluation.baselines import baseline_scores
    from mmsra_pipeline.evaluation.fused import fused_rankings
    from mmsra_pipeline.evaluation.given_lists import given_lists
    from mmsra_pipeline.evaluation.lists import all_lists, sample_queries
    from mmsra_pipeline.interactions.query_table import read_interactions
    from mmsra_pipeline.recommendation.evidence_model import fit_evidence
    from mmsra_pipeline.recommendation.fusion import load_models
    from mmsra_pipeline.recommendation.sft_dataset import training_lists

    stage = mmsra.stage(context)
    config, index = stage.config, cooccurrence_index(stage)
    interactions = read_interactions(stage.path(Tables.INTERACTIONS))
    training = stage.training_interactions()
    queries = with_histories(stage, sample_queries(asked(stage, TEST), config.evaluation, config.seed))
    ranking = first_stage(stage, index, queries)
    given = given_lists(stage.artifacts, config.evaluation.lists, queries) if config.evaluation.lists else None
    lists = all_lists(queries, training, interactions, ranking, 0, config.evaluation, config.seed, given)

    candidates = answered(stage, lists, queries)
    rows = [baseline_scores(candidates, queries, training, index, user_encoder(stage).full, config.seed)]
    columns, slots = rows[0].columns, [slot for slot in config.recommendation.prompt.evidence if slot != "all"]
    scores: dict[str, Any] = {OURS: candidates["p"]}
    if slots:
        scores["evidence"] = fit_evidence(training_lists(stage.read(Tables.SFT_DATASET)), slots).score(candidates)
    if stage.spec.format == "sample":
        scores["ceiling"] = _ceiling(stage, queries, candidates)
    for name, score in scores.items():
        p = score if name == OURS else float("nan")
        rows.append(candidates.assign(row=name, p=p, **{SCORE: score})[columns])
    rows.append(fused_rankings(candidates, load_models(stage.artifact(Tables.FUSION)))[columns])

    stage.write(Tables.RANKINGS, pd.concat(rows, ignore_index=True))
    stage.write(Tables.CANDIDATES, candidates, read_on=False)
    unseen = set(interactions[ITEM]) - set(training[ITEM])
    yield from report(stage, {"queries": len(queries), "cold_targets": float(queries[TARGET].isin(unseen).mean())})


def _ceiling(stage: Stage, queries: "pd.DataFrame", candidates: "pd.DataFrame") -> "pd.Series":
    """Score by what the made-up shop decided by: nobody can rank better."""
    import pandas as pd

    from mmsra_pipeline.ingest.readers.sample import sample_options
    from mmsra_pipeline.sample_store.ceiling import ceiling_scores
    from mmsra_pipeline.sample_store.shop import make_shop

    options = sample_options(stage.spec)
    scores = ceiling_scores(make_shop(options.size, options.seed), queries, candidates)
    return pd.Series(scores, index=candidates.index)
