"""The command line `mmsra`: what Dagster does not do well. It asks Dagster and reads tables; it runs no stage."""

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmsra_pipeline import __version__
from mmsra_pipeline.cli.ablation import ablate
from mmsra_pipeline.cli.backbone import backbone_commands
from mmsra_pipeline.cli.checking import check
from mmsra_pipeline.cli.dataset_check import dataset_check
from mmsra_pipeline.cli.keywords import keywords
from mmsra_pipeline.cli.lists import lists_commands
from mmsra_pipeline.cli.planning import plan
from mmsra_pipeline.cli.reference import settings_command, tables_command
from mmsra_pipeline.cli.refreshing import ask, exit_code, say_plan, say_refreshed
from mmsra_pipeline.cli.report import compare, report
from mmsra_pipeline.cli.results import AsJson, Dataset, metrics, recommend, summary
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.telemetry.terminal import log_to_stderr, print_json, print_rows

app = typer.Typer(help="MMSRARec as Dagster assets.", no_args_is_help=True, pretty_exceptions_enable=False)
dataset_commands = typer.Typer(help="Data sets: one YAML file each.", no_args_is_help=True)
app.add_typer(dataset_commands, name="dataset")
app.add_typer(backbone_commands, name="backbone")
app.add_typer(lists_commands, name="lists")
for own in (plan, keywords, metrics, recommend, summary, check, report, compare, ablate):
    app.command()(own)
dataset_commands.command("check")(dataset_check)
app.command("settings")(settings_command)
app.command("tables")(tables_command)


