"""What `mmsra refresh` asks and says."""

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.refresh import Outcome
    from mmsra_pipeline.orchestration.renewals import Renewal


def ask(renewals: "list[Renewal]") -> bool:
    """Ask whether trainings may be repeated; where nobody can answer, they may not."""
    if not sys.stdin.isatty():
        return False
    for renewal in renewals:
        typer.echo(f"settings changed  {renewal}", err=True)
    return typer.confirm("Train anew?", err=True)


def say_refreshed(outcome: "Outcome", dry_run: bool) -> None:
    """Print what was stale and what was materialized."""
    if not outcome.stale and not outcome.failures:
        typer.echo("Nothing is stale: every asset is up to date.")
    for entry in outcome.stale:
        typer.echo(f"stale         {entry}: {'; '.join(entry.reasons)}")
    for done in outcome.materialized:
        typer.echo(f"materialized  {done}")
    made = {(done.asset, done.partition) for done in outcome.materialized}
    unchanged = sum((entry.asset, entry.partition) not in made for entry in outcome.stale)
    if unchanged and not dry_run and not outcome.failures:
        typer.echo(f"{unchanged} asset(s) kept: nothing they depend on came out changed.")
