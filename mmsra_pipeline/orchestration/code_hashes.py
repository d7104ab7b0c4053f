"""What an asset runs, as a hash: of its function and of all code of the stages that this imports, directly or not.

The hash is of the compiled code, so that a comment, a docstring, the layout or the name of a local changes nothing;
whatever else does, a new minor version of Python too. Rooms that all stages share (config, storage, telemetry,
backbone) are left out: their tests hold results equal, and where a result does change there, the number beside the
hash is raised by hand (``settings_read.code_version``).
"""

import ast
import functools
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, Final

from mmsra_pipeline.storage.hashing import fingerprint

PACKAGE: Final = "mmsra_pipeline"
STAGES: Final = (
    "sample_store", "ingest", "interactions", "items", "summarization", "retrieval", "recommendation", "evaluation",
    "report",
)  # fmt: skip
BY_NAME: Final = (f"{PACKAGE}.defs.", f"{PACKAGE}.orchestration.recommender_inputs")
"""Modules of many assets: of them only the names that are used count, of others the whole module."""
FOUND_BY_NAME: Final = {f"{PACKAGE}.ingest.reading": "ingest/readers"}
"""Modules that load others by a name in the settings, which no import shows, and the folder of those."""
WITHOUT_DOCSTRINGS: Final = 2

Place = tuple[str, str]
"""A module and a name in it; no name stands for the whole module."""


def code_hash(module: str, name: str) -> str:
    """Return the hash of a function of a module, and of what it runs in the stages.

    Raises:
        LookupError: if there is no such module, or it binds no such name.
    """
    found: dict[Place, str] = {}
    waiting = [(module, name)]
    while waiting:
        place = waiting.pop()
        if place not in found:
            found[place], uses = _read(*place)
            waiting += uses
    return fingerprint(sorted([*place, text] for place, text in found.items()))


@functools.cache
def _read(module: str, name: str) -> tuple[str, tuple[Place, ...]]:
    """Return the hash of a place's code, and the places that it uses."""
    source = _source(module)
    if not name:
        imported = [place for node in ast.walk(source.tree) for place in _targets(node).values()]
        imported += [(found, "") for found in _found_by_name(module)]
        return fingerprint(_plain(_compiled(source.tree.body, module))), tuple(_followed(imported))
    if name not in source.bound:
        raise LookupError(f"module {module!r} binds no {name!r}")
    statement = _undecorated(source.bound[name])
    read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    imported = [place for node in ast.walk(statement) for place in _targets(node).values()]
    imported += [source.imported[used] for used in sorted(read & set(source.imported))]
    beside = [(module, used) for used in sorted(read & set(source.bound)) if used != name]
    return fingerprint(_plain(_compiled([statement], module))), (*beside, *_followed(imported))


def _found_by_name(module: str) -> list[str]:
    folder = FOUND_BY_NAME.get(module)
    if folder is None:
        return []
    return [f"{PACKAGE}.{folder.replace('/', '.')}.{file.stem}" for file in sorted(Path(_root(), folder).glob("*.py"))
            if file.stem != "__init__"]  # fmt: skip


def _undecorated(statement: ast.stmt) -> ast.stmt:
    """Return a function without what is said about it: its decorators, and the types of its arguments."""
    if not isinstance(statement, ast.FunctionDef):
        return statement
    bare = ast.parse(ast.unparse(statement)).body[0]
    assert isinstance(bare, ast.FunctionDef)
    bare.decorator_list, bare.returns = [], None
    for argument in [*bare.args.posonlyargs, *bare.args.args, *bare.args.kwonlyargs]:
        argument.annotation = None
    return bare


class _Source:
    """A module of the package: its statements by the names that they bind, and where imported names come from."""

    def __init__(self, file: Path) -> None:
        self.tree = ast.parse(file.read_text(encoding="utf-8"))
        self.imported: dict[str, Place] = {}
        self.bound: dict[str, ast.stmt] = {}
        for statement in _statements(self.tree.body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imported |= _targets(statement)
            else:
                self.bound |= dict.fromkeys(_names(statement), statement)


@functools.cache
def _source(module: str) -> _Source:
    file = _file(module)
    if file is None:
        raise LookupError(f"there is no module {module!r}")
    return _Source(file)


def _file(module: str) -> Path | None:
    place = Path(_root(), *module.split(".")[1:])
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@functools.cache
def _root() -> str:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise LookupError(f"package {PACKAGE} has no folder")
    return found.submodule_search_locations[0]


def _compiled(body: list[ast.stmt], module: str) -> CodeType:
    return compile(ast.Module(body, type_ignores=[]), module, "exec", optimize=WITHOUT_DOCSTRINGS, dont_inherit=True)


def _plain(value: Any) -> Any:
    """Return compiled code, or a constant in it, as lists of texts: names of arguments, but of no other local."""
    if isinstance(value, CodeType):
        arguments = value.co_argcount + value.co_kwonlyargcount
        names = [value.co_name, *value.co_names, *value.co_varnames[:arguments]]
        constants = [_plain(constant) for constant in value.co_consts]
        return [names, value.co_code.hex(), value.co_exceptiontable.hex(), value.co_flags, constants]
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, frozenset):
        return sorted(repr(entry) for entry in value)  # its order differs from process to process
    return repr(value)


def _followed(places: Iterable[Place]) -> Iterator[Place]:
    """Give the places that count: a name of a module of many assets, or the whole module of a stage."""
    for module, name in places:
        whole = f"{module}.{name}" if name else module
        if name and module.startswith(BY_NAME):
            yield module, name
        elif module.split(".")[1:2] and module.split(".")[1] in STAGES and module.startswith(f"{PACKAGE}."):
            yield (whole if name and _file(whole) else module), ""


def _targets(node: ast.AST) -> dict[str, Place]:
    """Return what an import binds, and where it comes from; nothing of another node."""
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name: (alias.name, "") for alias in node.names}
    return {}


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Give the statements of a module, those of its ifs too, but none that only type checkers read."""
    for statement in body:
        if isinstance(statement, ast.If):
            if ast.unparse(statement.test) != "TYPE_CHECKING":
                yield from _statements([*statement.body, *statement.orelse])
        else:
            yield statement


def _names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
