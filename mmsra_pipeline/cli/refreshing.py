"""What `mmsra refresh` asks and says."""

import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Final

import typer

from mmsra_pipeline.telemetry.terminal import print_lines, print_rows

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.outcome import AssetOutcome, FailedCheck, Outcome, Planned
    from mmsra_pipeline.orchestration.renewals import Renewal

FAILED, CHECKS_FAILED = 1, 3
"""Exit codes. 2 is that of a command that was not understood."""
REASON_CHARS: Final = 400
STYLES: Final = {"failed": "red", "skipped": "dim", "ERROR": "red", "WARN": "yellow"}


def ask(renewals: "list[Renewal]") -> bool:
    """Ask whether trainings may be repeated; where nobody can answer, they may not."""
    if not sys.stdin.isatty():
        return False
    for renewal in renewals:
        typer.echo(f"settings changed  {renewal}", err=True)
    return typer.confirm("Train anew?", err=True)


def say_plan(plan: "Sequence[Planned]", file: IO[str] | None = None) -> None:
    """Print what is to be computed, why, and how many seconds each took last time; on stdout, or into ``file``."""
    rows = [[_name(entry, plan), _took(entry.seconds), "; ".join(entry.reasons)] for entry in plan]
    known = [entry.seconds for entry in plan if entry.seconds is not None]
    never = len(plan) - len(known)
    rows.append(["total", _took(sum(known)) if known else "-", f"{never} never computed" if never else ""])
    names = ["asset", "seconds last time", "reason"]
    print_rows(f"To compute{_of(plan)}", names, rows, numbers={1}, most=REASON_CHARS, file=file)


def say_refreshed(outcome: "Outcome", dry_run: bool) -> None:
    """Print what became of what was stale; the checks that failed last, to be seen."""
    if not outcome.stale and not outcome.failures:
        typer.echo("Nothing is stale: every asset is up to date.")
    if dry_run and outcome.plan:
        say_plan(outcome.plan)
    if outcome.assets:
        _say_assets(outcome)
    for check in outcome.failed_checks:
        _say_check(check)


def exit_code(outcome: "Outcome") -> int:
    """Return 1 where something failed, 3 where all was computed and a check found an error, else 0."""
    if outcome.failures:
        return FAILED
    return CHECKS_FAILED if outcome.checks_have_errors else 0


def _say_assets(outcome: "Outcome") -> None:
    entries = outcome.assets
    rows = [
        [_name(entry, entries), entry.outcome, _took(entry.seconds) if entry.seconds else "-",
         _memory(entry.peak_memory_gb), entry.reason]
        for entry in entries
    ]  # fmt: skip
    peaks = [entry.peak_memory_gb for entry in entries if entry.peak_memory_gb is not None]
    total = _took(sum(entry.seconds for entry in entries))
    rows.append(["total", "", total, _memory(max(peaks, default=None)), ""])
    names = ["asset", "outcome", "seconds", "peak memory", "reason"]
    styles = [STYLES.get(entry.outcome) for entry in entries]
    print_rows(f"Refreshed{_of(entries)}", names, rows, numbers={2, 3}, styles=styles, most=REASON_CHARS)


def _say_check(check: "FailedCheck") -> None:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in check.measured.items())
    lines = [f"check failed ({check.severity.lower()}): {check.check} of {check.asset}[{check.partition}]"]
    lines.append(f"  found     {check.found}")
    lines += [f"  how much  {numbers}"] if numbers else []
    lines.append(f"  look at   {check.where}")
    print_lines(lines, style=STYLES[check.severity])


def _of(entries: "Sequence[Planned] | Sequence[AssetOutcome]") -> str:
    """Name the data set, where it is one."""
    names = {entry.partition for entry in entries}
    return f" of {names.pop()}" if len(names) == 1 else ""


def _name(entry: "Planned | AssetOutcome", entries: "Sequence[Planned] | Sequence[AssetOutcome]") -> str:
    return entry.asset if _of(entries) else f"{entry.asset}[{entry.partition}]"


def _took(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f}"


def _memory(gb: float | None) -> str:
    return "-" if gb is None else f"{gb:.2f} GB"
