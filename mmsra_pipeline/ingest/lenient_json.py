"""One line of JSON that Arrow or orjson refuse, read for the fields that matter: what is beside them costs no row."""

import json
import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from mmsra_pipeline.ingest.ids import NULL_WORDS
from mmsra_pipeline.ingest.listed_texts import literal

HALVES = re.compile("[\ud800-\udfff]")  # of pairs that were cut; they are no text
REPEATED = "\0repeated"
CHARS_IN_MESSAGE = 40


def lenient_object(line: bytes) -> dict[str, Any] | str:
    """Return the object of a line, or the reason why there is none.

    Read are also NaN and Infinity, as Python writes them, halves of surrogate pairs, and Python's literals; nothing is
    run. Values may be of any kind.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "is not valid UTF-8"
    try:
        found: object = json.loads(text, object_pairs_hook=_noting_repeats)
    except (ValueError, RecursionError) as error:
        detail = "is nested too deep" if isinstance(error, RecursionError) else str(error)[:100]
        try:
            found = literal(text)
        except ValueError as refused:
            json_like = text.lstrip().startswith('{"')
            return f"is no JSON object: {detail}; correct that line" if json_like else str(refused)
    if isinstance(found, dict):
        return found
    return "is a text, not an object" if text.lstrip().startswith('"') else "is no object"


def lenient_row(line: bytes, schema: pa.Schema, ids: Collection[str], needed: Sequence[str]) -> dict[str, Any] | str:
    """Return the fields of ``schema`` of a line, or the reason why the line cannot be used.

    Args:
        line: the JSON.
        schema: strings and float64.
        ids: strings that must not be numbers, whose leading zeros would be lost.
        needed: numbers of which a text that is none is refused.
    """
    found = lenient_object(line)
    if isinstance(found, str):
        return found
    twice = found.get(REPEATED, set()) & set(schema.names)
    if twice:
        return f"names {sorted(twice)[0]!r} twice; which is meant cannot be known"
    row: dict[str, Any] = {}
    for field in schema:
        value = found.get(field.name)
        if field.type == pa.string():
            if field.name in ids and isinstance(value, int | float):
                digits = str(value)[:CHARS_IN_MESSAGE]
                return f"{field.name} is the number {digits}, whose leading zeros would be lost; write it as text"
            row[field.name] = whole_text(value) if isinstance(value, str) else None
        else:
            number = _number(value)
            if number is None and isinstance(value, str) and value.strip() and value.strip() not in NULL_WORDS:
                return f"{field.name} is {value[:CHARS_IN_MESSAGE]!r}, which is no number"
            if field.name in needed and isinstance(value, dict | list | bool):
                return f"{field.name} is no number"
            row[field.name] = number
    return row


def whole_text(text: str) -> str:
    """Return a text with U+FFFD for halves of surrogate pairs."""
    return text if text.isascii() else HALVES.sub("\ufffd", text)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _noting_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found[REPEATED] = {name for name in found if names.count(name) > 1}
    return found
