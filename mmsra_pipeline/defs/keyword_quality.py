"""Stage 3, summarization: what the keywords of a catalogue are worth."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import dagster as dg

from mmsra_pipeline.columns import CATEGORY, DESCRIPTION, ITEM, KEYWORDS, TAGS, TEXT, TITLE, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.orchestration.reporting import report
from mmsra_pipeline.orchestration.settings_read import code_version
from mmsra_pipeline.orchestration.shop_truth import known_looks
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mmsra_pipeline.items.images import ItemImages
    from mmsra_pipeline.summarization.quality.keyword_retrieval import Places
    from mmsra_pipeline.summarization.quality.verification import Confidence

OTHERS: Final = 2  # keywords a line that are held against another item: enough for a mean over items
COVERAGE: Final = 0.95
FIELDS: Final = (TITLE, DESCRIPTION, CATEGORY, TAGS)
FOLLOWED: Final = (
    "format_rate", "picture_coverage", "picture_confidence", "text_confidence", "retrieval@1", "stability",
)  # fmt: skip
FORM, PICTURES, FINDING = "every_answer_has_the_form", "pictures_have_keywords", "keywords_find_their_item"


@dg.asset(
    deps=[
        Tables.ITEM_KEYWORDS, Tables.DRAFT_KEYWORDS, Tables.ITEM_TEXT, Tables.ITEM_IMAGES, Tables.ALIGNMENT,
        Tables.SUMMARIZER, Tables.RAW_REVIEWS,
    ],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["summarization"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("keyword_quality", 1, __name__),
    check_specs=specs(Tables.KEYWORD_QUALITY, warning=(FORM, PICTURES, FINDING)),
)  # fmt: skip
@reusable
def keyword_quality(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per item: who wrote its keywords, how sure the model is of them, whether they find their item.

    The table keyword_panel has the means with intervals, against drafts, extractive keywords and those of other items.
    """
    from mmsra_pipeline.evaluation.keyword_report import panel_markdown, panel_png, panel_table, value_of
    from mmsra_pipeline.summarization.inputs import read_images
    from mmsra_pipeline.summarization.quality import panel as p

    stage = mmsra.stage(context)
    writer = stage.config.summarization.writer
    texts, images = stage.read(Tables.ITEM_TEXT), stage.images()
    keywords, drafts = (
        p.with_source(stage.read(table), writer) for table in (Tables.ITEM_KEYWORDS, Tables.DRAFT_KEYWORDS)
    )
    items, said = keywords[ITEM].tolist(), dict(zip(texts[ITEM], texts[TEXT].fillna("")))
    seen = read_images(images, items, stage.config.summarization)
    pictured = [seen.image_hash(item) is not None for item in items]
    spoken = ["text" in stage.config.summarization.reads and bool(said.get(item)) for item in items]
    tuned = keywords.set_index(ITEM, drop=False).loc[drafts[ITEM]]

    ours, by_text, extractive, of_tuned, of_drafts = _places(stage, texts, keywords, tuned, drafts)
    confidences, judged = _judged(stage, said, keywords, drafts, images) if writer == p.MODEL else ({}, {})
    table = p.quality_table(keywords, confidences, ours, _suspicions(stage, items))
    measures = {
        **p.form_measures(table, pictured, spoken),
        **judged,
        **p.retrieval_measures(ours, by_text, extractive),
        **p.draft_measures(tuned, drafts, of_tuned, of_drafts),
        **p.look_measures(table, pictured, known_looks(stage)),
    }
    panel = panel_table(
        measures, p.vocabulary(table), bootstrap=stage.config.evaluation.bootstrap, seed=stage.config.seed
    )

    stage.write(Tables.KEYWORD_QUALITY, table)
    stage.write(Tables.KEYWORD_PANEL, panel, read_on=False)
    followed = {name: value_of(panel, name) for name in FOLLOWED}
    entries = {
        "panel": dg.MetadataValue.md(panel_markdown(panel)),
        "suspicious": int((table["suspicious"] != "").sum()),
    }
    yield from report(
        stage,
        entries | {name: value for name, value in followed.items() if value == value},  # nan is no metadata
        checks=_checks(panel, by_model=writer == p.MODEL),
        plot=panel_png(panel),
    )


