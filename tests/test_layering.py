"""Who may import whom, and what loading the definitions may cost."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmsra_pipeline"
ROOMS = [  # each may import those before it, and what lies at the root
    "storage",
    "config",
    "telemetry",
    "compute",
    "backbone",
    "sample_store",
    "ingest",
    "interactions",
    "items",
    "summarization",
    "retrieval",
    "recommendation",
    "evaluation",
    "report",
    "orchestration",
    "defs",
    "cli",
]
STAGES = ROOMS[ROOMS.index("backbone") : ROOMS.index("orchestration")]
ROOT = {"__init__.py", "columns.py", "definitions.py", "errors.py", "resampling.py"}
HEAVY = {"torch", "transformers", "peft", "trl", "faiss", "mlflow", "matplotlib", "sentence_transformers", "sklearn"}
ORCHESTRATION = {"dagster", "dagster_shared", "dagster_graphql"}
DEFINES = {  # what makes a module of defs/ one that Dagster loads something from
    "asset", "multi_asset", "job", "schedule", "sensor", "op", "asset_check", "definitions", "define_asset_job",
    "run_failure_sensor", "run_status_sensor", "AssetSpec", "observable_source_asset", "multi_observable_source_asset",
}  # fmt: skip


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


FILES = sorted(PACKAGE.rglob("*.py"))
BELOW_DAGSTER = [path for path in FILES if path.relative_to(PACKAGE).parts[0] in ROOMS[: ROOMS.index("orchestration")]]
THIN = [
    path
    for path in FILES
    if path.relative_to(PACKAGE).parts[0] in ("defs", "orchestration", "cli", "config", "storage")
    or path.parent == PACKAGE
    if relative(path) not in ("storage/relations.py", "storage/tables.py", "storage/table_writer.py", "resampling.py")
]


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Modules that a file imports; with ``top_level_only`` those that loading the file imports."""
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    for node in _loaded(tree) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def _loaded(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        type_checking = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not inside and not type_checking:
            yield child
            yield from _loaded(child)


def top(name: str) -> str:
    return name.split(".")[0]


def modules(path: Path) -> set[str]:
    """The package's own modules that a file imports, in functions and for types too, by their path in the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    parts = [name.split(".")[1:] for name in found if name.startswith("mmsra_pipeline.")]
    files = {relative(file) for file in FILES}
    return {"/".join(own) + ".py" for own in parts} & files


def room(name: str) -> str:
    return name.split("/")[0]


@pytest.mark.parametrize("path", BELOW_DAGSTER, ids=relative)
def test_only_the_outer_rooms_know_dagster(path):
    assert not {name for name in imports(path) if top(name) in ORCHESTRATION}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_room_imports_only_rooms_before_it(path):
    own = room(relative(path))
    used = {room(name) for name in modules(path)} & set(ROOMS)
    if own in ROOMS:
        assert used <= set(ROOMS[: ROOMS.index(own) + 1])
    else:  # of the root
        assert used <= ({"orchestration"} if own == "definitions.py" else set())


def test_no_module_imports_itself_by_way_of_others():
    uses = {relative(path): modules(path) for path in FILES}
    sorter = graphlib.TopologicalSorter(uses)
    sorter.prepare()  # raises CycleError, which names the cycle


def test_the_root_holds_what_all_rooms_may_use_and_nothing_else():
    assert {path.name for path in PACKAGE.glob("*.py")} == ROOT
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize(
    "path", sorted(set((PACKAGE / "defs").glob("*.py")) - {PACKAGE / "defs" / "__init__.py"}), ids=relative
)
def test_every_module_of_defs_defines_something(path):
    used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert used & DEFINES


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=relative)
def test_every_room_says_what_is_in_it(path):
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    if path.parent in (PACKAGE, PACKAGE / "config" / "presets"):
        assert said
    else:
        opened = said.splitlines()[-1].removeprefix("Open first: ").removesuffix(".")
        assert (path.parent / opened).is_file()
        assert said.splitlines()[-2].startswith("In: ")


@pytest.mark.parametrize("path", THIN, ids=relative)
def test_what_is_loaded_often_imports_nothing_heavy_at_its_top(path):
    assert not {name for name in imports(path, top_level_only=True) if top(name) in HEAVY}


def test_internals_of_dagster_are_used_in_one_module_only():
    internal = ("dagster._", "dagster_shared.")
    users = {relative(path) for path in FILES if any(name.startswith(internal) for name in imports(path))}
    assert users == {"orchestration/staleness.py"}


def test_resolving_the_graph_imports_no_model_code():
    script = (
        "import sys\n"
        "from mmsra_pipeline.definitions import defs\n"
        "definitions = defs()\n"
        "definitions.resolve_asset_graph()\n"
        "definitions.resolve_all_job_defs()\n"
        f"print(sorted({HEAVY | {'pandas'}!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_but_the_command_line_prints():
    printing = {
        relative(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 250
