"""How the command line prints: tables and JSON on stdout, the log on stderr."""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import typer

CELL_CHARS = 60


def print_rows(title: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    Console(markup=False).print(table)


def print_json(content: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))


def cell(value: Any) -> str:
    """Return a value as the text of a table cell: lists joined, numbers and long texts cut.

    >>> cell(["red", "mug"]), cell(0.123456), cell("x" * 99)[-5:]
    ('red, mug', '0.1235', 'xx...')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    entries = value.tolist() if hasattr(value, "tolist") else value
    text = ", ".join(map(str, entries)) if isinstance(entries, list) else str(entries)
    return text if len(text) <= CELL_CHARS else f"{text[: CELL_CHARS - 3]}..."


@contextlib.contextmanager
def log_to_stderr() -> Iterator[None]:
    """Send what the stages log to stderr, and keep libraries' progress bars and notes to developers from between it."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("mmsra_pipeline")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
