"""The page of keywords: what they are worth, which there are, and the items that they fit least."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mmsra_pipeline.columns import ITEM, TEXT, TITLE
from mmsra_pipeline.evaluation.keyword_report import CONFIDENCES, worst_items
from mmsra_pipeline.report.charts import Point, interval_chart
from mmsra_pipeline.report.inputs import Catalogue
from mmsra_pipeline.report.views import Block, Table, interval, numbered

MOST = 40  # words of the vocabulary that are shown
TEXT_CHARS = 240


def keyword_page(catalogue: Catalogue) -> list[Block]:
    """Return the blocks of the page."""
    panel = catalogue.panel[catalogue.panel["n"] > 0]
    rows = [
        [one["measure"], _said(one), str(int(one["n"]))] for one in panel.to_dict("records")
    ]  # fmt: skip
    bounded = panel[panel["low"].notna() & ~panel["measure"].str.contains(" - ", regex=False)]
    points = [
        Point(str(name), float(value), float(low), float(high))
        for name, value, low, high in bounded[["measure", "value", "low", "high"]].itertuples(index=False)
        if 0 <= value <= 1
    ]
    words = [
        "Measures are means over items with 95 % intervals; “ - ” is a difference, paired by item. retrieval@1: the "
        "keywords alone find their own item's text first among all texts. confidence: p(Yes) when the model that wrote "
        "them is asked whether they are true.",
    ]
    table = Table("All measures", ["measure", "value [95 % interval]", "items"], rows)
    return [
        Block("What keywords are worth", words, [interval_chart(points, "Measures between 0 and 1")], [table]),
        _vocabulary(catalogue.keywords),
    ]


def worst(catalogue: Catalogue, count: int) -> list[dict[str, Any]]:
    """Return the items that their keywords fit least, by rank of retrieval and confidence in turn."""
    texts = catalogue.item_text.set_index(ITEM)
    found = []
    for one in worst_items(catalogue.quality, count).to_dict("records"):
        said = texts.loc[one[ITEM]] if one[ITEM] in texts.index else {TITLE: "", TEXT: ""}
        found.append(
            {
                "item": str(one[ITEM]),
                "title": said[TITLE] or str(one[ITEM]),
                "text": _short(said[TEXT] or ""),
                "picture_words": [str(word) for word in one["image_keywords"]],
                "text_words": [str(word) for word in one["text_keywords"]],
                "rank": numbered(_float(one["retrieval_rank"]), 0),
                "confidence": {name: numbered(_float(one[column]), 2) for name, column in CONFIDENCES.items()},
                "suspicious": one["suspicious"] if isinstance(one["suspicious"], str) else "",
            }
        )
    return found


def _vocabulary(keywords: pd.DataFrame) -> Block:
    tables, lines = [], []
    for name, column in (("picture", "image_keywords"), ("text", "text_keywords")):
        counts = Counter(str(word) for words in keywords[column] for word in words)
        items = max(len(keywords), 1)
        rows = [[word, str(count), f"{100 * count / items:.1f} %"] for word, count in counts.most_common(MOST)]
        tables.append(Table(f"Most frequent keywords of the {name}", ["keyword", "items", "share of items"], rows))
        once = sum(count == 1 for count in counts.values())
        lines.append(f"Of the {name}: {len(counts):,} different keywords, {once:,} of them of one item only.")
    return Block("Vocabulary", lines, (), (), tables)


def _said(one: Mapping[Any, Any]) -> str:
    if not isinstance(one["low"], float) or math.isnan(one["low"]):
        return f"{one['value']:.4g}"
    return interval(one["value"], one["low"], one["high"], 3, sign=" - " in one["measure"])


def _float(value: Any) -> float:
    return float(value) if value is not None and not pd.isna(value) else math.nan


def _short(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 3]}..."
