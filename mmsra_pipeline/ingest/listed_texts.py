"""Lists that stand in one cell: JSON, Python literals, or entries between separators."""

import ast
import csv
import re
import warnings

import orjson

LITERAL_CHARS = 1_000_000  # parsing takes some hundred times that in memory
# What a dict of texts, numbers, lists and dicts consists of. Parsing anything else, such as an f-string of a megabyte,
# may take minutes before it is refused.
LITERAL = re.compile(
    r"""(?:[\s\d{}\[\](),:.eE+-]++|None|True|False|[uU]?'(?:[^'\\]|\\.)*+'|[uU]?"(?:[^"\\]|\\.)*+")*+""", re.DOTALL
)
NAME_KEYS = ("name", "title", "label", "value", "tag", "category", "text")
URL_KEYS = ("hi_res", "large", "full", "original", "url", "src", "href", "link", "thumb")
OPEN, CLOSE = frozenset("[{"), frozenset("]}")
ARRAY = re.compile(r"\{[^{}:]*\}")
NEXT_URL = re.compile(r"[|,;\s]+(?=https?://)", re.IGNORECASE)
URL = re.compile(r"https?://\S+", re.IGNORECASE)


def literal(text: str) -> object:
    """Return what a Python literal holds. Nothing in it is run; what is too long or too deep costs no memory.

    Raises:
        ValueError: with the reason why it cannot be read.
    """
    if len(text) > LITERAL_CHARS:
        raise ValueError(f"is longer than {LITERAL_CHARS} characters")
    if not LITERAL.fullmatch(text):
        raise ValueError("is neither JSON nor a Python literal")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as '\\d' in what shops typed
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"is neither JSON nor a Python literal: {type(error).__name__}") from None


def structure(cell: str) -> object:
    """Return the list or dict that a cell is written as, in JSON or Python; the cell itself if it is none."""
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        try:
            return literal(cell)
        except ValueError:
            return cell


def is_listed(cell: str) -> bool:
    """Whether a cell is written as a list: of JSON or Python, or as PostgreSQL writes its arrays."""
    return cell[:1] in OPEN and cell[-1:] in CLOSE


def named(entry: object) -> str:
    """Return the text of an entry of a list; of an object its name, as films and shops list genres.

    >>> named({"id": 16, "name": "Animation"}), named("Home"), named({"id": 16})
    ('Animation', 'Home', '')
    """
    if isinstance(entry, dict):
        found = next((entry[key] for key in NAME_KEYS if isinstance(entry.get(key), str)), None)
        texts = [value for value in entry.values() if isinstance(value, str)]
        return (found or (texts[0] if len(texts) == 1 else "")).strip()
    return str(entry).strip() if isinstance(entry, str | int | float) and not isinstance(entry, bool) else ""


def listed(cell: str, separator: str) -> list[str]:
    """Return the entries of a cell: of a JSON list or a Python one, else what lies between separators.

    >>> listed('["Home", "Lamps"]', "|"), listed("['Home', None]", "|"), listed("Home| |Lamps", "|")
    (['Home', 'Lamps'], ['Home'], ['Home', 'Lamps'])
    """
    if is_listed(cell):
        found = structure(cell)
        if isinstance(found, list | dict):
            return [text for entry in (found if isinstance(found, list) else [found]) if (text := named(entry))]
        if ARRAY.fullmatch(cell):
            return [part for part in next(csv.reader([cell[1:-1]], escapechar="\\"), []) if part and part != "NULL"]
    parts = cell.split(separator) if separator else [cell]
    return [part.strip() for part in parts if part.strip()]


def pictures_named(cell: str | None) -> str | None:
    """Return what a cell names: the first file of several, or all URLs from the first on, with blanks between them.

    >>> pictures_named("https://a.test/1.jpg|https://a.test/2.jpg"), pictures_named("['b.jpg', 'c.jpg']")
    ('https://a.test/1.jpg https://a.test/2.jpg', 'b.jpg')
    """
    if cell is None:
        return None
    if is_listed(cell):
        found = _pictures(structure(cell)) or listed(cell, "")
        urls = [each for each in found if URL.fullmatch(each)]
        return " ".join(urls) if urls and found[0] == urls[0] else next(iter(found), None)
    if cell.startswith("//") and "." in cell:
        cell = f"https:{cell}"
    if not (cell.lower().startswith("http") and NEXT_URL.search(cell)):
        return cell
    return " ".join(URL.findall(NEXT_URL.sub(" ", cell)))


def _pictures(found: object) -> list[str]:
    """Return what lists and objects name, the largest of each picture first."""
    if isinstance(found, str):
        return [found.strip()] if found.strip() else []
    if isinstance(found, list):
        return [text for entry in found for text in _pictures(entry)]
    if isinstance(found, dict):
        values = [found[key] for key in URL_KEYS if found.get(key)] or [
            value
            for value in found.values()
            if isinstance(value, list) or (isinstance(value, str) and URL.fullmatch(value))
        ]
        return [text for value in values for text in _pictures(value)]
    return []
