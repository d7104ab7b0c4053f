"""How the command line prints: tables and JSON on stdout, the log on stderr."""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import IO, TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

CELL_CHARS = 60
PIPED_WIDTH = 120
"""Columns of what no terminal shows, such as the log of a nightly job."""


def print_rows(
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numbers: Collection[int] = (),
    styles: Sequence[str | None] = (),
    most: int = CELL_CHARS,
    file: IO[str] | None = None,
) -> None:
    """Print a table.

    Args:
        title: above it.
        names: of its columns.
        rows: their values.
        numbers: places of columns that stand to the right.
        styles: of the first rows, as rich names them; only a terminal shows them.
        most: characters of a cell; longer ones are cut.
        file: in place of stdout.
    """
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for place, name in enumerate(names):
        right, narrow = place in numbers, place in numbers or place == 0
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=narrow and bool(numbers))
    for row, style in zip_longest(rows, styles):
        table.add_row(*(cell(value, most) for value in row), style=style)
    _console(file).print(table)


def print_lines(lines: Sequence[str], *, style: str) -> None:
    """Print lines, in colour where stdout is a terminal."""
    for line in lines:
        _console(None).print(line, style=style, soft_wrap=True)


def _console(file: IO[str] | None) -> "Console":
    """Return what prints. rich leaves colours out where nobody sees them, and where ``NO_COLOR`` is set."""
    from rich.console import Console

    console = Console(file=file, markup=False, highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = PIPED_WIDTH
    return console


def print_json(content: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))


def cell(value: Any, most: int = CELL_CHARS) -> str:
    """Return a value as the text of a table cell: lists joined, numbers and long texts cut.

    >>> cell(["red", "mug"]), cell(0.123456), cell("x" * 99)[-5:]
    ('red, mug', '0.1235', 'xx...')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    entries = value.tolist() if hasattr(value, "tolist") else value
    text = ", ".join(map(str, entries)) if isinstance(entries, list) else str(entries)
    return text if len(text) <= most else f"{text[: most - 3]}..."


@contextlib.contextmanager
def log_to_stderr() -> Iterator[None]:
    """Send what the stages log to stderr, and keep libraries' progress bars and notes to developers from between it."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("mmsra_pipeline")
    if any(type(known) is logging.StreamHandler for known in logger.handlers):  # it does already
        yield
        return
    level = logger.level
    logger.handlers.insert(0, handler)  # Dagster's own rewrites what it was given
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
