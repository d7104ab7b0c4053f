"""`mmsra check`: the checks of what is current, run again."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from mmsra_pipeline.telemetry.terminal import log_to_stderr, print_json, print_rows

FAILED: Final = 3
"""Exit code where a check fails; one that only warns is none."""


def check(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set.")],
    asset: Annotated[str | None, typer.Option("--asset", "-a", help="Only the checks of this asset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Check the current rows and artifacts again, and change nothing; exit code 3 if a check fails."""
    from mmsra_pipeline.config.datasets import load_dataset
    from mmsra_pipeline.orchestration.checks.current import check_current
    from mmsra_pipeline.orchestration.instance import open_instance
    from mmsra_pipeline.storage.paths import find_paths

    paths = find_paths()
    load_dataset(paths.datasets, dataset)
    with log_to_stderr(), open_instance(paths) as instance:
        found = check_current(instance, paths, dataset, asset)
    if as_json:
        print_json({"dataset": dataset, "checks": [asdict(one) for one in found]})
    else:
        rows = [[one.asset, one.check, one.state, one.found] for one in found]
        print_rows(f"Checks of {dataset}", ["asset", "check", "state", "found"], rows)
    if any(one.state == "fails" for one in found):
        raise typer.Exit(FAILED)
