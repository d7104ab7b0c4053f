"""Rows of a table that is written as JSON objects, as text, as a CSV would hold them."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.json_forms import Form, json_blocks
from mmsra_pipeline.ingest.lenient_json import REPEATED, lenient_object, whole_text
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.text_rows import TextRows, checked_header, of_text

CHUNK_ROWS = 50_000
MOST_KEYS = 500
MOST = 10**100
RECORDS = "write one object a row, one a line, as pandas does by `to_json(path, orient='records', lines=True)`"


def json_rows(path: Path, label: str, form: Form, list_separator: str, sink: RejectSink) -> Iterator[TextRows]:
    """Return the objects of a file as rows, in chunks; what is no object is refused.

    The columns are the keys of the first chunk; those of an object within one are ``outer.inner`` too.

    Args:
        path: plain or packed.
        label: what rejects call it.
        form: how the file holds its objects.
        list_separator: goes between the entries of lists.
        sink: gets refused rows, and notes of keys that the first chunk lacks.

    Raises:
        DataError: if the file is one object of columns, or holds none.
    """
    sink.note(f"{label}: is JSON; the keys of its objects are the columns")
    names: list[str] = []
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    given = False
    for block in json_blocks(path, label, form, sink):
        if block.flaw:
            sink.refuse_block(label, block)
            continue
        for number, line in enumerate(block.lines(), start=block.first):
            if not line.strip():
                continue
            found = _object(line)
            if isinstance(found, str):
                sink.see(1)
                sink.refuse(label, number, found, line)
                continue
            objects.append(found)
            lines.append(number)
            if len(objects) == CHUNK_ROWS:
                names = names or _names(objects, path)
                yield _rows(objects, lines, names, label, list_separator, path, sink)
                objects, lines, given = [], [], True
    if objects or not given:
        names = names or _names(objects, path)
        yield _rows(objects, lines, names, label, list_separator, path, sink)


def _object(line: bytes) -> dict[str, Any] | str:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        lenient = lenient_object(line)
        if isinstance(lenient, dict):
            return {whole_text(str(key)): value for key, value in lenient.items() if key != REPEATED}
        return lenient
    return found if isinstance(found, dict) else "is no JSON object"


def _names(objects: list[dict[str, Any]], path: Path) -> list[str]:
    names: dict[str, None] = {}
    for found in objects:
        names |= dict.fromkeys(found)
        for key, value in found.items():
            if isinstance(value, dict) and not _wrapped(value):
                names |= {whole_text(f"{key}.{inner}"): None for inner in value}
        if len(names) > MOST_KEYS:
            raise DataError(f"{path}: its objects have more than {MOST_KEYS} keys, so they are no rows; {RECORDS}.")
    if len(objects) == 1 and names and all(isinstance(value, list | dict) for value in objects[0].values()):
        raise DataError(f"{path}: is one JSON object, with {', '.join(list(names)[:5])}, and no rows; {RECORDS}.")
    if not names:
        raise DataError(f"{path}: holds no JSON object; {RECORDS}.")
    return list(names)


def _rows(
    objects: list[dict[str, Any]],
    lines: list[int],
    names: list[str],
    label: str,
    separator: str,
    path: Path,
    sink: RejectSink,
) -> TextRows:
    new = {key for found in objects for key in found}.difference(names)
    if new:
        sink.note(
            f"{label}: the keys {', '.join(sorted(new)[:5])} stand in no object of the first ones and are not read"
        )
    columns = [[_text(_value(found, name), separator) for found in objects] for name in names]
    return TextRows(of_text(columns, names), lines, checked_header(names, path))


def _value(found: Mapping[str, Any], name: str) -> Any:
    if name in found:
        return found[name]
    outer, _, inner = name.partition(".")
    value = found.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def _wrapped(value: Mapping[str, Any]) -> bool:
    """Whether a value is written as MongoDB exports it: {"$oid": "6f"}, {"$date": …}."""
    return len(value) == 1 and str(next(iter(value))).startswith("$")


def _text(value: Any, separator: str) -> str | None:
    while isinstance(value, dict) and _wrapped(value):
        value = next(iter(value.values()))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str):
        return whole_text(value).replace("\0", "").strip() or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < MOST else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, list) and not any(isinstance(entry, dict | list) for entry in value):
        return separator.join(text for entry in value if (text := _text(entry, separator))) or None
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # too deep, or with numbers and texts that JSON has not
        return None
