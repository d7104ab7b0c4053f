"""Who may import whom, and what loading the definitions may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmsra_pipeline"
STAGES = ["backbone", "interactions", "items", "summarization", "retrieval", "recommendation", "evaluation"]
OUTER = {"definitions.py", "cli.py", "cli_backbone.py", "cli_keywords.py", "doctor.py"}
LIGHT = [
    "__init__",
    "alerts",
    "artifacts",
    "cli",
    "cli_backbone",
    "cli_keywords",
    "columns",
    "config",
    "config_backbone",
    "config_data",
    "config_evaluation",
    "config_operation",
    "config_recommendation",
    "config_retrieval",
    "config_server",
    "config_summarization",
    "datasets",
    "definitions",
    "disk",
    "doctor",
    "errors",
    "file_hashes",
    "files",
    "leftovers",
    "locks",
    "object_store",
    "object_store_root",
    "paths",
    "processes",
    "progress",
    "remote",
    "section",
    "terminal",
    "tracking",
    "turns",
]
HEAVY = {"torch", "transformers", "peft", "trl", "faiss", "mlflow", "matplotlib", "sentence_transformers", "sklearn"}
ORCHESTRATION = {"dagster", "dagster_shared", "dagster_graphql"}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


FILES = sorted(PACKAGE.rglob("*.py"))
DOMAIN = [path for path in FILES if "defs" not in path.parts and relative(path) not in OUTER]
THIN = [path for path in FILES if "defs" in path.parts or (path.stem in LIGHT and path.parent == PACKAGE)]


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


@pytest.mark.parametrize("path", DOMAIN, ids=relative)
def test_domain_code_does_not_know_dagster(path):
    assert not {name for name in imports(path) if top(name) in ORCHESTRATION}
    assert not {name for name in imports(path) if name.startswith("mmsra_pipeline.defs")}


@pytest.mark.parametrize("path", DOMAIN, ids=relative)
def test_a_stage_imports_only_earlier_stages_and_top_modules_import_none(path):
    stage = path.relative_to(PACKAGE).parts[0]
    # The sample store is read by the first stage and drawn from by the alignment; it imports no stage.
    later = STAGES[STAGES.index(stage) + 1 :] if stage in STAGES else STAGES
    forbidden = {f"mmsra_pipeline.{name}" for name in later}
    assert not {name for name in imports(path) if ".".join(name.split(".")[:2]) in forbidden}


@pytest.mark.parametrize("path", DOMAIN, ids=relative)
def test_domain_code_does_not_import_the_outer_modules(path):
    outer = {f"mmsra_pipeline.{name.removesuffix('.py')}" for name in OUTER}
    assert not imports(path) & outer


@pytest.mark.parametrize("path", THIN, ids=relative)
def test_what_is_loaded_often_imports_nothing_heavy_at_its_top(path):
    assert not {name for name in imports(path, top_level_only=True) if top(name) in HEAVY}


def test_internals_of_dagster_are_used_in_one_module_only():
    internal = ("dagster._", "dagster_shared.")
    users = {relative(path) for path in FILES if any(name.startswith(internal) for name in imports(path))}
    assert users == {"defs/staleness.py"}


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
