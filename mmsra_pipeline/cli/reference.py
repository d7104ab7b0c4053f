"""What can be set and what is stored: `mmsra settings`, `mmsra tables`, and the pages of docs/ that they make."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mmsra_pipeline.config.datasets import load_dataset, settings_layers
from mmsra_pipeline.config.loading import resolved, root_layers, source_of
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.orchestration.dictionary import TABLES
from mmsra_pipeline.storage.paths import find_paths, local_root
from mmsra_pipeline.telemetry.terminal import print_rows

Markdown = Annotated[bool, typer.Option("--markdown", help="Print the page of docs/.")]
SETTINGS_HEAD: Final = """# Settings

Every setting with its default. A preset gives other values to some; `mmsra settings -d DATASET` prints what holds for
a data set and where it comes from: the weakest is the preset, then the lines of `mmsra.yaml` beside `workspace.yaml`
(or of the file that `MMSRA_CONFIG` names, in its place), then the data set's own, under `settings` in its file. A
`preset` of the data set's own takes the place of the root's and stands above the lines of `mmsra.yaml`. `automation`,
`retention` and `limits` are of the root alone.
Made by `mmsra settings --markdown > docs/settings.md`.

| setting | default | meaning |
|---|---|---|
"""
TABLES_HEAD: Final = """# Tables

Every table is Parquet, one slice a data set; `data/catalog.duckdb` has a view of each with the column `dataset` first.
`duckdb -readonly data/catalog.duckdb` opens it, also where the root was moved;
what is written into it goes with the next table.
`mmsra show TABLE -d DATASET` prints rows. Made by `mmsra tables --markdown > docs/tables.md`.
"""


def settings_command(
    below: Annotated[str, typer.Argument(help="A section or setting, such as retrieval.encoder; else all.")] = "",
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Of this data set; else what the root says.")
    ] = None,
    markdown: Markdown = False,
) -> None:
    """Print every setting: its value now and where that comes from, its default and its meaning."""
    if markdown:
        typer.echo(settings_markdown(), nl=False)
        return
    layers = root_layers() if dataset is None else settings_layers(load_dataset(find_paths().datasets, dataset))
    rows = [
        [one.path, one.value, _below_the_root(source_of(layers, one.path)), one.default, one.meaning]
        for one in settings(resolved(layers), below)
    ]
    title = f"Settings of {dataset}" if dataset else "Settings of the root"
    print_rows(title, ["setting", "value", "from", "default", "meaning"], rows)


def _below_the_root(source: str) -> str:
    root = local_root()
    inside = root is not None and Path(source).is_relative_to(root)
    return str(Path(source).relative_to(root)) if root and inside else source


def tables_command(
    table: Annotated[str, typer.Argument(help="A table, for its columns; else all tables.")] = "",
    markdown: Markdown = False,
) -> None:
    """Print the tables there are, or the columns of one."""
    if markdown:
        typer.echo(tables_markdown(), nl=False)
    elif not table:
        rows = [[name, table.row, table.writer, readers(name)] for name, table in TABLES.items()]
        print_rows("Tables", ["table", "one row is", "written by", "read by"], rows)
    elif table in TABLES:
        print_rows(
            f"{table}: {TABLES[table].row}", ["column", "meaning"], list(map(list, TABLES[table].columns.items()))
        )
    else:
        raise ConfigError(f"table {table!r} does not exist. Choose one of: {', '.join(TABLES)}.")


class Setting(NamedTuple):
    """One setting."""

    path: str
    default: str
    meaning: str
    value: str
    """As it is now."""


def settings(config: Config, below: str = "") -> list[Setting]:
    """Return every setting with its default, its meaning and its value in ``config``, by path.

    Args:
        config: the resolved settings.
        below: a dotted path: only what it names, and what lies below it.

    Raises:
        ConfigError: if there is no such path.
    """
    found = [
        one
        for one in _walk(Config, config, "")
        if one.path == below or one.path.startswith(f"{below}." if below else "")
    ]
    if not found:
        raise ConfigError(f"no setting is called {below!r}. `mmsra settings` prints all of them.")
    return found


def settings_markdown() -> str:
    """Return docs/settings.md."""
    rows = (f"| `{one.path}` | `{one.default}` | {one.meaning} |\n" for one in settings(Config()))
    return SETTINGS_HEAD + "".join(rows)


def tables_markdown() -> str:
    """Return docs/tables.md."""
    page = TABLES_HEAD
    for name, table in TABLES.items():
        page += f"\n## {name}\n\nOne row is {table.row}. Written by `{table.writer}`; read by {readers(name)}.\n\n"
        page += "| column | meaning |\n|---|---|\n"
        page += "".join(f"| `{column}` | {meaning} |\n" for column, meaning in table.columns.items())
    return page


def readers(table: str) -> str:
    """Return which assets depend on a table, in words; for one that an asset writes beside its own, on that asset."""
    from dagster import AssetKey  # takes a second, which no other command shall wait for

    from mmsra_pipeline.orchestration.loading import load_definitions

    graph = load_definitions().resolve_asset_graph()
    children = graph.get(AssetKey(TABLES[table].writer)).child_keys
    return ", ".join(sorted(f"`{key.path[-1]}`" for key in children)) or "people"


def _walk(model: type[BaseModel], values: BaseModel | None, path: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        here = f"{path}.{name}" if path else name
        value = getattr(values, name, None)
        inner = _section(field.annotation)
        if inner is not None and (isinstance(field.default, BaseModel) or isinstance(value, BaseModel)):
            yield from _walk(inner, value, here)
            continue
        default = "" if field.default is PydanticUndefined else _written(field.default)
        yield Setting(here, default, " ".join((field.description or "").split()), _written(value))


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return str(value)
