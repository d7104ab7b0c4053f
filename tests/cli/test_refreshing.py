"""What `mmsra refresh` prints and its exit codes, of made-up outcomes."""

import io

import pytest

from mmsra_pipeline.cli.refreshing import exit_code, say_plan, say_refreshed
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.outcome import AssetOutcome, FailedCheck, Outcome, Planned
from mmsra_pipeline.orchestration.staleness import Stale
from mmsra_pipeline.telemetry import terminal

PLAN = [
    Planned("raw_reviews", "shop", ("source_files has changed",), 1234.56),
    Planned("metrics", "shop", ("was never materialized",), None),
]
STALE = [Stale(entry.asset, entry.partition, entry.reasons, certain=True) for entry in PLAN]
ASSETS = [
    AssetOutcome("raw_reviews", "shop", "computed", 12.34, 2.5, "source_files has changed"),
    AssetOutcome("metrics", "shop", "failed", 1.0, None, "was never materialized; " + "x" * 99),
    AssetOutcome("rankings", "shop", "skipped", 0.0, None, "waits for what failed"),
]


def failed(severity):
    return FailedCheck("raw_reviews", "shop", "few_rejects", severity, "3 of 10 refused", {"share": 0.3}, "1234567890")


def columns(line):
    return [part.strip() for part in line.strip()[1:-1].split("│")]


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys, outcome, dry_run=False):
    say_refreshed(outcome, dry_run)
    return capsys.readouterr().out


def test_the_plan_is_one_table_with_reasons_seconds_and_their_total():
    file = io.StringIO()
    say_plan(PLAN, file)
    lines = [columns(line) for line in file.getvalue().splitlines()]
    assert "To compute of shop" in file.getvalue()
    assert ["raw_reviews", "1,234.6", "source_files has changed"] in lines
    assert ["metrics", "-", "was never materialized"] in lines
    assert ["total", "1,234.6", "1 never computed"] in lines


def test_a_dry_run_prints_the_plan_and_a_refresh_one_table_of_what_became_of_it(capsys):
    outcome = Outcome(stale=STALE, plan=PLAN)
    assert "was never materialized" in printed(capsys, outcome, dry_run=True)
    outcome.assets = ASSETS
    out = printed(capsys, outcome)
    lines = [columns(line) for line in out.splitlines()]
    assert ["raw_reviews", "computed", "12.3", "2.50 GB", "source_files has changed"] in lines
    assert ["rankings", "skipped", "-", "-", "waits for what failed"] in lines
    assert ["total", "", "13.3", "2.50 GB", ""] in lines
    assert "To compute" not in out
    assert out.count("x") == 99  # a reason is never cut where it says why something failed
    assert printed(capsys, Outcome()) == "Nothing is stale: every asset is up to date.\n"


def test_data_sets_are_named_where_there_are_several():
    file = io.StringIO()
    say_plan([*PLAN, Planned("metrics", "tea", ("was never materialized",), None)], file)
    assert "metrics[tea]" in file.getvalue()


def test_failed_checks_stand_last_with_what_was_found_how_much_and_where_to_look(capsys):
    out = printed(capsys, Outcome(stale=STALE, assets=ASSETS, failed_checks=[failed("ERROR")]))
    assert out.splitlines()[-4:] == [
        "check failed (error): few_rejects of raw_reviews[shop]",
        "  found     3 of 10 refused",
        "  how much  share 0.3",
        "  look at   `mmsra show raw_reviews -d shop`, and run 12345678 in `mmsra ui`",
    ]
    assert "\x1b" not in out


def test_a_terminal_shows_colours_unless_they_are_refused(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    def plan_as_printed():
        screen = Screen()
        monkeypatch.setattr("sys.stdout", screen)
        say_refreshed(Outcome(stale=STALE, failed_checks=[failed("ERROR"), failed("WARN")]), dry_run=False)
        monkeypatch.undo()
        return screen.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = plan_as_printed()
    assert "\x1b[31mcheck failed (error)" in coloured
    assert "\x1b[33mcheck failed (warn)" in coloured
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    refused = plan_as_printed()
    assert "check failed (error)" in refused
    assert "\x1b[3" not in refused


def test_exit_codes_tell_failures_from_checks_that_found_an_error():
    assert exit_code(Outcome()) == 0
    assert exit_code(Outcome(failed_checks=[failed("WARN")])) == 0
    assert exit_code(Outcome(failed_checks=[failed("ERROR")])) == 3
    assert exit_code(Outcome(failures=[Failure("shop", "no")], failed_checks=[failed("ERROR")])) == 1


def test_a_pipe_gets_lines_wider_than_a_small_terminal():
    file = io.StringIO()
    say_plan([Planned("raw_reviews", "shop", ("word " * 40,), None)], file)
    assert 80 < max(map(len, file.getvalue().splitlines())) <= terminal.PIPED_WIDTH
