"""The stages of the study: the catalogue's warm start, tuning by GRPO, and keywords of all items in three ways."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.columns import ITEM, KEYWORDS, TEXT
from mmsra_pipeline.config.tree import Config, GrpoConfig
from mmsra_pipeline.evaluation.keyword_report import panel_table
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.summarization.quality import panel
from mmsra_pipeline.summarization.quality.keyword_retrieval import Places, as_many_extractive, places
from mmsra_pipeline.summarization.tuning.grpo import GrpoResult, tune_summarizer
from mmsra_pipeline.summarization.warm_start.catalogue_examples import AlignmentExamples
from mmsra_pipeline.summarization.warm_start.training import CHECKPOINT, AlignmentResult, align, train
from mmsra_pipeline.summarization.writing import draft_sample, extractive_keywords, write_keywords
from mmsra_pipeline.telemetry.tracking import NullTracker
from study.budget import Budget, Stopwatch
from study.folder import Catalogue, read_folder

TRIED_STEPS = 4  # of a training, to know what a step takes
TRIED_ITEMS = 64  # likewise of writing, or a batch if that is more
MEASURES = ("format_rate", "picture_coverage", "text_coverage", "copied", "extractive")
WRITTEN_SHARE = 0.3  # of the seconds, at most, for writing keywords twice


@dataclass(frozen=True)
class Study:
    """What all stages work with. A copy, as another process gets it, reads the folder anew."""

    folder: Path
    sample: int | None
    """So many of the folder's items; None: all."""
    config: Config
    held_out: int
    """Items that nothing is trained on."""

    @cached_property
    def catalogue(self) -> Catalogue:
        """What the folder holds."""
        return read_folder(self.folder, self.sample)

    def backbone(self, adapters: Sequence[Path] = ()) -> Backbone:
        """Return the backbone with adapters merged."""
        return load_backbone(self.config.backbone, Artifacts(find_paths().artifacts), adapters)

    @cached_property
    def trained(self) -> pd.DataFrame:
        """The items that may be trained on."""
        return self.catalogue.parts(self.held_out)[1]


def aligned(study: Study, budget: Budget, folder: Path, share: float) -> AlignmentResult | None:
    """Train the warm start of the catalogue on the training part, and write its adapter into ``folder``.

    ``share`` of the seconds left bounds its steps.
    """
    settings, config = study.config.alignment, study.config
    room = share * budget.left
    if not settings.steps:
        return None
    with budget.stage("warm start, tried"), tempfile.TemporaryDirectory() as place:
        backbone, watch = study.backbone(), Stopwatch()
        model = lora.attach(backbone, settings.lora, train_projector=True, seed=config.seed)
        examples = AlignmentExamples(
            study.trained, study.catalogue.images, settings, config.summarization,
            side=config.backbone.image_side, seed=config.seed, classes=study.catalogue.classes,
        )  # fmt: skip
        tried = settings.model_copy(update={"steps": min(TRIED_STEPS, settings.steps)})
        train(backbone, model, examples, tried, config.seed, Path(place) / CHECKPOINT, watch)
    steps = budget.affordable("steps of the warm start", settings.steps, watch.seconds, room)
    if not steps:
        return None
    with budget.stage("warm start"), tempfile.TemporaryDirectory() as place:
        result = align(
            study.backbone(),
            study.trained,
            study.catalogue.images,
            settings.model_copy(update={"steps": steps}),
            config.summarization,
            config.seed,
            Path(place),
            NullTracker(),
            classes=study.catalogue.classes,
        )
        lora.save_adapter(result.model, folder)
    budget.keep("alignment_curve", result.curve)
    budget.keep("alignment", result.measured)
    budget.note(alignment={"steps": steps, "free_format_rate": result.format_rate})
    print(result.measured.to_string(index=False), flush=True)
    return result


def tuned(study: Study, budget: Budget, backbone: Backbone, room: float) -> tuple[GrpoResult | None, float]:
    """Tune the summarizer in place, in at most ``room`` seconds of training, and measure it on the held-out part.

    Returns:
        The result, None if there was no room for a step; and the seconds that a step takes.
    """
    grpo, items = study.config.grpo, pd.concat(study.catalogue.parts(study.held_out))
    with budget.stage("tuning, tried"):
        watch = Stopwatch()
        tried = grpo.model_copy(update={"steps": min(TRIED_STEPS, grpo.steps), "held_out": 0})
        _tuned(study, backbone, study.trained, tried, watch).model.unload()
    steps = budget.affordable("steps of GRPO", grpo.steps, watch.seconds, room)
    if not steps:
        return None, watch.seconds
    with budget.stage("tuning, and its measures"):
        asked = grpo.model_copy(update={"steps": steps, "held_out": study.held_out})
        result = _tuned(study, backbone, items.sort_index(), asked, NullTracker())
    budget.keep("tuning_curve", result.curve)
    budget.keep("tuning", result.measures.table)
    budget.keep("tuning_examples", result.measures.examples)
    budget.note(tuning={"seconds_a_step": watch.seconds, "alarms": result.alarms, **asked.model_dump(mode="json")})
    print(result.measures.table.to_string(index=False), flush=True)
    return result, watch.seconds


