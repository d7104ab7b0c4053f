"""Names say what a thing is, in the words of the field: not how it came about ('made', 'taken', 'told', 'shown')."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path for folder in ("mmsra_pipeline", "tests", "benchmarks", "tools") for path in (ROOT / folder).rglob("*.py")
)
DIALECT = {"shown", "told", "taken", "due", "mend", "made", "account", "intake"}
ENGLISH = {"made_by_code", "made_up", "made_up_scene", "taken_over"}  # whole participles, which say what they mean


def parts(name: str) -> set[str]:
    """The words of a name.

    >>> sorted(parts("_firstTaken_ofAll"))
    ['all', 'first', 'of', 'taken']
    """
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")) - {""}


def names(tree: ast.AST) -> Iterator[str]:
    """Names that a file gives or uses; but not those of tests, which are sentences."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("test_"):
                yield name
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)) | ast.alias(name=name, asname=None):
                yield from name.split(".")


def test_names_say_what_a_thing_is():
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in FILES
        for name in {path.stem, *names(ast.parse(path.read_text()))} - ENGLISH
        if parts(name) & DIALECT
    }
    assert sorted(found) == []
