"""Writes the folder of pages. Whatever comes from the data set is escaped: titles and keywords are hostile text."""

import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mmsra_pipeline.columns import ITEM, TITLE
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.report.ablation_page import ablation_page
from mmsra_pipeline.report.case_data import CaseTables, ItemNumbers, case_entries, compared_rows, evidence_words
from mmsra_pipeline.report.cases import SERVED
from mmsra_pipeline.report.inputs import Catalogue, Measured
from mmsra_pipeline.report.keyword_page import keyword_page, worst
from mmsra_pipeline.report.overview import overview
from mmsra_pipeline.report.pictures import write_pictures
from mmsra_pipeline.report.served_page import served_page
from mmsra_pipeline.report.slices_page import slices_page
from mmsra_pipeline.report.views import ROWS

PAGES: Final = {
    "index": "Overview",
    "served": "What is served",
    "slices": "Where the model helps",
    "ablation": "Ablation",
    "keywords": "Keywords",
    "cases": "Cases",
    "shop": "Recommendations",
}
FIRST: Final = "index.html"
FORM: Final = "e2882fd456e973e8"
"""Hash of the templates, the style and the script: a test holds it, so that editing one makes the asset stale."""
PICTURES: Final = "pictures"


def write_report(
    folder: Path,
    measured: Measured,
    catalogue: Catalogue,
    cases: CaseTables,
    images: ItemImages,
    *,
    worst_count: int,
    user_ids: bool,
) -> None:
    """Write all pages, their style and script, and the pictures that they show, into an empty folder.

    Pages load nothing from elsewhere and run no script but ``report.js`` (a content security policy says so), so they
    may be opened from disk or served by anything.

    Args:
        folder: is filled.
        measured: what was measured.
        catalogue: items, with the quality of their keywords.
        cases: what users are looked up in.
        images: pictures of the catalogue.
        worst_count: items shown with the keywords that fit them least.
        user_ids: whether ids of users are shown.
    """
    items = ItemNumbers()
    entries = case_entries(cases, items, user_ids=user_ids)
    worst_items = worst(catalogue, worst_count)
    pictures = write_pictures(images, [*items.number, *(one["item"] for one in worst_items)], folder / PICTURES)
    shared = {
        "items": _items(items, catalogue, pictures),
        "rows": compared_rows(cases.rankings),
        "evidence": evidence_words(),
    }
    environment = _environment()
    content: dict[str, dict[str, Any]] = {
        "index": {"blocks": overview(measured)},
        "served": {"blocks": served_page(measured)},
        "slices": {"blocks": slices_page(measured)},
        "ablation": {"blocks": ablation_page(measured)},
        "keywords": {"blocks": keyword_page(catalogue), "worst": worst_items, "pictures": pictures},
        "cases": {"data": _data(shared, [one for one in entries if one["kind"] != SERVED])},
        "shop": {"data": _data(shared, [one for one in entries if one["kind"] == SERVED])},
    }
    for name, title in PAGES.items():
        text = environment.get_template(f"{name}.html.j2").render(
            pages=PAGES, page=name, title=title, dataset=measured.dataset, row_words=ROWS, **content[name]
        )
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    for name in ("report.css", "report.js"):
        with resources.as_file(resources.files("mmsra_pipeline.report") / "static" / name) as source:
            shutil.copyfile(source, folder / name)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mmsra_pipeline.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _items(items: ItemNumbers, catalogue: Catalogue, pictures: Mapping[str, str]) -> list[list[Any]]:
    """Return id, title, keywords of picture and of text, and picture of each item, by number."""
    titles = dict(zip(catalogue.item_text[ITEM], catalogue.item_text[TITLE]))
    words = {
        item: ([str(word) for word in seen], [str(word) for word in read])
        for item, seen, read in zip(*(catalogue.keywords[name] for name in (ITEM, "image_keywords", "text_keywords")))
    }
    return [
        [item, _text(titles.get(item)) or item, *words.get(item, ([], [])), pictures.get(item, "")]
        for item in items.number
    ]


def _data(shared: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the script of a page reads, with only the items that its cases name."""
    used = sorted({number for entry in entries for number in _numbers_of(entry)})
    return {**shared, "items": {number: shared["items"][number] for number in used}, "cases": list(entries)}


def _numbers_of(entry: Mapping[str, Any]) -> list[int]:
    numbers = [*entry["history"], *(item for item, _ in entry["similar"])]
    numbers += [one[0] for name in ("candidates", "list") for one in entry.get(name, [])]
    for one in entry.get("explained", []):
        numbers += [one["item"], *(item for _, item, *_ in one["without"] if item is not None)]
    return numbers


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)
