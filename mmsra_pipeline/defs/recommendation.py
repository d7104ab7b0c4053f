"""Stage 5, recommendation: examples, the recommender, and what it recommends."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np

from mmsra_pipeline.columns import SERVE, SPLIT, TRAIN, USER, VALIDATION, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks import names
from mmsra_pipeline.orchestration.checks.results import Results, specs
from mmsra_pipeline.orchestration.freshness import FRESH
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE, MEMORY
from mmsra_pipeline.orchestration.queries import drawn, histories, seen_of_late, similar_rows, with_histories
from mmsra_pipeline.orchestration.queries import queries as asked
from mmsra_pipeline.orchestration.recommender_inputs import (
    PROMPT_TABLES,
    cooccurrence_index,
    first_stage,
    prompt_context,
    scoring_workers,
    signal_source,
    tuned_backbone,
    untuned_backbone,
)
from mmsra_pipeline.orchestration.reporting import report, switched_off
from mmsra_pipeline.orchestration.settings_read import code_version, loaded_config
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.recommendation.evidence_model import EvidenceModel

MANY_USERS = 100_000  # above which, unless the settings say otherwise, only those seen of late are asked about


@dg.asset(
    deps=[Tables.TRAINING_QUERIES, *PROMPT_TABLES],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("sft_dataset", 7, __name__),
    check_specs=specs(Tables.SFT_DATASET, blocking=(names.NO_HELD_OUT, names.AS_OF)),
)
@reusable
def sft_dataset(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per example of one of four tasks: prompts (text and pictures in order) with their answers.

    A query is one example with all its candidates. Rows of the split validation choose the best step of the training.
    """
    stage = mmsra.stage(context)
    examples, evidence = _examples(stage)
    with stage.publish() as folder:
        evidence.save(folder)
    stage.write(Tables.SFT_DATASET, examples)
    of_training = examples[examples[SPLIT] == TRAIN]
    found = {
        "tasks": {str(task): int(count) for task, count in of_training["task"].value_counts().items()},
        "validation_lists": int((examples[SPLIT] == VALIDATION).sum()),
    }
    yield from report(stage, found)


def _examples(stage: Stage) -> "tuple[pd.DataFrame, EvidenceModel]":
    """Return the examples, and the regression on their evidence. What made them is gone before they are checked."""
    import pandas as pd

    from mmsra_pipeline.interactions.query_table import distinct_items
    from mmsra_pipeline.recommendation.evidence_model import EvidenceModel
    from mmsra_pipeline.recommendation.sft_dataset import build_sft_dataset

    config = stage.config.recommendation
    asked_about = pd.concat([drawn(stage, split) for split in (TRAIN, VALIDATION)], ignore_index=True)
    queries = with_histories(stage, asked_about)
    interacted = dict(histories(stage, queries).of_users(queries[USER].unique().tolist()))
    ranking = first_stage(stage, cooccurrence_index(stage), queries) if config.negatives.first_stage else None
    signals = signal_source(stage, queries, fitted=False)
    examples = build_sft_dataset(
        queries,
        stage.read(Tables.TRAINING_QUERIES),
        stage.training_interactions(),
        prompt_context(stage, queries, pictures=False),
        signals,
        ranking,
        config,
        stage.config.seed,
        interacted,
        distinct_items(stage.path(Tables.INTERACTIONS)),
    )
    return examples, signals.evidence or EvidenceModel((), ())


