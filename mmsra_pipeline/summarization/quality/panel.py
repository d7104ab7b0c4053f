"""What the keywords of a catalogue are worth, item by item: the table ``keyword_quality`` and the measures of it.

A measure is one number an item, nan for items that it says nothing of, so that its mean over any sample of items is the
measure of the sample. Names with ' - ' are differences, paired by item.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.backbone.embedded.drawing import HELD_OUT, Look
from mmsra_pipeline.columns import ITEM, KEYWORDS
from mmsra_pipeline.summarization.quality.keyword_retrieval import Places
from mmsra_pipeline.summarization.quality.verification import Confidence
from mmsra_pipeline.summarization.warm_start.measures import VALUES

SOURCE: Final = "source"
MODEL, EXTRACTIVE, NOBODY = "model", "extractive", "none"
IMAGE_WORDS, TEXT_WORDS = "image_keywords", "text_keywords"
COLUMNS: Final = [
    ITEM, SOURCE, "well_formed", IMAGE_WORDS, TEXT_WORDS, "confidence_image", "confidence_text", "retrieval_rank",
    "copied", "suspicious",
]  # fmt: skip
FIRST: Final = (1, 5)  # k of retrieval@k
Values = Float[np.ndarray, " items"]
KINDS: Final = {"picture": "image", "text": "text"}  # of keywords, and the field of Confidence
UNKNOWN: Final = Confidence(float("nan"), float("nan"))


def with_source(keywords: pd.DataFrame, writer: str) -> pd.DataFrame:
    """Return rows of ``item_keywords`` or ``draft_keywords`` with who wrote them; where not noted: ``writer``."""
    if SOURCE in keywords:
        return keywords
    return keywords.assign(**{SOURCE: [writer if len(words) else NOBODY for words in keywords[KEYWORDS]]})


def quality_table(
    keywords: pd.DataFrame,
    confidences: Mapping[str, Confidence],
    found: Places,
    suspicions: Mapping[str, str],
) -> pd.DataFrame:
    """Return one row per row of ``keywords``.

    Args:
        keywords: rows of ``item_keywords``, with ``source``.
        confidences: by item, of those that were verified.
        found: where each row's own text stands.
        suspicions: why an item's text looks like an attack, by item, of those whose text does.

    Returns:
        Columns ``COLUMNS``. source is 'model', 'extractive' or 'none'; confidences are mean p(Yes) in [0, 1], nan where
        nothing was asked; retrieval_rank is the expected rank of the own text, from 1, nan without a text; copied is
        the share of keyword words that stand in the text; suspicious is a reason or "".
    """
    items = keywords[ITEM].tolist()
    known = [confidences.get(item, UNKNOWN) for item in items]
    return pd.DataFrame(
        {
            ITEM: items,
            SOURCE: keywords[SOURCE].tolist(),
            "well_formed": keywords["well_formed"].tolist(),
            IMAGE_WORDS: [list(words) for words in keywords[IMAGE_WORDS]],
            TEXT_WORDS: [list(words) for words in keywords[TEXT_WORDS]],
            "confidence_image": np.array([one.image for one in known], dtype=np.float64),
            "confidence_text": np.array([one.text for one in known], dtype=np.float64),
            "retrieval_rank": found.rank,
            "copied": keywords["copied"].tolist(),
            "suspicious": [suspicions.get(item, "") for item in items],
        },
        columns=COLUMNS,
    )


def form_measures(quality: pd.DataFrame, pictured: Sequence[bool], spoken: Sequence[bool]) -> dict[str, Values]:
    """Return what the form is worth, over all items.

    Args:
        quality: as :func:`quality_table` gives it.
        pictured: whether each item has a picture.
        spoken: whether each item has a text.

    Returns:
        format_rate; picture_coverage and text_coverage, of the items with a picture or text, whether it has keywords;
        copied, of the items with keywords; extractive, whether no model wrote the keywords; suspicious.
    """
    image_words, text_words = (quality[name].map(len).to_numpy() for name in (IMAGE_WORDS, TEXT_WORDS))
    return {
        "format_rate": quality["well_formed"].to_numpy(dtype=np.float64),
        "picture_coverage": np.where(pictured, image_words > 0, np.nan),
        "text_coverage": np.where(spoken, text_words > 0, np.nan),
        "copied": np.where(image_words + text_words > 0, quality["copied"].to_numpy(dtype=np.float64), np.nan),
        "extractive": (quality[SOURCE] == EXTRACTIVE).to_numpy(dtype=np.float64),
        "suspicious": (quality["suspicious"] != "").to_numpy(dtype=np.float64),
    }


def retrieval_measures(ours: Places, by_text: Places, extractive: Places) -> dict[str, Values]:
    """Return how well keywords find their item's text, and those of the text against as many words taken out of it.

    The latter are a high bar: words of high TF-IDF of the very text that is looked for. Like is compared with like:
    keywords of the picture are in no text, so they lead away from it, and the extractive words have none.

    Args:
        ours: places of the items' texts by all their keywords.
        by_text: by the keywords of the text alone.
        extractive: by as many words of high TF-IDF.
    """
    ways = {"": ours, " text": by_text, " extractive": extractive}
    found = {f"retrieval@{k}{way}": places.hits(k) for k in FIRST for way, places in ways.items()}
    found |= {f"reciprocal_rank{way}": 1 / places.rank for way, places in ways.items()}
    names = [*(f"retrieval@{k}" for k in FIRST), "reciprocal_rank"]
    return found | {f"{name} text - extractive": found[f"{name} text"] - found[f"{name} extractive"] for name in names}


def confidence_measures(own: Sequence[Confidence]) -> dict[str, Values]:
    """Return p(Yes) of keywords held against their own picture and text: picture_confidence, text_confidence."""
    return {f"{kind}_confidence": _field(own, name) for kind, name in KINDS.items()}


def confidences_against(own: Sequence[Confidence], others: Sequence[Confidence], name: str) -> dict[str, Values]:
    """Return the confidences of other keywords of the same items, and by how much the own ones exceed them.

    Against keywords of other items the difference is what the judge knows: one that knows nothing believes both alike.
    It stays below 1, for a keyword of another item may be true of this one too.
    """
    measures: dict[str, Values] = {}
    for kind, field in KINDS.items():
        theirs = _field(others, field)
        measures |= {
            f"{kind}_confidence {name}": theirs,
            f"{kind}_confidence - {name}": _field(own, field) - theirs,
        }
    return measures


def draft_measures(tuned: pd.DataFrame, drafts: pd.DataFrame, ours: Places, theirs: Places) -> dict[str, Values]:
    """Return by how much tuning bettered the keywords of the same items: the draft's value is taken off.

    Args:
        tuned: rows of ``item_keywords``.
        drafts: rows of ``draft_keywords`` of the same items in the same order.
        ours: places of the items' texts by ``tuned``.
        theirs: the same by ``drafts``.
    """
    information, before = (side["information"].to_numpy(dtype=np.float64) for side in (tuned, drafts))
    return {
        "reciprocal_rank - draft": 1 / ours.rank - 1 / theirs.rank,
        "information - draft": information - before,
    }


def look_measures(quality: pd.DataFrame, pictured: Sequence[bool], looks: Mapping[str, Look]) -> dict[str, Values]:
    """Return whether the picture's keywords name the true colour, pattern and shape, and no other, as only it tells.

    Once of all items whose look is known, once of those with a look that no training showed. Nothing without looks.
    """
    if not looks:
        return {}
    measures: dict[str, Values] = {}
    rows = list(zip(quality[ITEM], quality[IMAGE_WORDS], pictured, strict=True))
    for place, (attribute, values) in enumerate(VALUES.items()):
        right = [
            float(set(words) & set(values) == {looks[item][place]}) if has_picture and item in looks else np.nan
            for item, words, has_picture in rows
        ]
        unseen = [value if looks.get(item) in HELD_OUT else np.nan for (item, *_), value in zip(rows, right)]
        measures |= {attribute: np.array(right), f"{attribute}, look unseen": np.array(unseen)}
    return measures


def vocabulary(quality: pd.DataFrame) -> dict[str, float]:
    """Return how many different keywords there are, and the share that one item alone has, so that it joins nothing.

    These are counts of the whole catalogue. A sample of items has others, so they have no interval.
    """
    lines = zip(quality[IMAGE_WORDS], quality[TEXT_WORDS], strict=True)
    counts = Counter(word for image, text in lines for word in {*image, *text})
    alone = sum(count == 1 for count in counts.values())
    return {"distinct_keywords": float(len(counts)), "keywords_of_one_item": alone / len(counts) if counts else np.nan}


def common_share(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of two keyword lists that they have in common (Jaccard), in [0, 1]; nan if both are empty.

    >>> common_share(["red", "mug"], ["mug", "tall"])
    0.3333333333333333
    """
    every = {*first, *second}
    return len({*first} & {*second}) / len(every) if every else float("nan")


def _field(confidences: Sequence[Confidence], name: str) -> Values:
    return np.array([getattr(one, name) for one in confidences], dtype=np.float64)