def _places(
    stage: Stage, texts: "pd.DataFrame", keywords: "pd.DataFrame", tuned: "pd.DataFrame", drafts: "pd.DataFrame"
) -> "tuple[Places, ...]":
    """Return where the own texts stand, by all keywords, by those of the text, by extractive ones, and of drafts."""
    from mmsra_pipeline.backbone.sentence_cache import SentenceCache
    from mmsra_pipeline.summarization.quality.keyword_retrieval import as_many_extractive, places
    from mmsra_pipeline.summarization.quality.panel import TEXT_WORDS

    catalogue = texts[TEXT].fillna("").tolist()
    row_of = {item: row for row, item in enumerate(texts[ITEM])}
    counts = keywords[TEXT_WORDS].map(len).tolist()
    extractive = keywords[[ITEM]].copy()
    extractive[KEYWORDS] = as_many_extractive(catalogue, [row_of[item] for item in keywords[ITEM]], counts)
    sentences = SentenceCache(stage.paths.sentences)
    embedded = sentences.encode(catalogue)

    def placed(rows: "pd.DataFrame") -> "Places":
        vectors = sentences.encode([", ".join(words) for words in rows[KEYWORDS]])
        return places(vectors, embedded, [row_of.get(item) for item in rows[ITEM]])

    by_text = keywords.assign(**{KEYWORDS: keywords[TEXT_WORDS]})
    return tuple(placed(rows) for rows in (keywords, by_text, extractive, tuned, drafts))


def _judged(
    stage: Stage, said: Mapping[str, str], keywords: "pd.DataFrame", drafts: "pd.DataFrame", images: "ItemImages"
) -> "tuple[dict[str, Confidence], dict[str, np.ndarray]]":
    """Let the summarizer judge its own keywords, those of other items and its drafts; give confidences and measures."""
    import numpy as np

    from mmsra_pipeline.storage.keyed_cache import KeyedCache
    from mmsra_pipeline.summarization.inputs import read_images, read_texts
    from mmsra_pipeline.summarization.quality import panel as p
    from mmsra_pipeline.summarization.quality.stability import SAMPLED_ITEMS, stability
    from mmsra_pipeline.summarization.quality.verification import Asked, Verifier, of_others
    from mmsra_pipeline.summarization.writing import draft_sample

    sample = draft_sample(keywords, stage.config.summarization.verified_items, stage.config.seed)
    if len(sample) < 2:  # nobody is another
        return {}, {}

    def asked(rows: "pd.DataFrame") -> list[Asked]:
        lines = zip(rows[ITEM], rows[p.IMAGE_WORDS], rows[p.TEXT_WORDS], strict=True)
        return [Asked(item, said.get(item, ""), tuple(image), tuple(text)) for item, image, text in lines]

    backbone = stage.backbone(Tables.ALIGNMENT, Tables.SUMMARIZER)
    cache = KeyedCache[str](stage.paths.verification, stage.paths.remote)
    verifier = Verifier(backbone, images, cache)
    mine = asked(sample)
    own = verifier.confidences(mine)
    confidences = dict(zip(sample[ITEM], own, strict=True))
    before = drafts[drafts[ITEM].isin(confidences)]
    config, first = stage.config.summarization, mine[:SAMPLED_ITEMS]
    again = list(zip((one.item for one in first), read_texts([one.text for one in first], config), strict=True))
    looked_at = read_images(images, (one.item for one in first), config)
    same = stability(backbone, again, looked_at, config, cache, seed=stage.config.seed)
    against_drafts = p.confidences_against(
        [confidences[item] for item in before[ITEM]], verifier.confidences(asked(before)), "draft"
    )
    return confidences, {
        **p.confidence_measures(own),
        **p.confidences_against(own, verifier.confidences(of_others(mine, OTHERS)), "others"),
        **against_drafts,
        "stability": np.array(same),
    }


def _suspicions(stage: Stage, items: list[str]) -> dict[str, str]:
    """Return why items look like attacks, by what the source says of them: cleaning takes the traces off."""
    import pandas as pd

    from mmsra_pipeline.summarization.quality.suspicion import suspicious_fields

    wanted = [(ITEM, "in", items)]
    raw = pd.read_parquet(stage.path(Tables.RAW_ITEMS), columns=[ITEM, *FIELDS], filters=wanted if items else None)
    found = {row[ITEM]: suspicious_fields({name: row[name] for name in FIELDS}) for row in raw.to_dict("records")}
    return {str(item): reason for item, reason in found.items() if reason}


def _checks(panel: "pd.DataFrame", *, by_model: bool) -> list[dg.AssetCheckResult]:
    from mmsra_pipeline.evaluation.keyword_report import said_of, value_of

    difference = "retrieval@1 text - extractive"
    rules = {FORM: ("format_rate", 1.0), PICTURES: ("picture_coverage", COVERAGE), FINDING: (difference, 0.0)}
    results = []
    for name, (measure, least) in rules.items():
        value, found = value_of(panel, measure), said_of(panel, measure)
        passed = not value < least  # where there is nothing to measure nothing is wrong
        if name == PICTURES and not by_model:
            passed, found = True, "no model wrote keywords, so pictures have none"
        results.append(check(name, passed, found, warn=True))
    return results
