"""Stage 3, summarization: an aligned backbone, and keywords of items."""

from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks import names
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.orchestration.reporting import report, sample_table, switched_off
from mmsra_pipeline.orchestration.settings_read import code_version, loaded_config
from mmsra_pipeline.orchestration.shop_truth import known_looks
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.config.server import GenerationServer
    from mmsra_pipeline.summarization.warm_start.picture_labels import Classes

TUNING = "tuning_is_sound"
FOLLOWED = ("reward", "information", "reconstruction", "length", "grounding", "kl", "entropy")


@dg.asset(
    deps=[Tables.ITEM_TEXT, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["summarization"],
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version=code_version("alignment", 2, __name__),
    check_specs=specs(Tables.ALIGNMENT, blocking=(names.FINITE,), warning=(names.FALLS,)),
)
@reusable
def alignment(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """The warm start of the backbone, an adapter; rows are its loss by step and what it then sees in pictures.

    With `alignment.steps: 0` (a model that is aligned already) there is no adapter and the table is empty.
    """
    stage = mmsra.stage(context)
    if stage.config.alignment.steps == 0:
        yield from switched_off(stage, "loss")
        return
    import pandas as pd

    from mmsra_pipeline.backbone.lora import save_adapter
    from mmsra_pipeline.summarization.warm_start.training import align
    from mmsra_pipeline.telemetry.plots import curve_png

    texts, images = stage.read(Tables.ITEM_TEXT), stage.images()
    backbone = stage.loaded_backbone()

    with stage.training(stage.config.backbone.device) as (workdir, tracker):
        result = align(
            backbone,
            texts,
            images,
            stage.config.alignment,
            stage.config.summarization,
            stage.config.seed,
            workdir,
            tracker,
            looks=known_looks(stage),
            classes=_tower_classes(stage),
        )

    with stage.publish() as folder:
        save_adapter(result.model, folder)
    rows = pd.concat([result.curve, result.measured], ignore_index=True)
    stage.write(Tables.ALIGNMENT, rows, read_on=False)
    yield from report(
        stage,
        {"format_rate": result.format_rate, "measured": sample_table(result.measured, count=len(result.measured))},
        plot=curve_png(result.curve, "step", ["loss"], "alignment"),
    )


@dg.asset(
    deps=[Tables.ALIGNMENT, Tables.ITEM_TEXT, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["summarization"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("draft_keywords", 3, __name__),
    check_specs=specs(Tables.DRAFT_KEYWORDS),
)
@reusable
def draft_keywords(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per item of a sample: its keywords as the aligned backbone writes them, before GRPO. For comparison."""
    from mmsra_pipeline.summarization.writing import draft_sample

    stage = mmsra.stage(context)
    sample = draft_sample(stage.read(Tables.ITEM_TEXT), stage.config.summarization.draft_items, stage.config.seed)

    keywords, computed = _keywords(stage, sample, Tables.ALIGNMENT)

    stage.write(Tables.DRAFT_KEYWORDS, keywords)
    yield from report(stage, {"computed": computed, **_quality(keywords)})


@dg.asset(
    deps=[Tables.ALIGNMENT, Tables.ITEM_TEXT, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["summarization"],
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version=code_version("summarizer", 2, __name__),
    check_specs=specs(Tables.SUMMARIZER, blocking=(names.FINITE,), warning=(names.RISES, TUNING)),
)
@reusable
def summarizer(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """The summarizer, an adapter tuned by GRPO on the rewards (1) to (4); rows are its rewards by step.

    The table tuning_measures says what tuning did to items that it never saw, term by term with 95 % intervals.
    With `grpo.steps: 0` there is no adapter and the table is empty: keywords without GRPO (table 6).
    """
    stage = mmsra.stage(context)
    if stage.config.grpo.steps == 0:
        yield from switched_off(stage, "reward", checks=[check(TUNING, True, "nothing is tuned (grpo.steps: 0)")])
        return
    from mmsra_pipeline.backbone.lora import save_adapter
    from mmsra_pipeline.backbone.sentences import SentenceEncoder
    from mmsra_pipeline.summarization.tuning.grpo import tune_summarizer
    from mmsra_pipeline.telemetry.plots import curve_png

    texts, images = stage.read(Tables.ITEM_TEXT), stage.images()
    backbone = stage.loaded_backbone(Tables.ALIGNMENT)

    with stage.training(stage.config.backbone.device) as (workdir, tracker):
        result = tune_summarizer(
            backbone,
            texts,
            images,
            SentenceEncoder(),
            stage.config.grpo,
            stage.config.summarization,
            stage.config.seed,
            workdir,
            tracker,
        )

    with stage.publish() as folder:
        save_adapter(result.model, folder)
    stage.write(Tables.SUMMARIZER, result.curve, read_on=False)
    stage.write(Tables.TUNING_MEASURES, result.measures.table, read_on=False)
    gain = result.measures.table.set_index("measure")["difference"]
    found = "; ".join(result.alarms) or "groups differ, answers end, the policy is no single answer"
    yield from report(
        stage,
        {
            "held_out": sample_table(result.measures.table, count=len(result.measures.table)),
            "examples": sample_table(result.measures.examples),
            **{f"gain_{name}": float(gain[name]) for name in ("total", "information", "grounding") if name in gain},
        },
        checks=[check(TUNING, not result.alarms, found, warn=True)],
        plot=curve_png(result.curve, "step", list(FOLLOWED), "summarizer"),
    )


@dg.asset(
    deps=[Tables.SUMMARIZER, Tables.ALIGNMENT, Tables.DRAFT_KEYWORDS, Tables.ITEM_TEXT, Tables.ITEM_IMAGES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["summarization"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("item_keywords", 2, __name__),
    check_specs=specs(Tables.ITEM_KEYWORDS, blocking=(names.FORM,)),
)
@reusable
def item_keywords(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per item: its keywords, of picture and of text, as the tuned summarizer writes them.

    Keywords are kept by picture, text, prompt and summarizer: a new item costs one generation.
    """
    stage = mmsra.stage(context)
    texts, drafts = stage.read(Tables.ITEM_TEXT), stage.read(Tables.DRAFT_KEYWORDS)

    server = stage.config.summarization.server
    keywords, computed = _keywords(stage, texts, Tables.ALIGNMENT, Tables.SUMMARIZER, server=server)

    stage.write(Tables.ITEM_KEYWORDS, keywords)
    before = {f"draft_{name}": value for name, value in _quality(drafts).items()}
    yield from report(stage, {"computed": computed, **_quality(keywords), **before})


def _keywords(
    stage: Stage, items: "pd.DataFrame", *adapters: str, server: "GenerationServer | None" = None
) -> "tuple[pd.DataFrame, int]":
    from mmsra_pipeline.backbone.sentences import SentenceEncoder
    from mmsra_pipeline.backbone.served import ServedModel
    from mmsra_pipeline.storage.hashing import fingerprint
    from mmsra_pipeline.storage.keyed_cache import KeyedCache
    from mmsra_pipeline.summarization.answering import by_workers
    from mmsra_pipeline.summarization.writing import extractive_keywords, write_keywords

    if stage.config.summarization.writer == "extractive":
        return extractive_keywords(items, stage.config.summarization, SentenceEncoder()), 0
    backbone = stage.backbone(*adapters)
    cache = KeyedCache[str](stage.paths.keywords, stage.paths.remote)
    # What a server wrote is kept apart: its arithmetic is another, and a later run without it must not take it over.
    writer, summarizer = (
        (ServedModel(server, backbone), fingerprint(backbone.fingerprint, "served"))
        if server
        else (backbone, backbone.fingerprint)
    )
    config = stage.config.summarization
    workers = None if server else by_workers(backbone, stage.artifacts, config, loaded_config().compute)
    return write_keywords(writer, items, stage.images(), config, SentenceEncoder(), cache, summarizer, spread=workers)


def _tower_classes(stage: Stage) -> "Classes | None":
    """Only the embedded model's tower has classes of its own beside it."""
    from mmsra_pipeline.backbone.checkpoints import EMBEDDED
    from mmsra_pipeline.backbone.embedded.tower_classes import TowerClasses

    wanted = stage.config.backbone.model == EMBEDDED and stage.config.alignment.pictures_by == "pixels"
    return TowerClasses() if wanted else None


def _quality(keywords: "pd.DataFrame") -> dict[str, float]:
    """Say how keywords are on the whole; an empty table says nothing."""
    if keywords.empty:
        return {}
    return {name: float(keywords[name].mean()) for name in ("well_formed", "copied", "information")}
