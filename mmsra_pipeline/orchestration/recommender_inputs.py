"""What several assets give to the recommender: co-occurrence, first stage, signals, prompts, the tuned backbone."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from mmsra_pipeline.columns import ITEM, KEYWORDS, Tables
from mmsra_pipeline.orchestration.queries import histories, similar_rows
from mmsra_pipeline.orchestration.settings_read import loaded_config
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.backbone.model import Backbone
    from mmsra_pipeline.interactions.histories import Histories
    from mmsra_pipeline.recommendation.context import PromptContext
    from mmsra_pipeline.recommendation.list_scorer import Spread
    from mmsra_pipeline.recommendation.signals import SignalSource
    from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
    from mmsra_pipeline.retrieval.first_stage import FirstStage
    from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

PROMPT_TABLES: Final = [
    Tables.INTERACTIONS,
    Tables.SEQUENCES,
    Tables.ITEM_TEXT,
    Tables.ITEM_KEYWORDS,
    Tables.USER_ENCODER,
    Tables.SIMILAR_USERS,
    Tables.COOCCURRENCE_NEIGHBORS,
]
"""What signals and prompts are made of, pictures left out."""
_LOADED: "WeakValueDictionary[Path, CooccurrenceIndex]" = WeakValueDictionary()
"""While somebody holds one: first stage and signals ask the same, which at a million users is a gigabyte."""


def cooccurrence_index(stage: Stage) -> "CooccurrenceIndex":
    """Return co-occurrence within the window of the settings, for the first stage and as a row."""
    return _cooccurrence(stage).within(stage.config.retrieval.cooccurrence.window)


def _cooccurrence(stage: Stage) -> "CooccurrenceIndex":
    from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex

    folder = stage.artifact(Tables.COOCCURRENCE_NEIGHBORS)
    index = _LOADED.get(folder)
    if index is None:
        index = _LOADED[folder] = CooccurrenceIndex.load(folder)
    return index


def user_encoder(stage: Stage) -> "FoldedEncoder":
    """Return the sequential model with its folds."""
    from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

    return FoldedEncoder.load(stage.artifact(Tables.USER_ENCODER))


def first_stage(stage: Stage, index: "CooccurrenceIndex", queries: "pd.DataFrame | Histories") -> "FirstStage":
    """Return what takes candidates out of the whole catalogue for queries, given as rows or by their histories."""
    from mmsra_pipeline.backbone.sentence_cache import SentenceCache
    from mmsra_pipeline.interactions.histories import Histories
    from mmsra_pipeline.retrieval.first_stage import FirstStage
    from mmsra_pipeline.retrieval.keyword_view import KeywordView

    words, sentences = stage.read(Tables.ITEM_KEYWORDS), SentenceCache(stage.paths.sentences)
    return FirstStage(
        user_encoder(stage).full,
        index,
        stage.read(Tables.ITEM_TEXT)[ITEM].tolist(),
        interactions=queries if isinstance(queries, Histories) else histories(stage, queries),
        keywords=KeywordView(dict(zip(words[ITEM], words[KEYWORDS])), sentences.encode),
        cold_share=stage.config.retrieval.first_stage.cold_items,
    )


def signal_source(stage: Stage, queries: "pd.DataFrame", *, fitted: bool = True) -> "SignalSource":
    """Return what evidence comes of for rows of ``sequences``.

    ``fitted``: with the regression that sums it up, which sft_dataset has fitted.
    """
    from mmsra_pipeline.backbone.sentence_cache import SentenceCache
    from mmsra_pipeline.recommendation.content import content_vectors
    from mmsra_pipeline.recommendation.evidence_model import EvidenceModel
    from mmsra_pipeline.recommendation.signals import SignalSource

    words, texts = stage.read(Tables.ITEM_KEYWORDS), stage.read(Tables.ITEM_TEXT)
    sentences = SentenceCache(stage.paths.sentences)
    summed = fitted and "all" in stage.config.recommendation.prompt.evidence
    return SignalSource(
        _cooccurrence(stage),
        user_encoder(stage),
        similar_rows(stage, queries),
        keywords={item: tuple(own) for item, own in zip(words[ITEM], words[KEYWORDS])},
        vectors=content_vectors(texts, words, sentences.encode),
        evidence=EvidenceModel.load(stage.artifact(Tables.SFT_DATASET)) if summed else None,
    )


def prompt_context(stage: Stage, queries: "pd.DataFrame", *, pictures: bool) -> "PromptContext":
    """Return what prompts of these rows of ``sequences`` show; with ``pictures`` they can be shown to a model."""
    from mmsra_pipeline.recommendation.context import prompt_context as context_of

    return context_of(
        stage.config.recommendation.prompt,
        keywords=stage.read(Tables.ITEM_KEYWORDS),
        item_text=stage.read(Tables.ITEM_TEXT),
        similar_users=similar_rows(stage, queries),
        similar_count=stage.config.retrieval.similar_users.k,
        training=stage.training_interactions(),
        images=stage.images() if pictures else None,
    )


def untuned_backbone(stage: Stage, *, read: bool = True) -> "Backbone":
    """Return what the recommender's tuning starts from, cut to its layers; ``read``: with its weights read."""
    adapters, warm_start = _start(stage)
    opened = stage.loaded_backbone if read else stage.backbone
    return opened(*adapters, layers=stage.config.recommendation.layers, warm_start=warm_start)


def tuned_backbone(stage: Stage) -> "Backbone":
    """Return the backbone that scores candidates: what tuning started from, cut to its layers, tuned.

    Without tuning it keeps all layers: one that is cut says nothing until it is tuned.
    """
    adapters, warm_start = _start(stage)
    layers = stage.config.recommendation.layers if stage.adapters(Tables.RECOMMENDER) else None
    return stage.backbone(*adapters, layers=layers, tuned=(Tables.RECOMMENDER,), warm_start=warm_start)


def _start(stage: Stage) -> tuple[list[str], bool]:
    aligned = stage.config.recommendation.start == "aligned"
    return ([Tables.ALIGNMENT] if aligned else []), aligned


def scoring_workers(stage: Stage, backbone: "Backbone", context: "PromptContext") -> "Spread | None":
    """Return what has candidates scored by other processes, where the settings say so."""
    from mmsra_pipeline.recommendation.list_scorer import by_workers

    autocast = stage.config.recommendation.scoring_autocast
    return by_workers(backbone, stage.artifacts, context.images, loaded_config().compute, autocast=autocast)


def answered(stage: Stage, lists: "pd.DataFrame", queries: "pd.DataFrame") -> "pd.DataFrame":
    """Return lists with the signals of their candidates and the answers of the tuned model (logit, mass, p)."""
    from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals

    candidates = with_signals(lists, queries, signal_source(stage, queries))
    backbone, context = tuned_backbone(stage), prompt_context(stage, queries, pictures=True)
    answers = score_candidates(
        backbone,
        queries,
        candidates,
        context,
        stage.score_file(),
        autocast=stage.config.recommendation.scoring_autocast,
        spread=scoring_workers(stage, backbone, context),
    )
    return candidates.join(answers)