def _tuned(study: Study, backbone: Backbone, items: pd.DataFrame, grpo: GrpoConfig, tracker: NullTracker) -> GrpoResult:
    with tempfile.TemporaryDirectory() as place:
        return tune_summarizer(
            backbone,
            items,
            study.catalogue.images,
            SentenceEncoder(),  # on the CPU, as the asset has it: on a GPU autocast would round its vectors
            grpo,
            study.config.summarization,
            study.config.seed,
            Path(place),
            tracker,
        )


class Keywords:
    """Keywords of the same items, written in several ways, and what each is worth."""

    def __init__(self, study: Study, budget: Budget, place: Path) -> None:
        self._study, self._budget = study, budget
        self._cache = KeyedCache[str](place)
        self._items = study.catalogue.texts
        self._ways: dict[str, pd.DataFrame] = {}
        self.seconds = 0.0
        """An item, by a model."""

    def extract(self, device: str) -> None:
        """Take words of high TF-IDF out of the texts."""
        self._sentences = SentenceEncoder(device)
        with self._budget.stage("extractive keywords"):
            config = self._study.config.summarization
            self._ways["extractive"] = extractive_keywords(self._items, config, self._sentences)

    def write(self, way: str, backbone: Backbone) -> None:
        """Let a model write; the first time, of as many items as twice fit into ``WRITTEN_SHARE`` of the seconds."""
        if not self.seconds:
            before, seed = self._budget.left, self._study.config.seed
            tried = draft_sample(self._items, max(TRIED_ITEMS, backbone.batch_size), seed)
            with self._budget.stage("keywords, tried"):
                self._written(way, backbone, tried)
            self.seconds = (before - self._budget.left) / len(tried)
            room = WRITTEN_SHARE * self._budget.left
            count = self._budget.affordable(
                "items whose keywords are written", len(self._items), 2 * self.seconds, room
            )
            self._items = draft_sample(self._items, max(count, len(tried)), seed)
        with self._budget.stage(f"keywords, {way}"):
            self._ways[way] = self._written(way, backbone, self._items)
        self._budget.keep("keywords", pd.concat([rows.assign(way=name) for name, rows in self._ways.items()]))

    def compare(self) -> None:
        """Measure all ways on the items that a model wrote of, and their differences, paired by item."""
        with self._budget.stage("worth of the keywords"):
            table = self._compared()
        self._budget.keep("keyword_panel", table)
        print(table.to_string(index=False), flush=True)

    def _written(self, way: str, backbone: Backbone, items: pd.DataFrame) -> pd.DataFrame:
        config, images = self._study.config.summarization, self._study.catalogue.images
        return write_keywords(backbone, items, images, config, self._sentences, self._cache, way)[0]

    def _compared(self) -> pd.DataFrame:
        catalogue = self._study.catalogue
        texts = catalogue.texts[TEXT].fillna("").tolist()
        row_of = {item: row for row, item in enumerate(catalogue.texts[ITEM])}
        embedded, items = self._sentences.encode(texts), self._items[ITEM].tolist()
        own = [row_of[item] for item in items]
        pictured = [catalogue.images.image_hash(item) is not None for item in items]

        def placed(keywords: Sequence[Sequence[str]]) -> Places:
            return places(self._sentences.encode([", ".join(words) for words in keywords]), embedded, own)

        measures: dict[str, np.ndarray] = {}
        counts: dict[str, float] = {}
        found: dict[str, Places] = {}
        for way, every in self._ways.items():
            rows = every.set_index(ITEM, drop=False).loc[items]
            found[way] = placed(rows[KEYWORDS].tolist())
            quality = panel.quality_table(rows, {}, found[way], {})
            formed = panel.form_measures(quality, pictured, [bool(texts[row]) for row in own])
            measures |= {f"{way}: {name}": formed[name] for name in MEASURES}
            measures[f"{way}: keywords"] = rows[KEYWORDS].map(len).to_numpy(dtype=np.float64)
            counts |= {f"{way}: {name}": value for name, value in panel.vocabulary(quality).items()}
            if way != "extractive":  # like against like: keywords of the picture are in no text
                found[f"{way}, text alone"] = placed(rows[panel.TEXT_WORDS].tolist())
                as_many = as_many_extractive(texts, own, rows[panel.TEXT_WORDS].map(len).tolist())
                found[f"as many as {way}, extractive"] = placed(as_many)
        hits = {(way, k): own_places.hits(k) for way, own_places in found.items() for k in panel.FIRST}
        measures |= {f"{way}: retrieval@{k}": values for (way, k), values in hits.items()}
        written = [way for way in self._ways if way != "extractive"]
        pairs = [
            (f"{way}, text alone", other)
            for way in written
            for other in ("extractive", f"as many as {way}, extractive")
        ]
        pairs += [(later, written[0]) for later in written[1:]]
        measures |= {
            f"retrieval@{k}: {way} - {other}": hits[way, k] - hits[other, k]
            for way, other in pairs
            for k in panel.FIRST
        }
        config = self._study.config
        return panel_table(measures, counts, bootstrap=config.evaluation.bootstrap, seed=config.seed)