@dg.asset(
    deps=[Tables.SFT_DATASET, Tables.ALIGNMENT, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version=code_version("recommender", 3, __name__),
    check_specs=specs(Tables.RECOMMENDER, blocking=(names.FINITE,), warning=(names.FALLS,)),
)
@reusable
def recommender(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """The recommender, an adapter tuned on the examples of all tasks; rows are its loss by step.

    With `recommendation.epochs: 0` there is no adapter and the table is empty: scores without SFT (table 6).
    """
    from mmsra_pipeline.backbone.elsewhere import origin_of
    from mmsra_pipeline.backbone.lora import save_adapter
    from mmsra_pipeline.recommendation.ranks import threads_of, train_in_ranks
    from mmsra_pipeline.recommendation.training import train_recommender
    from mmsra_pipeline.telemetry.plots import curve_png

    stage = mmsra.stage(context)
    config, ranks = stage.config, loaded_config().compute.training_ranks
    if config.recommendation.epochs == 0:
        yield from switched_off(stage, "loss")
        return
    examples = stage.read(Tables.SFT_DATASET)
    backbone = untuned_backbone(stage, read=ranks == 1)

    with stage.training(config.backbone.device) as (workdir, tracker):
        if ranks == 1:
            model, curve = train_recommender(
                backbone, examples, stage.images(), config.recommendation, config.seed, workdir, tracker
            )
            save: Callable[[Path], None] = functools.partial(save_adapter, model)
        else:
            origin, pictures = origin_of(backbone, stage.artifacts, threads_of(ranks)), stage.read(Tables.ITEM_IMAGES)
            save, curve = train_in_ranks(
                origin, examples, pictures, config.recommendation, config.seed, workdir, tracker, ranks
            )

    with stage.publish() as folder:
        save(folder)
    stage.write(Tables.RECOMMENDER, curve, read_on=False)
    yield from report(stage, plot=curve_png(curve, "step", ["loss", "validation_loss"], "recommender"))


@dg.asset(
    deps=[Tables.FUSION, Tables.SFT_DATASET, Tables.RECOMMENDER, Tables.ALIGNMENT, Tables.ITEM_IMAGES, *PROMPT_TABLES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("recommendations", 8, __name__),
    freshness_policy=FRESH,
    check_specs=specs(Tables.RECOMMENDATIONS),
)
@reusable
def recommendations(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per user and place of the user's top list: the item, its p, and the keywords that speak for it.

    The first stage takes candidates out of the whole catalogue; the fusion of the recommender's answer with
    collaborative signals and likeness ranks them. Users who are not asked about get the first stage's order.
    """
    from mmsra_pipeline.interactions.query_table import plain
    from mmsra_pipeline.recommendation.fusion import FUSED, load_models
    from mmsra_pipeline.recommendation.score_cache import KeptScores
    from mmsra_pipeline.recommendation.top_n import SCHEMA, lists_in_parts, recommend

    stage = mmsra.stage(context)
    config, texts, (queries, scored) = stage.config, stage.read(Tables.ITEM_TEXT), _served(stage)
    user_histories, none = histories(stage, queries), plain(queries.iloc[:0])
    ranking = first_stage(stage, cooccurrence_index(stage), user_histories)
    prompts, signals = prompt_context(stage, none, pictures=True), signal_source(stage, none)
    backbone, model = tuned_backbone(stage), load_models(stage.artifact(Tables.FUSION))[FUSED]
    spread, kept = scoring_workers(stage, backbone, prompts), KeptScores(stage.score_file())

    def score(part: "pd.DataFrame") -> "pd.DataFrame":
        similar = similar_rows(stage, part)
        return recommend(
            backbone,
            part,
            ranking.candidates(part, config.retrieval.first_stage.candidates),
            signals.asked_about(similar),
            model,
            prompts.asked_about(similar, config.retrieval.similar_users.k),
            texts,
            config.recommendations.top_n,
            kept,
            autocast=config.recommendation.scoring_autocast,
            spread=spread,
        )

    with kept, stage.writer(Tables.RECOMMENDATIONS, SCHEMA) as table:
        size = config.recommendations.top_n
        for part in lists_in_parts(queries, scored, user_histories, ranking, score, prompts.keywords, texts, size):
            table.write(part)
    yield from report(stage, {"users": len(queries), "users_by_first_stage": int((~scored).sum())})


def _served(stage: Stage) -> "tuple[pd.DataFrame, np.ndarray]":
    """Return the queries of the users who get a list, a sample if the settings bound them, and whom to ask about."""
    queries, config = asked(stage, SERVE), stage.config.recommendations
    scored = np.ones(len(queries), dtype=bool)
    bound = "active" if config.users is None and len(queries) > MANY_USERS else config.users
    if bound == "active":
        scored = queries[USER].isin(seen_of_late(stage, config.active_days)).to_numpy()
    elif bound is not None and bound < len(queries):
        queries = queries.sample(bound, random_state=stage.config.seed).sort_index()
        scored = scored[:bound]
    return queries.reset_index(drop=True), scored
