"""Stage 5, recommendation: examples, the recommender, and what it recommends."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import ITEM, KEYWORDS, POSITION, SERVE, SPLIT, TRAIN, USER, Tables
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.defs.reporting import check, report, report_or_stop, switched_off
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.defs.settings import code_version
from mmsra_pipeline.defs.shown import GROUPS, OWNERS
from mmsra_pipeline.defs.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.recommendation.context import PromptContext
    from mmsra_pipeline.retrieval.candidates import FirstStage
    from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex

TRAINED = (Tables.ALIGNMENT, Tables.RECOMMENDER)
"""Whose adapters the backbone has that scores candidates."""
PROMPT_TABLES = [
    Tables.INTERACTIONS,
    Tables.SEQUENCES,
    Tables.ITEM_TEXT,
    Tables.ITEM_IMAGES,
    Tables.ITEM_KEYWORDS,
    Tables.SIMILAR_USERS,
]


@dg.asset(
    deps=[
        Tables.INTERACTIONS,
        Tables.SEQUENCES,
        Tables.ITEM_TEXT,
        Tables.ITEM_KEYWORDS,
        Tables.SIMILAR_USERS,
        Tables.COOCCURRENCE_NEIGHBORS,
    ],
    partitions_def=datasets,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("sft_dataset", 3),
    check_specs=[dg.AssetCheckSpec("no_held_out_query", asset=Tables.SFT_DATASET, blocking=True)],
)
def sft_dataset(
    context: dg.AssetExecutionContext, mmsra: Installation
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """One row per training example: a prompt (text and pictures in order) of one of four tasks, and its answer."""
    from mmsra_pipeline.recommendation.sft_dataset import build_sft_dataset

    stage = mmsra.stage(context)
    sequences, training = stage.read(Tables.SEQUENCES), stage.training_interactions()

    examples = build_sft_dataset(
        sequences,
        training,
        stage.read(Tables.ITEM_KEYWORDS),
        stage.read(Tables.ITEM_TEXT),
        stage.read(Tables.SIMILAR_USERS),
        cooccurrence_index(stage),
        stage.config.recommendation,
        stage.config.seed,
    )

    stage.write(Tables.SFT_DATASET, examples)
    known = set(map(tuple, sequences.loc[sequences[SPLIT] == TRAIN, [USER, POSITION]].to_numpy().tolist()))
    asked = examples.loc[examples[USER].notna(), [USER, POSITION]].to_numpy().tolist()
    held_out = sum(tuple(query) not in known for query in asked)
    found = f"{held_out} of {len(asked)} examples ask for a query that is not of the training split"
    tasks = {str(task): int(count) for task, count in examples["task"].value_counts().items()}
    yield from report_or_stop(stage, {"tasks": tasks}, checks=[check("no_held_out_query", held_out == 0, found)])


@dg.asset(
    deps=[Tables.SFT_DATASET, Tables.ALIGNMENT, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version=code_version("recommender", 1),
)
def recommender(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """The recommender, an adapter tuned on the examples of all tasks; rows are its loss by step.

    With `recommendation.epochs: 0` there is no adapter and the table is empty: scores without SFT (table 6).
    """
    from mmsra_pipeline.backbone.lora import save_adapter
    from mmsra_pipeline.plots import curve_png
    from mmsra_pipeline.recommendation.training import train_recommender

    stage = mmsra.stage(context)
    config = stage.config
    if config.recommendation.epochs == 0:
        return switched_off(stage, "loss")
    examples, images = stage.read(Tables.SFT_DATASET), stage.images()
    backbone = stage.loaded_backbone(Tables.ALIGNMENT)

    with stage.training(config.backbone.device) as (workdir, tracker):
        model, curve = train_recommender(
            backbone, examples, images, config.recommendation, config.seed, workdir, tracker
        )

    with stage.publish() as folder:
        save_adapter(model, folder)
    stage.write(Tables.RECOMMENDER, curve, read_on=False)
    return report(stage, plot=curve_png(curve, "step", ["loss"], "recommender"))


@dg.asset(
    deps=[Tables.RECOMMENDER, Tables.ALIGNMENT, Tables.USER_ENCODER, *PROMPT_TABLES],
    partitions_def=datasets,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("recommendations", 5),
)
def recommendations(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per user and place of the user's top list: the item, its p, and the keywords that speak for it.

    The first stage takes candidates out of the whole catalogue; the recommender ranks them.
    """
    from mmsra_pipeline.recommendation.recommendations import recommend

    stage = mmsra.stage(context)
    texts, index = stage.read(Tables.ITEM_TEXT), cooccurrence_index(stage)
    queries = _served(stage)
    candidates = first_stage(stage, index).candidates(queries, stage.config.retrieval.first_stage.candidates)
    context_of_prompts, backbone = prompt_context(stage, index), stage.backbone(*TRAINED)

    lists = recommend(
        backbone,
        queries,
        candidates,
        context_of_prompts,
        texts,
        stage.config.recommendations.top_n,
        stage.score_file(),
        autocast=stage.config.recommendation.scoring_autocast,
    )

    stage.write(Tables.RECOMMENDATIONS, lists)
    return report(stage, {"users": len(queries)})


def cooccurrence_index(stage: Stage) -> "CooccurrenceIndex":
    """Give the evidence that prompts show, out of training interactions."""
    from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex

    return CooccurrenceIndex(stage.training_interactions(), stage.config.retrieval.cooccurrence)


def first_stage(stage: Stage, index: "CooccurrenceIndex") -> "FirstStage":
    """Give what takes candidates out of the whole catalogue."""
    from mmsra_pipeline.backbone.sentence_cache import SentenceCache
    from mmsra_pipeline.retrieval.candidates import FirstStage
    from mmsra_pipeline.retrieval.encoder import UserEncoder
    from mmsra_pipeline.retrieval.keyword_view import KeywordView

    words, sentences = stage.read(Tables.ITEM_KEYWORDS), SentenceCache(stage.paths.artifacts / "sentence_cache")
    return FirstStage(
        UserEncoder.load(stage.artifact(Tables.USER_ENCODER)),
        index,
        stage.read(Tables.ITEM_TEXT)[ITEM].tolist(),
        interactions=stage.read(Tables.INTERACTIONS),
        keywords=KeywordView(dict(zip(words[ITEM], words[KEYWORDS])), sentences.encode),
        cold_share=stage.config.retrieval.first_stage.cold_items,
    )


def prompt_context(stage: Stage, index: "CooccurrenceIndex") -> "PromptContext":
    """Give what prompts of candidates show."""
    from mmsra_pipeline.recommendation.context import prompt_context as context_of

    return context_of(
        stage.config.recommendation.prompt,
        keywords=stage.read(Tables.ITEM_KEYWORDS),
        item_text=stage.read(Tables.ITEM_TEXT),
        similar_users=stage.read(Tables.SIMILAR_USERS),
        index=index,
        training=stage.training_interactions(),
        images=stage.images(),
    )


def _served(stage: Stage) -> "pd.DataFrame":
    """Give the queries of the users who get a list, a sample if the settings bound them."""
    sequences, bound = stage.read(Tables.SEQUENCES), stage.config.recommendations.users
    queries = sequences[sequences[SPLIT] == SERVE]
    if bound is not None and bound < len(queries):
        queries = queries.sample(bound, random_state=stage.config.seed).sort_index()
    return queries.reset_index(drop=True)
