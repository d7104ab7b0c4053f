"""Lists that stand in one cell: JSON, Python literals, or entries between separators."""

import ast
import re
import warnings

import orjson

LITERAL_CHARS = 1_000_000  # parsing takes some hundred times that in memory
# What a dict of texts, numbers, lists and dicts consists of. Parsing anything else, such as an f-string of a megabyte,
# may take minutes before it is refused.
LITERAL = re.compile(
    r"""(?:[\s\d{}\[\](),:.eE+-]++|None|True|False|[uU]?'(?:[^'\\]|\\.)*+'|[uU]?"(?:[^"\\]|\\.)*+")*+""", re.DOTALL
)
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
    """Whether a cell is written as a list."""
    return cell.startswith("[") and cell.endswith("]")


def listed(cell: str, separator: str) -> list[str]:
    """Return the entries of a cell: of a JSON list or a Python one, else what lies between separators.

    >>> listed('["Home", "Lamps"]', "|"), listed("['Home', None]", "|"), listed("Home| |Lamps", "|")
    (['Home', 'Lamps'], ['Home'], ['Home', 'Lamps'])
    """
    found = structure(cell) if is_listed(cell) else None
    if isinstance(found, list):
        return [text for entry in found if isinstance(entry, str | int | float) and (text := str(entry).strip())]
    parts = cell.split(separator) if separator else [cell]
    return [part.strip() for part in parts if part.strip()]


def first_picture(cell: str | None) -> str | None:
    """Return the first picture of a cell that names several.

    >>> first_picture("https://a.test/1.jpg|https://a.test/2.jpg"), first_picture("['b.jpg', 'c.jpg']")
    ('https://a.test/1.jpg', 'b.jpg')
    """
    if cell is None:
        return None
    if is_listed(cell):
        return next(iter(listed(cell, "")), None)
    if not (cell.lower().startswith("http") and NEXT_URL.search(cell)):
        return cell
    return str(URL.findall(NEXT_URL.sub(" ", cell))[0])
