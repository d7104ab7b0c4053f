"""`mmsra dataset check`: what would be read of a folder, before anything is computed."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsra_pipeline.telemetry.terminal import log_to_stderr, print_rows

if TYPE_CHECKING:
    from mmsra_pipeline.config.datasets import DatasetSpec
    from mmsra_pipeline.ingest.trial_reading import Trial

PREVIEW_ROWS, PREVIEW_IDS, PREVIEW_REASONS = 5, 5, 8


def dataset_check(
    folder: Annotated[Path, typer.Argument(help="Folder of the source files.")],
    kind: Annotated[
        str | None, typer.Option("--format", help="As of `dataset add`. Not given: detected from the files.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="A setting of the format, as name=value.")] = None,
    write: Annotated[str | None, typer.Option(help="Describe the data set under this name, if it can be read.")] = None,
) -> None:
    """Look at a folder and print what would be read: first rows, times as dates, ids without a partner, pictures."""
    from mmsra_pipeline.config.datasets import DatasetSpec
    from mmsra_pipeline.config.named_options import named_options
    from mmsra_pipeline.errors import MissingInputError
    from mmsra_pipeline.ingest.folder_guess import guess
    from mmsra_pipeline.ingest.trial_reading import read_first_rows

    if not folder.is_dir():
        raise MissingInputError(f"{folder} is not a folder. Name the one that holds the source files.")
    options = named_options(option or [])
    if kind is None:
        found = guess(folder)
        kind, options = found.format, found.options | options
        for passed in found.passed_over:
            typer.echo(f"passed over  {passed}")
    spec = DatasetSpec(write or folder.resolve().name, kind, folder.resolve(), options)
    with log_to_stderr(), tempfile.TemporaryDirectory() as workdir:
        trial = read_first_rows(_checked(spec), Path(workdir))
    say_trial(trial)
    typer.echo(f"\n{_yaml(spec)}")
    if write is None:
        typer.echo(f"Write it down with: mmsra dataset check {folder} --write NAME")
        return
    _write(spec)


def say_trial(trial: "Trial") -> None:
    """Print what the first rows are."""
    count = "" if trial.whole else f" of the first {trial.reviews.num_rows}"
    typer.echo("read         " + ", ".join(path.name for path in trial.files[:10]))
    for note in trial.notes:
        typer.echo(f"detected     {note}")
    reviews = trial.reviews.slice(0, PREVIEW_ROWS).to_pylist()
    rows = [[one["user_id"], one["item_id"], _time(one["timestamp"]), _cell(one["rating"]), _cell(one["review"])]
            for one in reviews]  # fmt: skip
    print_rows(
        "First reviews", ["user_id (text)", "item_id (text)", "timestamp (UTC)", "rating (number)", "review"], rows
    )
    items = trial.items.slice(0, PREVIEW_ROWS).to_pylist()
    names = ["item_id", "title", "description", "category", "tags", "image"]
    print_rows("First items", names, [[_cell(one[name]) for name in names] for one in items])
    times = [time for time in trial.reviews.column("timestamp").to_pylist() if time is not None]
    span = f"{_time(min(times))} to {_time(max(times))}" if times else "none; the order of rows is the order of time"
    typer.echo(f"times        {span}")
    typer.echo(f"kept{count:9}{trial.reviews.num_rows} reviews, {trial.items.num_rows} items")
    _say_refused(trial)
    typer.echo(f"no metadata  {_ids(trial.only_reviewed)} of the items with reviews")
    typer.echo(f"no review    {_ids(trial.only_described)} of the items with metadata")
    typer.echo(f"pictures     {trial.pictured} item(s) have a file" + (f"; {trial.folder}" if trial.folder else ""))


def _say_refused(trial: "Trial") -> None:
    from collections import Counter

    rejects = trial.rejects.to_pylist()
    typer.echo(f"refused      {len(rejects)} row(s)")
    firsts = {(one["file"], one["reason"]): one for one in reversed(rejects)}
    for (file, reason), rows in Counter((one["file"], one["reason"]) for one in rejects).most_common(PREVIEW_REASONS):
        first = firsts[file, reason]
        typer.echo(f"             {rows} x {file}, line {first['line']}: {reason}: {first['text'][:80]!r}")


def _ids(ids: list[str]) -> str:
    first = ", ".join(map(ascii, ids[:PREVIEW_IDS]))
    return f"{len(ids)} ({first}{', …' if len(ids) > PREVIEW_IDS else ''})" if ids else "none"


def _time(milliseconds: int | None) -> str:
    return (
        "" if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(" ", "seconds")[:19]
    )


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _checked(spec: "DatasetSpec") -> "DatasetSpec":
    from mmsra_pipeline.config.datasets import check_spec

    check_spec(spec, f"dataset {spec.name!r}")
    return spec


def _yaml(spec: "DatasetSpec") -> str:
    import yaml

    return yaml.safe_dump(
        {"format": spec.format, "path": str(spec.path), **spec.options}, sort_keys=False, allow_unicode=True
    )


def _write(spec: "DatasetSpec") -> None:
    from mmsra_pipeline.config.datasets import write_dataset
    from mmsra_pipeline.orchestration.instance import open_instance
    from mmsra_pipeline.orchestration.refresh import add_partitions
    from mmsra_pipeline.storage.paths import find_paths

    paths = find_paths()
    file = write_dataset(paths.datasets, spec, paths.remote)
    with open_instance(paths) as instance:
        add_partitions(instance, [spec.name])
    typer.echo(f"{file} written. Next: mmsra refresh --dataset {spec.name}")
