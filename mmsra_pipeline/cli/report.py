"""The commands that show what was measured to people: `mmsra report` and `mmsra compare`."""

from pathlib import Path
from typing import Annotated

import typer

from mmsra_pipeline.errors import ConfigError, DataError
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.telemetry.terminal import print_json, print_rows

Dataset = Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set.")]


def report(
    dataset: Dataset,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Id of a user: the page that shows them.")] = None,
    opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Print where the report lies: pages of what was measured, cases with pictures, and recommendations."""
    page = report_page(find_paths(), dataset, user)
    typer.echo(page)
    if opened:
        import webbrowser

        if not webbrowser.open(page):
            typer.echo("No browser was found here. Copy the folder to a machine that has one.", err=True)


def report_page(paths: Paths, dataset: str, user: str | None = None) -> str:
    """Return the URL of the first page, or of the page that shows a user.

    Raises:
        MissingInputError: if the report was not made yet.
        DataError: if it does not show the user.
    """
    from mmsra_pipeline.cli.reading import stored
    from mmsra_pipeline.columns import USER, Tables
    from mmsra_pipeline.report.cases import CASE, KIND, SERVED
    from mmsra_pipeline.report.pages import FIRST
    from mmsra_pipeline.storage.artifacts import Artifacts

    cases = stored(paths, Tables.REPORT, dataset)
    folder: Path = Artifacts.of(paths).current(Tables.REPORT, dataset)
    if user is None:
        return (folder / FIRST).as_uri()
    own = cases[cases[USER] == user]
    if own.empty:
        example = f", for example {cases[USER].iloc[0]!r}" if len(cases) else ""
        raise DataError(
            f"user {user!r} is not among the {cases[USER].nunique()} users of the report of {dataset!r}{example}. "
            "Check the id; if it is right, raise `report.cases`, or `evaluation.users` if fewer users were measured, "
            f"and run `mmsra refresh --dataset {dataset}`."
        )
    tested = own[own[KIND] != SERVED]
    case = tested.iloc[0] if len(tested) else own.iloc[0]
    page = "cases.html" if len(tested) else "shop.html"
    return f"{(folder / page).as_uri()}#{case[CASE]}"


def compare(
    first: Annotated[str, typer.Argument(help="A data set.")],
    second: Annotated[str, typer.Argument(help="Another, such as a variant of it.")],
    metric: Annotated[list[str] | None, typer.Option(help="A metric such as ndcg@10; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Compare two data sets user by user: the second less the first, in points, with 95 % intervals."""
    from mmsra_pipeline.cli.reading import stored
    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.config.loading import load_config
    from mmsra_pipeline.evaluation.compare import compare as compared

    paths, config = find_paths(), load_config()
    tables = [stored(paths, Tables.USER_METRICS, name) for name in (first, second)]
    known = [name for name in tables[0].columns if "@" in name or name == "auc_user"]
    metrics = metric or [f"hr@{config.evaluation.cutoff}", f"ndcg@{config.evaluation.cutoff}"]
    unknown = [name for name in metrics if name not in known]
    if unknown:
        raise ConfigError(f"metric {unknown[0]!r} was not measured by user. Choose of: {', '.join(known)}.")
    table = compared(tables[0], tables[1], metrics, config.evaluation.bootstrap, config.seed)
    if as_json:
        print_json({"first": first, "second": second, "rows": table.round(4).to_dict("records")})
        return
    rows = [
        [one["protocol"], one["row"], one["metric"], str(one["users"]), f"{one['first']:.1f}", f"{one['second']:.1f}",
         f"{one['difference']:+.1f} [{one['low']:+.1f}, {one['high']:+.1f}]", f"{one['p_holm']:.3f}"]
        for one in table.to_dict("records")
    ]  # fmt: skip
    names = ["negatives", "row", "metric", "users", first, second, "difference", "p, corrected"]
    print_rows(f"{second} less {first}, percent and points [95 % interval, paired by user]", names, rows)
