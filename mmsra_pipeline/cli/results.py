"""The commands that print what came out: `mmsra metrics`, `mmsra recommend`, `mmsra summary`."""

from typing import Annotated, Any

import typer

from mmsra_pipeline.errors import ConfigError, MissingInputError
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.telemetry.terminal import print_json, print_rows

USERS = 3
Dataset = Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def metrics(dataset: Dataset, as_json: AsJson = False) -> None:
    """Print metrics, differences, results by training count and recall, in percent, with 95 % intervals."""
    from mmsra_pipeline.cli.reading import stored, stored_or_none
    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.evaluation.report import format_all, metrics_json

    paths = find_paths()
    table = stored(paths, Tables.METRICS, dataset)
    beside = (Tables.DIFFERENCES, Tables.METRICS_BY_COUNT, Tables.FIRST_STAGE_RECALL)
    differences, by_count, recall = (stored_or_none(paths, name, dataset) for name in beside)
    if as_json:
        print_json(metrics_json(dataset, table, differences, by_count, recall))
    else:
        typer.echo(format_all(dataset, table, differences, by_count, recall))


def recommend(
    dataset: Dataset,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Id of the user.")] = None,
    number: Annotated[int | None, typer.Option("-n", min=1, help="Items at most; else all that are stored.")] = None,
    first: Annotated[int, typer.Option(min=1, help="Without --user: this many users.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Print a user's stored recommendations, best first."""
    from mmsra_pipeline.cli.reading import first_users, recommended

    paths = find_paths()
    if as_json:
        if user is None:
            raise ConfigError("--json prints one user's recommendations. Add --user.")
        print_json({"user": user, "items": recommended(paths, dataset, user)[:number]})
        return
    names = ["rank", "item", "title", "p", "shared keywords"]
    for each in [user] if user is not None else first_users(paths, dataset, first):
        rows = [
            [entry["rank"], entry["item"], entry["title"], _share(entry["p"]), ", ".join(entry["shared_keywords"])]
            for entry in recommended(paths, dataset, each)[:number]
        ]
        print_rows(f"Recommendations for {each}", names, rows)


def _share(p: float | None) -> str:
    """Return p as text; a list in the first stage's order has none."""
    return "-" if p is None else f"{p:.3f}"


def summary(dataset: Dataset, as_json: AsJson = False) -> None:
    """Print what came out: metrics, what is served against the best other row, three users' lists, and what it cost."""
    from mmsra_pipeline.cli.reading import stored, stored_or_none
    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.evaluation.report import format_metrics, metrics_json
    from mmsra_pipeline.evaluation.verdict import said, verdicts

    paths = find_paths()
    measured = stored(paths, Tables.METRICS, dataset)
    found = verdicts(measured, stored_or_none(paths, Tables.DIFFERENCES, dataset))
    cost, lists = computing_cost(paths, dataset), _first_lists(paths, dataset)
    after, page = next_steps(dataset), _report(paths, dataset)
    if as_json:
        printed = {
            "dataset": dataset,
            "rows": metrics_json(dataset, measured)["rows"],
            "best_without_model": [verdict._asdict() for verdict in found],
            "users": lists,
            "cost": cost,
            "report": page,
            "next": after,
        }
        print_json(printed)
        return
    typer.echo(f"{format_metrics(measured)}\n\n{said(found)}\n")
    for user in lists:
        titles = [[entry["rank"], entry["title"] or entry["item"], f"{entry['p']:.3f}",
                   ", ".join(entry["shared_keywords"])] for entry in user["items"]]  # fmt: skip
        print_rows(f"Recommendations for {user['user']}", ["rank", "title", "p", "shared keywords"], titles)
    typer.echo(f"\n{_said_of(cost)}")
    if page:
        typer.echo(f"\nThe report, to open in a browser: {page}")
    typer.echo("\nNext:")
    width = max(map(len, after))
    for command, what in after.items():
        typer.echo(f"  {command:<{width}}  {what}")


def computing_cost(paths: Paths, dataset: str) -> dict[str, Any]:
    """Return what computing the assets took when a refresh last did: minutes, peak memory, and where that was.

    Null where no refresh computed anything, or did not note it.
    """
    from mmsra_pipeline.cli.reading import stored_or_none
    from mmsra_pipeline.columns import Tables

    report = stored_or_none(paths, Tables.REFRESH_REPORT, dataset)
    if report is None or "peak_memory_gb" not in report.columns:
        return dict.fromkeys(("assets", "minutes", "peak_memory_gb", "peak_asset"))
    last = report[report["outcome"].isin(["changed", "unchanged"])].drop_duplicates("asset")  # the newest come first
    peaks = last.dropna(subset="peak_memory_gb")
    most = None if peaks.empty else peaks.loc[peaks["peak_memory_gb"].idxmax()]
    return {
        "assets": len(last),
        "minutes": round(float(last["seconds"].sum()) / 60, 2) if len(last) else None,
        "peak_memory_gb": None if most is None else round(float(most["peak_memory_gb"]), 3),
        "peak_asset": None if most is None else str(most["asset"]),
    }


def next_steps(dataset: str) -> dict[str, str]:
    """Return commands to go on with, and what each shows."""
    return {
        f".venv/bin/mmsra report -d {dataset} --open": "pages: results, cases with pictures, recommendations",
        "make ui": "the graph, tables, curves and runs in the browser",
        f".venv/bin/mmsra metrics -d {dataset}": "all differences, rare items, the first stage",
        f".venv/bin/mmsra keywords -d {dataset} --worst 10": "what the keywords are worth, and which are not",
        f".venv/bin/mmsra show item_keywords -d {dataset}": "a table; `mmsra tables` names the others",
        ".venv/bin/mmsra dataset add NAME --format tables --path FOLDER": "your own data",
    }


def _report(paths: Paths, dataset: str) -> str | None:
    from mmsra_pipeline.cli.report import report_page

    try:
        return report_page(paths, dataset)
    except MissingInputError:
        return None


def _first_lists(paths: Paths, dataset: str) -> list[dict[str, Any]]:
    from mmsra_pipeline.cli.reading import first_users, recommended

    users = first_users(paths, dataset, USERS)
    return [{"user": user, "items": recommended(paths, dataset, user)} for user in users]


def _said_of(cost: dict[str, Any]) -> str:
    if not cost["assets"]:
        return "What computing it took is not known: no refresh has noted it."
    memory = "" if cost["peak_memory_gb"] is None else (
        f"; the most memory was {cost['peak_memory_gb']:.1f} GB, in {cost['peak_asset']}"
    )  # fmt: skip
    return f"Computing its {cost['assets']} assets took {cost['minutes']:.1f} minutes{memory}."
