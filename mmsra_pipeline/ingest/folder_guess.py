"""What the files of a folder seem to be: a format, and options of it, for a person to look at."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsra_pipeline import columns as c
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.column_matching import POSITIONS, SYNONYMS, like
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.json_forms import Form, form_of, json_blocks
from mmsra_pipeline.ingest.lenient_json import lenient_object
from mmsra_pipeline.ingest.picture_paths import FolderIndex
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import TABLE_ENDINGS
from mmsra_pipeline.ingest.text_rows import Header

YEARS = {"amazon-2023": {"parent_asin", "user_id"}, "amazon-2018": {"reviewerID", "asin", "verified"},
         "amazon-2014": {"reviewerID", "asin", "helpful"}}  # fmt: skip
"""Keys of a review by which its generation is known."""
MOST_FILES = 200
SHARD = re.compile(r"-\d{5}-of-\d{5}(?:-[0-9a-f]{16})?")  # 'train-00000-of-00002.parquet'


class _Silent(RejectSink):
    """A sink of what is only looked at; reading will say the same."""

    def note(self, text: str) -> None:
        pass


@dataclass(frozen=True)
class Guess:
    """What a folder seems to be."""

    format: str
    options: dict[str, Any]
    passed_over: tuple[str, ...]
    """Files that are no part of it, each with the reason."""


def guess(folder: Path) -> Guess:
    """Tell what lies in a folder.

    Raises:
        DataError: if no file there can hold interactions.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_"))]
    if any("_pairs." in path.name for path in files):
        return Guess("microlens", {}, ())
    for path in sorted(folder.rglob("*.json*"))[:MOST_FILES]:
        year = _year(path) if path.is_file() else ""
        if year:
            return Guess(year, {}, ())
    return _tables(folder, files)


def _tables(folder: Path, files: Iterable[Path]) -> Guess:
    roles: dict[str, dict[tuple[str, ...], list[str]]] = {"interactions": {}, "items": {}}
    passed: list[str] = []
    pictures: dict[str, int] = {}
    for path in list(_with_inner(files, pictures))[:MOST_FILES]:
        name = path.relative_to(folder).as_posix()
        try:
            header = _header(path)
        except DataError as error:
            passed.append(f"{name}: {str(error).removeprefix(f'{path}: ')}")
            continue
        if header and YEARS["amazon-2023"] <= set(header.names):
            return Guess("amazon-2023", {}, ())
        role = _role(header) if header else ""
        if header and role:
            roles[role].setdefault(_fields_of(header), []).append(name)
        else:
            passed.append(f"{name}: has no columns of users and items, nor of items and their texts")
    options: dict[str, Any] = {}
    for role, found in roles.items():
        if not found:
            continue
        named = {fields: names for fields, names in found.items() if fields}
        passed += [
            f"{name}: has no header" for fields, names in found.items() if named and not fields for name in names
        ]
        found = named or found
        chosen = max(found.values(), key=lambda names: sum(_size(folder / name) for name in names))
        passed += [
            f"{name}: other columns than {chosen[0]}" for names in found.values() if names != chosen for name in names
        ]
        chosen, twice = _once(chosen)
        passed += [f"{name}: seems to be what {other} is in another form" for name, other in twice.items()]
        options[role] = chosen[0] if len(chosen) == 1 else _pattern(chosen)
    if "interactions" not in options:
        reasons = "; ".join(passed) or "it holds no file"
        raise DataError(
            f"{folder}: no file there has a column of users and one of items. {reasons}. See docs/data_formats.md."
        )
    if pictures:
        options["images"] = max(pictures, key=lambda name: pictures[name])
    return Guess("tables", options, tuple(passed))


def _with_inner(files: Iterable[Path], pictures: dict[str, int]) -> Iterator[Path]:
    """Return files, and those in folders that hold no pictures; of the others note how many they hold."""
    for path in files:
        if path.is_file() or path.suffix.lower() in TABLE_ENDINGS:
            yield path
            continue
        count = sum(FolderIndex(path).counts.values())
        if count:
            pictures[path.name] = count
        else:
            yield from (
                inner for inner in sorted(path.iterdir()) if inner.is_file() and not inner.name.startswith((".", "_"))
            )


def _once(names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return names of files, and those that differ from one of them in the ending alone."""
    kept: dict[str, str] = {}
    twice = {}
    for name in names:
        other = kept.setdefault(name.rpartition("/")[0] + "/" + name.rpartition("/")[2].split(".")[0], name)
        if other != name:
            twice[name] = other
    return list(kept.values()), twice


def _pattern(names: list[str]) -> str | list[str]:
    """Return one pattern for the shards of an export, else the names."""
    patterns = {SHARD.sub("-*", name) for name in names}
    return patterns.pop() if len(patterns) == 1 and names[0] not in patterns else names


def _header(path: Path) -> Header | None:
    """Return the columns of a file, or of the first part of a folder that is a table."""
    part = path if path.is_file() else next((one for one in sorted(path.rglob("*.parquet"))), None)
    if part is None or not part.stat().st_size:
        return None
    label = part.relative_to(path.parent).as_posix()
    rows = next(iter(read_text_rows(part, label, "|", _Silent(lambda _: None))))
    return rows.header


def _fields_of(header: Header) -> tuple[str, ...]:
    """Return our fields that the columns hold."""
    names = {like(name) for name in header.names}
    return tuple(field for field, usual in SYNONYMS.items() if names & {like(field), *usual})


def _role(header: Header) -> str:
    if header.headerless:
        places = POSITIONS.get((header.delimiter, len(header.names)), (c.USER,))
        return "interactions" if c.USER in places else "items"  # reading then says which option names the columns
    has = _fields_of(header)
    if c.USER in has and c.ITEM in has:
        return "interactions"
    texts = {c.TITLE, c.DESCRIPTION, c.CATEGORY, c.IMAGE, c.TAGS}
    return "items" if (c.ITEM in has or "id" in map(like, header.names)) and texts.intersection(has) else ""


def _year(path: Path) -> str:
    """Return the generation of Amazon's reviews that a file's first object belongs to."""
    form = form_of(path)
    block = (
        None if form is Form.TABLE else next(iter(json_blocks(path, path.name, form, _Silent(lambda _: None))), None)
    )
    lines = [line for line in block.lines() if line.strip()] if block else []
    found = lenient_object(lines[0]) if lines else ""
    return next((name for name, keys in YEARS.items() if isinstance(found, dict) and keys <= found.keys()), "")


def _size(path: Path) -> int:
    return (
        path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    )
