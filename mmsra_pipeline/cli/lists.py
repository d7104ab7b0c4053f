"""`mmsra lists`: candidate lists written to a file, and lists of others read from one."""

from pathlib import Path
from typing import Annotated

import typer

from mmsra_pipeline.cli.results import Dataset
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.paths import find_paths

lists_commands = typer.Typer(help="Candidate lists: to a file, from a file.", no_args_is_help=True)


@lists_commands.command("export")
def export_lists(
    dataset: Dataset, file: Annotated[Path, typer.Argument(help="Where to: a name that ends in .csv or .parquet.")]
) -> None:
    """Write the lists that rankings were measured on: protocol, user_id, position, item_id, is_target."""
    from mmsra_pipeline.cli.reading import stored
    from mmsra_pipeline.columns import ITEM, POSITION, USER, Tables
    from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
    from mmsra_pipeline.storage.files import temporary

    if file.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{file} ends neither in .csv nor in .parquet. Name the file so that it says what it is.")
    if not file.parent.is_dir():
        raise ConfigError(f"there is no folder {file.parent}. Make it, or name another place.")
    lists = stored(find_paths(), Tables.CANDIDATES, dataset)[[PROTOCOL, USER, POSITION, ITEM, IS_TARGET]]
    part = temporary(file.parent)
    if file.suffix == ".csv":
        lists.to_csv(part, index=False)
    else:
        lists.to_parquet(part, index=False)
    part.replace(file)
    typer.echo(f"{len(lists)} candidates in {lists.groupby([PROTOCOL, USER, POSITION]).ngroups} lists: {file}")


@lists_commands.command("import")
def import_lists(
    dataset: Dataset,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: user_id, item_id, perhaps position and is_target.")],
    name: Annotated[str, typer.Option("--name", help="What the protocol is called in metrics.")] = "given",
    protocol: Annotated[str | None, typer.Option(help="Which lists, of a file that has several protocols.")] = None,
) -> None:
    """Check lists of elsewhere, say of another paper, against what came next, and keep them to be ranked."""
    from mmsra_pipeline.cli.reading import stored
    from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TARGET, TEST, USER, Tables
    from mmsra_pipeline.config.evaluation import wrong_name
    from mmsra_pipeline.evaluation.given_lists import check_lists, keep_lists, read_lists
    from mmsra_pipeline.storage.artifacts import Artifacts

    if (wrong := wrong_name(name)) is not None:
        raise ConfigError(wrong)
    paths = find_paths()
    rows = read_lists(file, protocol)
    sequences = stored(paths, Tables.SEQUENCES, dataset)
    catalogue = set(stored(paths, Tables.INTERACTIONS, dataset)[ITEM].astype("str"))
    tests = sequences.loc[sequences[SPLIT] == TEST, [USER, POSITION, TARGET]]
    lists, refused = check_lists(rows, tests, catalogue, file.name)
    for one in refused:
        typer.echo(f"{one.lists} lists refused: {one.why} ({one.example})", err=True)
    kept = keep_lists(Artifacts.of(paths), dataset, lists)
    typer.echo(
        f"{lists.groupby([USER, POSITION]).ngroups} lists of {len(lists)} candidates are kept. To rank them, put this "
        f"into the file of the data set and refresh (`evaluation.users` bounds whose lists are scored):\n"
        f"settings:\n  evaluation:\n    lists:\n      {name}: {kept}"
    )
