"""Reader of ``format: microlens``: pairs in order without times, titles, and a folder of covers where there is one."""

import csv
import logging
from pathlib import Path

import pandas as pd

from mmsra_pipeline import columns as c
from mmsra_pipeline.datasets import DatasetSpec, microlens_options
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.interactions.delimited import is_utf8, read_lines
from mmsra_pipeline.interactions.pictures import find_images, hash_images
from mmsra_pipeline.interactions.raw import ORDER, RawData, item_table, review_table
from mmsra_pipeline.interactions.rejects import TEXT_CHARS, Reject, rejects_table
from mmsra_pipeline.interactions.tables import source_folder

NO_TITLE = "null"
logger = logging.getLogger(__name__)


def read_microlens(spec: DatasetSpec) -> RawData:
    """Read a data set of ``format: microlens``.

    Raises:
        MissingInputError: if the folder or a file is not there.
        DataError: if a pattern fits several files, or no line is usable.
    """
    pairs, titles, covers = _places(spec)
    reviews, bad_pairs = read_pairs(pairs)
    items, bad_titles = read_titles(titles)
    image_root = covers if covers.is_dir() else None
    untitled = pd.Index(reviews[c.ITEM].unique()).difference(items[c.ITEM])
    if image_root is not None and len(untitled):
        items = pd.concat([items, pd.DataFrame({c.ITEM: untitled})], ignore_index=True)  # they may have a cover
    items[c.IMAGE] = find_images(items[c.ITEM], image_root)
    items[c.IMAGE_HASH] = hash_images(items[c.IMAGE], image_root)
    rejects = rejects_table(bad_pairs + bad_titles)
    logger.info("%s: %d reviews, %d items, %d rejected rows", spec.name, len(reviews), len(items), len(rejects))
    return RawData(reviews, item_table(items), rejects, image_root)


def microlens_files(spec: DatasetSpec) -> list[Path]:
    """All source files of a data set: pairs, titles and every cover."""
    pairs, titles, covers = _places(spec)
    pictures = sorted(path for path in covers.rglob("*") if path.is_file()) if covers.is_dir() else []
    return [pairs, titles, *pictures]


def read_pairs(path: Path) -> tuple[pd.DataFrame, list[Reject]]:
    """Read lines ``user<TAB>item item …`` in order of time: a table as ``RawData.reviews``, and the unusable lines.

    Raises:
        DataError: if no line is usable.
    """
    users: list[str] = []
    items: list[str] = []
    rejects: list[Reject] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        user, tab, rest = line.partition("\t")
        taken = rest.split()
        reason = _pair_flaw(user.strip(), tab, taken, line)
        if reason:
            rejects.append(Reject(path.name, number, reason, line[:TEXT_CHARS]))
        else:
            users.extend([user.strip()] * len(taken))
            items.extend(taken)
    if not users:
        first = f" The first, line {rejects[0].line}: {rejects[0].reason}." if rejects else ""
        raise DataError(f"{path}: has no usable line `user<TAB>item item …`.{first} Mend the file.")
    return review_table(pd.DataFrame({c.USER: users, c.ITEM: items, ORDER: range(len(users))})), rejects


def read_titles(path: Path) -> tuple[pd.DataFrame, list[Reject]]:
    """Read lines ``item,title``, with or without a header: item ids with titles, and the unusable lines.

    Titles may hold commas without quotes: everything after the first comma is the title.
    """
    rows: dict[str, str | None] = {}
    rejects: list[Reject] = []
    for number, line in enumerate(read_lines(path), start=1):
        item, comma, rest = (part.strip() for part in line.partition(","))
        if not line.strip() or (number == 1 and (item.lower(), rest.lower()) == ("item", "title")):
            continue
        title = _unquoted(rest)
        reason = _title_flaw(item, comma, title, line) or ("item stands in an earlier line" if item in rows else "")
        if reason:
            rejects.append(Reject(path.name, number, reason, line[:TEXT_CHARS]))
        else:
            rows[item] = None if title in {"", NO_TITLE} else title
    return pd.DataFrame({c.ITEM: list(rows), c.TITLE: list(rows.values())}, dtype="str"), rejects


def _places(spec: DatasetSpec) -> tuple[Path, Path, Path]:
    home, options = source_folder(spec), microlens_options(spec)
    where = str(spec.file or f"the YAML of {spec.name!r}")
    pairs = _one(home, options.pairs, "pairs", where)
    return pairs, _one(home, options.titles, "titles", where), home / options.covers


def _one(home: Path, pattern: str, option: str, where: str) -> Path:
    found = sorted(home.glob(pattern))
    if not found:
        raise MissingInputError(
            f"{home}: no file fits {pattern!r}. Put it there, or name it in {where}: `{option}: FILE_NAME`."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(
            f"{home}: {pattern!r} fits several files: {names}. Name one in {where}: `{option}: {found[0].name}`."
        )
    return found[0]


def _pair_flaw(user: str, tab: str, taken: list[str], line: str) -> str:
    if not tab:
        return "has no tab between user and items"
    if not user:
        return "user_id is empty"
    if not taken:
        return "names no item"
    return "" if is_utf8(line) else "is not valid UTF-8"


def _title_flaw(item: str, comma: str, title: str | None, line: str) -> str:
    if not comma:
        return "has no comma between item and title"
    if not item:
        return "item_id is empty"
    if title is None:
        return "the title's quotes are not closed"
    return "" if is_utf8(line) else "is not valid UTF-8"


def _unquoted(text: str) -> str | None:
    """Give a title without its quotes; None if they open but do not close around the whole of it."""
    if not text.startswith('"'):
        return text
    try:
        fields = next(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return fields[0].strip() if len(fields) == 1 else None
