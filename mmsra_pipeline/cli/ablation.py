"""The command `mmsra ablate`: variants of a data set that have one part of the method less, and what that costs."""

import contextlib
import functools
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from mmsra_pipeline.cli.refreshing import FAILED, ask, exit_code, say_plan
from mmsra_pipeline.cli.results import AsJson, Dataset
from mmsra_pipeline.cli.variants import LEFT_OUT, Variant, make, variants_to_make
from mmsra_pipeline.config.datasets import config_of, load_dataset
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.telemetry.terminal import log_to_stderr, print_json, print_rows

if TYPE_CHECKING:
    from mmsra_pipeline.evaluation.ablation import Ablation
    from mmsra_pipeline.orchestration.outcome import Outcome
    from mmsra_pipeline.orchestration.variants import Expected


def ablate(
    dataset: Dataset,
    rows: Annotated[str | None, typer.Option(help="Only these rows, parted by commas; else all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what each row computes and takes over.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Train anew where settings changed, unasked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the rows of the paper's table 6 as variants of a data set, and compare each with the full model.

    A variant takes over what its settings leave as it is. What was begun is gone on with: call it again. At the end the
    data set's report is renewed, whose page on ablation shows the table.
    """
    from mmsra_pipeline.orchestration.instance import open_instance

    paths, stream = find_paths(), sys.stderr if as_json else sys.stdout
    with log_to_stderr(), contextlib.redirect_stdout(sys.stderr), open_instance(paths) as instance:
        refreshed = functools.partial(_refreshed, instance, paths, yes=yes, quiet=as_json)
        names = _names(rows)
        if not dry_run:
            # First: variants take over what it has, and its keywords say how long as many tokens of text are.
            _end_if_failed(refreshed(dataset, ()))
        variants, left_out = variants_to_make(paths, dataset, names)
        plans = _plans(paths, dataset, variants)
        _say_plans(dataset, variants, plans, left_out, stream)
        failed = [] if dry_run else make(paths, variants, refreshed)
        result = None if dry_run else compared(paths, dataset, variants)
        if result is not None and len(result.table):
            from mmsra_pipeline.orchestration.refresh import again

            failed += [failure.text for failure in again(instance, paths, dataset, "report").failures]
    if as_json:
        print_json(_as_json(dataset, variants, plans, left_out, result))
    elif result is not None:
        _say(dataset, variants, result)
    for text in failed:
        typer.echo(f"Error: {text}", err=True)
    raise typer.Exit(FAILED if failed else 0)


def compared(paths: Paths, dataset: str, variants: list[Variant]) -> "Ablation":
    """Return the table of the variants that were measured."""
    from mmsra_pipeline.cli.reading import stored, stored_or_none
    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.evaluation.ablation import ablation

    config = config_of(load_dataset(paths.datasets, dataset))
    found = {variant.spec.name: stored_or_none(paths, Tables.USER_METRICS, variant.spec.name) for variant in variants}
    measured = {name: table for name, table in found.items() if table is not None}
    full, settings = stored(paths, Tables.USER_METRICS, dataset), config.evaluation
    return ablation(full, measured, settings.cutoff, settings.bootstrap, config.seed)


def _names(rows: str | None) -> list[str]:
    from mmsra_pipeline.evaluation.ablation import ROWS

    if rows is None:
        return list(ROWS)
    wanted = [name.strip() for name in rows.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in ROWS]
    if unknown or not wanted:
        raise ConfigError(f"--rows {rows}: {(unknown or ['nothing'])[0]!r} is no row. Choose of: {', '.join(ROWS)}.")
    return list(dict.fromkeys(wanted))


def _refreshed(
    instance: Any, paths: Paths, dataset: str, left_out: tuple[str, ...], *, yes: bool, quiet: bool
) -> "Outcome":
    """Bring a data set up to date as `mmsra refresh` does; where the queue does it, nothing is left out."""
    from mmsra_pipeline.orchestration.following import daemon_runs, refresh_by_queue
    from mmsra_pipeline.orchestration.refresh import refresh

    approve, tell = (None if yes else ask), (None if quiet else functools.partial(say_plan, file=sys.stderr))
    if daemon_runs(instance):
        return refresh_by_queue(instance, paths, dataset=dataset, trainings=True, approve=approve, tell=tell)
    return refresh(instance, paths, dataset=dataset, leave_out=left_out, approve=approve, tell=tell)


def _end_if_failed(outcome: "Outcome") -> None:
    for failure in outcome.failures:
        typer.echo(f"Error: dataset {failure.partition}: {failure.text}", err=True)
    if outcome.failures:
        raise typer.Exit(exit_code(outcome))


def _plans(paths: Paths, dataset: str, variants: list[Variant]) -> "list[Expected]":
    from mmsra_pipeline.orchestration.loading import load_definitions
    from mmsra_pipeline.orchestration.variants import expected

    graph = load_definitions().resolve_asset_graph()
    config = config_of(load_dataset(paths.datasets, dataset))
    return [expected(graph, config, config_of(variant.spec), LEFT_OUT) for variant in variants]


def _say_plans(
    dataset: str, variants: list[Variant], plans: "list[Expected]", left_out: Mapping[str, str], file: IO[str]
) -> None:
    rows = [
        [variant.row, variant.what, ", ".join(plan.computed), ", ".join(plan.depending), str(len(plan.taken_over))]
        for variant, plan in zip(variants, plans, strict=True)
    ]
    names = ["row", "what", "computes", "and unless that comes out the same", "takes over"]
    print_rows(f"Variants of {dataset}", names, rows, most=400, file=file)
    for name, why in left_out.items():
        typer.echo(f"left out: {name}: {why}", file=file)


def _say(dataset: str, variants: list[Variant], result: "Ablation") -> None:
    what = {variant.spec.name: variant.what for variant in variants}
    rows = [
        [what[one["variant"]], one["protocol"], one["row"], one["metric"], str(one["users"]), f"{one['first']:.1f}",
         f"{one['second']:.1f}", f"{one['difference']:+.1f} [{one['low']:+.1f}, {one['high']:+.1f}]",
         f"{one['p_holm']:.3f}"]
        for one in result.table.to_dict("records")
    ]  # fmt: skip
    less = "less the full model"
    less = "less the full model"
    names = ["variant", "negatives", "row", "metric", "users", "full", "variant's", less, "p, corrected"]
    print_rows(f"{dataset}: what each part is worth, percent and points [95 % interval, paired by user]", names, rows)
    for name, why in result.left_out.items():
        typer.echo(f"not compared: {name}: {why}")


def _as_json(
    dataset: str,
    variants: list[Variant],
    plans: "list[Expected]",
    left_out: Mapping[str, str],
    result: "Ablation | None",
) -> dict[str, Any]:
    entries = [
        {"row": variant.row, "what": variant.what, "dataset": variant.spec.name, **plan._asdict()}
        for variant, plan in zip(variants, plans, strict=True)
    ]
    return {
        "dataset": dataset,
        "variants": entries,
        "left_out": dict(left_out),
        "table": None if result is None else result.table.round(4).to_dict("records"),
        "not_compared": {} if result is None else dict(result.left_out),
    }
