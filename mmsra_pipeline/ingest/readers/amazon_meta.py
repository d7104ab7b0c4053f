"""Metadata of Amazon items: JSON, or Python literals (2014), as different from line to line as shops are."""

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.ingest.lenient_json import lenient_object, whole_text
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.picture_paths import is_url
from mmsra_pipeline.ingest.prefetching import prefetched
from mmsra_pipeline.ingest.raw_tables import FILE, LINE, READ_ITEMS
from mmsra_pipeline.ingest.rejects import RejectSink

SCRIPT = re.compile(r"<\s*(span|script|style|div)\b|getTime\(\)|aPageStart", re.IGNORECASE)
SPACES = re.compile(r"\s+")
BY = re.compile(r"^by\s+", re.IGNORECASE)  # 'by\n    \n    Fakeco'


class MetaForm(enum.Enum):
    """The generations; each has its names of the same things."""

    Y2014 = "2014"
    Y2018 = "2018"
    Y2023 = "2023"

    @property
    def item(self) -> str:
        """The key of the id that reviews name."""
        return "parent_asin" if self is MetaForm.Y2023 else "asin"


def read_meta(blocks: Iterator[LineBlock], label: str, form: MetaForm, sink: RejectSink) -> Iterator[pa.Table]:
    """Return tables of ``READ_ITEMS``; a line that is no object, or has no id, goes to the sink."""
    key = ""
    for block in prefetched(blocks):
        if block.flaw:
            sink.refuse_block(label, block)
            continue
        rows = []
        for number, line in enumerate(block.lines(), start=block.first):
            if not line.strip():
                continue
            sink.see(1)
            found, foreign = _object(line, form)
            if foreign:
                sink.note(
                    f"{label}: has Python literals, as the metadata of 2014; `format: amazon-2014` is of that year"
                )
            if isinstance(found, dict):
                key = key or item_key(found, form, label, sink)
            item = item_of(found, form, key) if isinstance(found, dict) else found
            if isinstance(item, str):
                sink.refuse(label, number, item, line)
            else:
                rows.append(item | {FILE: label, LINE: number})
        yield pa.Table.from_pylist(rows, READ_ITEMS)


def _object(line: bytes, form: MetaForm) -> tuple[dict[str, Any] | str, bool]:
    """Return the line's object, or the reason why it is none, and whether it is a Python literal of another year."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = lenient_object(line)
        return found, form is not MetaForm.Y2014 and isinstance(found, dict) and line.lstrip().startswith(b"{'")
    if isinstance(found, str):
        return "is a text, not an object", False
    return (found if isinstance(found, dict) else "is no object"), False


def item_key(found: Mapping[str, Any], form: MetaForm, label: str, sink: RejectSink) -> str:
    """Return the key of the id in a file whose first object is given."""
    if form.item in found or "asin" not in found:
        return form.item
    sink.note(f"{label}: has no {form.item}; asin is read in its place")
    return "asin"


def item_of(found: Mapping[str, Any], form: MetaForm, key: str) -> dict[str, str | None] | str:
    """Return the item of an object whose id stands under ``key``, or the reason why it cannot be used."""
    named = found.get(key)
    item = _text(named)
    if not item and isinstance(named, int | float):
        return f"{key} is the number {str(named)[:40]}, whose leading zeros would be lost; write it as text"
    if not item:
        return f"{key} is missing"
    title = " ".join(_texts(found.get("title")))
    brand = BY.sub("", _text(found.get("store" if form is MetaForm.Y2023 else "brand")))
    parts = [*_texts(found.get("description")), *_texts(found.get("features") or found.get("feature"))]
    if brand and not SCRIPT.search(brand):
        parts.append(f"Brand: {brand}")
    return {
        c.ITEM: item,
        c.TITLE: None if SCRIPT.search(title) else title or None,  # a page's script that was taken for the title
        c.DESCRIPTION: " ".join(_ended(part) for part in parts) or None,
        c.CATEGORY: ", ".join(dict.fromkeys(_categories(found))) or None,
        c.TAGS: None,
        c.IMAGE: _picture(found, form),
    }


def _categories(found: Mapping[str, Any]) -> list[str]:
    levels = found.get("categories") or found.get("category") or found.get("main_category") or found.get("main_cat")
    return [name for name in _texts(levels) if not SCRIPT.search(name)]


def _picture(found: Mapping[str, Any], form: MetaForm) -> str | None:
    """Return the URL of the largest picture: of the main one, where several are told apart."""
    if form is not MetaForm.Y2023:
        keys = ("imageURLHighRes", "imageURL", "image", "imUrl")
        return next((url for key in keys for url in _texts(found.get(key))), None)
    images = found.get("images")
    if isinstance(images, dict):  # a dict of lists, as data sets' libraries turn it
        columns = {key: value for key, value in images.items() if isinstance(value, list)}
        length = max(map(len, columns.values()), default=0)
        images = [{key: value[row] for key, value in columns.items() if row < len(value)} for row in range(length)]
    plain = [url for url in _texts(images) if is_url(url)]  # as other tools write them
    if plain:
        return plain[0]
    entries = [entry for entry in images if isinstance(entry, dict)] if isinstance(images, list) else []
    entries.sort(key=lambda entry: entry.get("variant") != "MAIN")
    return next(
        (url for entry in entries for key in ("hi_res", "large", "thumb") if (url := _text(entry.get(key)))), None
    )


def _texts(value: Any) -> list[str]:
    """Return the non-empty texts of a text, or of lists in lists, which may be deeper than Python can recurse."""
    found, waiting = [], [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, list | tuple):
            waiting.extend(reversed(entry))
        elif text := _text(entry):
            found.append(text)
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return SPACES.sub(" ", whole_text(value)).strip()


def _ended(part: str) -> str:
    return part if part[-1] in ".!?…" else f"{part}."