def main() -> None:
    """Run the command line; an error that a user can fix is one message on stderr and exit code 1."""
    try:
        app()
    except MmsraError as error:
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from None


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mmsra_pipeline {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None:
    """MMSRARec as Dagster assets."""


@app.command()
def refresh(
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set; else all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is stale, and why.")] = False,
    nightly: Annotated[bool, typer.Option("--nightly", help="Leave trainings out, as the schedule does.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Train anew where settings changed, unasked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Materialize what is stale, through Dagster, and say why.

    Where Dagster's daemon runs (`mmsra ui`), its queue does the work and this follows.

    Exit codes: 0 all is up to date; 1 something failed; 2 the command was not understood; 3 all was computed, but a
    check found an error (one that only warns does not count).
    """
    from mmsra_pipeline.orchestration.following import daemon_runs, refresh_by_queue
    from mmsra_pipeline.orchestration.instance import open_instance
    from mmsra_pipeline.orchestration.job_names import COSTLY
    from mmsra_pipeline.orchestration.refresh import refresh as refresh_stale

    paths = find_paths()
    tell = None if as_json else functools.partial(say_plan, file=sys.stdout)
    with log_to_stderr(), contextlib.redirect_stdout(sys.stderr), open_instance(paths) as instance:
        approve = None if yes else ask
        if not dry_run and daemon_runs(instance):
            outcome = refresh_by_queue(
                instance, paths, dataset=dataset, trainings=not nightly, approve=approve, tell=tell
            )
        else:
            left_out = COSTLY if nightly else ()
            outcome = refresh_stale(
                instance, paths, dataset=dataset, dry_run=dry_run, leave_out=left_out, approve=approve, tell=tell
            )
    if as_json:
        print_json({"dataset": dataset, **outcome.as_json()})
    else:
        say_refreshed(outcome, dry_run)
    for failure in outcome.failures:
        typer.echo(f"Error: dataset {failure.partition}: {failure.text}", err=True)
    raise typer.Exit(exit_code(outcome))


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to serve on. Dagster asks for no password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
) -> None:
    """Serve the graph, tables, curves and runs to the browser, with the daemon of schedules and backfills."""
    from mmsra_pipeline.orchestration.servers import serving_command

    command = serving_command(find_paths(), host, port)
    os.execv(command[0], command)


@app.command()
def sql(query: Annotated[str, typer.Argument(help="Such as: \"from metrics where metric = 'hr@5'\"")]) -> None:
    """Ask the catalog of all tables in DuckDB's SQL."""
    from mmsra_pipeline.cli.reading import ask_sql

    names, rows = ask_sql(find_paths(), query)
    print_rows(f"{len(rows)} row(s)", names, rows)


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="Name of the table.")],
    dataset: Dataset,
    rows: Annotated[int, typer.Option("-n", min=1, help="Rows to print.")] = 10,
) -> None:
    """Print the first rows of a table."""
    from mmsra_pipeline.cli.reading import current_slice

    found = current_slice(find_paths(), table, dataset)
    content = found.head(rows)
    cells = list(content.itertuples(index=False, name=None))
    print_rows(f"{table} of {dataset}: {found.rows} rows", [str(name) for name in content.columns], cells)


@app.command()
def doctor(
    dataset: Annotated[str | None, typer.Option(help="Look at this data set: files, refused rows, gaps.")] = None,
) -> None:
    """Check versions, device, disk, memory, weights and data sets; say what is missing and how to fix it."""
    from mmsra_pipeline.cli.doctor import examine, examine_dataset

    findings = examine() if dataset is None else examine_dataset(dataset)
    for finding in findings:
        typer.echo(f"{finding.state:8}{finding.subject}: {finding.found}")
        if finding.fix:
            typer.echo(f"{'':8}  -> {finding.fix}")
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old versions, ended work, unused pictures and old runs, by the settings under `retention`."""
    from mmsra_pipeline.config.loading import load_config
    from mmsra_pipeline.definitions import defs
    from mmsra_pipeline.orchestration.instance import open_instance
    from mmsra_pipeline.orchestration.upkeep import collect

    paths, rules = find_paths(), load_config().retention
    with log_to_stderr(), contextlib.redirect_stdout(sys.stderr), open_instance(paths) as instance:
        removal = collect(instance, paths, defs().resolve_asset_graph(), rules, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **removal.as_json()})
        return
    total = f"{'would free' if dry_run else 'freed'} {removal.bytes / 1e6:.1f} MB"
    typer.echo("\n".join([*removal.lines(), total]))


@dataset_commands.command("add")
def dataset_add(
    name: Annotated[str, typer.Argument(help="Letters, digits, '_', '-', '.'.")],
    kind: Annotated[
        str, typer.Option("--format", help="tables, microlens, amazon-2014, amazon-2018, amazon-2023 or sample.")
    ],
    path: Annotated[Path | None, typer.Option(help="Folder of the source files.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="A setting of the format, as name=value.")] = None,
) -> None:
    """Describe a data set in a YAML file, and make its partition."""
    from mmsra_pipeline.config.datasets import DatasetSpec, write_dataset
    from mmsra_pipeline.config.named_options import named_options
    from mmsra_pipeline.orchestration.instance import open_instance
    from mmsra_pipeline.orchestration.refresh import add_partitions

    paths = find_paths()
    spec = DatasetSpec(name=name, format=kind, path=path, options=named_options(option or []))
    file = write_dataset(paths.datasets, spec, paths.remote)
    with open_instance(paths) as instance:
        add_partitions(instance, [name])
    typer.echo(f"{file} written. Next: mmsra refresh --dataset {name}")


@dataset_commands.command("vary")
def dataset_vary(
    name: Annotated[str, typer.Argument(help="The data set to start from.")],
    variant: Annotated[str, typer.Argument(help="Name of the new one.")],
    change: Annotated[list[str] | None, typer.Option("--set", help="A setting, as name=value.")] = None,
    preset: Annotated[str | None, typer.Option(help="Other preset than the data set has.")] = None,
) -> None:
    """Describe a data set on the same sources with other settings. It computes only what these change."""
    from mmsra_pipeline.cli.variants import vary

    file = vary(find_paths(), name, variant, change or [], preset)
    typer.echo(f"{file} written. Next: mmsra refresh --dataset {variant}")


@dataset_commands.command("list")
def dataset_list() -> None:
    """List the data sets and how far each is made."""
    from mmsra_pipeline.config.datasets import list_datasets, load_dataset
    from mmsra_pipeline.storage.tables import Store

    paths, rows = find_paths(), []
    for name in list_datasets(paths.datasets):
        try:
            spec = load_dataset(paths.datasets, name)
            rows.append([name, spec.format, str(spec.path or ""), str(len(Store.of(paths).tables(name)))])
        except MmsraError as error:
            rows.append([name, "broken", str(error), ""])
    print_rows(f"Data sets in {paths.remote.address(paths.datasets)}", ["name", "format", "path", "tables"], rows)


@dataset_commands.command("remove")
def dataset_remove(name: Annotated[str, typer.Argument(help="Name of the data set.")]) -> None:
    """Drop all that there is of a data set, its runs and curves too. Its source files stay."""
    from mmsra_pipeline.orchestration.dataset_removal import remove
    from mmsra_pipeline.orchestration.instance import open_instance

    paths = find_paths()
    with open_instance(paths) as instance:
        for line in remove(instance, paths, name):
            typer.echo(line)
