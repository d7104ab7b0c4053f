"""Which files of a data set's folder are read, and how far reading has come."""

import difflib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.encodings import UTF8
from mmsra_pipeline.ingest.lines import FROM_BEGIN, LineBlock, Start, read_blocks
from mmsra_pipeline.telemetry.progress import Progress

MEGABYTE = 1_000_000
TABLE_ENDINGS = {".parquet", ".pq", ".csv", ".tsv"}
USUAL_PICTURES = re.compile(r"(?:\w+[_-])?(?:images?|imgs?|pictures?|pics|photos?|covers?|thumbnails?)", re.IGNORECASE)
logger = logging.getLogger(__name__)
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def source_folder(spec: DatasetSpec) -> Path:
    """Return the folder of the source files.

    Raises:
        MissingInputError: if it is not there.
    """
    if spec.path is None or not spec.path.is_dir():
        raise MissingInputError(
            f"dataset {spec.name!r}: its folder {spec.path} is not there. "
            f"Put the files there, or correct `path:` in {spec.file or 'its YAML'}."
        )
    return spec.path


def fitting(
    home: Path,
    patterns: Sequence[str],
    option: str,
    spec: DatasetSpec,
    *,
    without: str | tuple[str, ...] = (),
    every: bool = True,
    needed: bool = True,
) -> list[Path]:
    """Return the files below ``home`` that fit the patterns, in order of pattern and name, each once.

    Args:
        home: nothing outside it is given.
        patterns: names or glob patterns.
        option: the setting of the data set's YAML that names them, for the error.
        spec: the data set, for the error.
        without: files whose names begin so are left out.
        every: take the files of every pattern, each of which must fit; else of the first that fits any.
        needed: whether it is an error that nothing fits.

    Raises:
        MissingInputError: naming the pattern that fits no file.
        DataError: if a pattern leads out of ``home``, or is none.
    """
    where = str(spec.file or f"the YAML of {spec.name!r}")
    found: dict[Path, None] = {}
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise DataError(f"{where}: {option}: {pattern!r} leads out of {home}. Name files below it, or change path.")
        paths = [
            path
            for fit in _fitting(home, pattern, f"{where}: {option}")
            for path in ([fit] if fit.is_file() else _parts(fit, named=fit == home / pattern))
        ]
        paths = [path for path in paths if not path.name.startswith(without)]
        if every and not paths and needed:
            raise _nothing_fits(home, [pattern], option, where)
        found |= dict.fromkeys(paths)
        if found and not every:
            break
    if not found and needed:
        raise _nothing_fits(home, patterns, option, where)
    return list(found)


def _fitting(home: Path, pattern: str, where: str) -> list[Path]:
    try:
        if pattern and (home / pattern).is_file():
            return [home / pattern]  # its name may hold what is special in patterns
        return sorted(home.glob(pattern))
    except (ValueError, IndexError, NotImplementedError, OSError) as error:
        raise DataError(f"{where}: {pattern!r} is no name of files: {error}. Name a file, or write '*'.") from None


def _parts(folder: Path, *, named: bool) -> list[Path]:
    """Return the files of a table that is a folder, as Spark writes it; none of a folder that is only met."""
    if not folder.is_dir() or not (named or folder.suffix.lower() in TABLE_ENDINGS):
        return []
    parts = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in parts
        if not path.relative_to(folder).as_posix().startswith(("_", ".")) and not path.name.startswith(("_", "."))
    )


def folder_values(label: str) -> dict[str, str | None]:
    """Return what the names of a file's folders say, as Spark and Hive write it.

    >>> folder_values("i.parquet/day=2024-01-31/user=a%20b/part-0.parquet")
    {'day': '2024-01-31', 'user': 'a b'}
    """
    pairs = (part.partition("=") for part in label.split("/")[:-1])
    return {key: None if value == NO_VALUE else unquote(value) for key, equals, value in pairs if key and equals}


def picture_folder(home: Path, name: str, *, stated: bool, spec: DatasetSpec) -> Path | None:
    """Return the folder of the pictures; None if it is not there and nobody stated it.

    Of one that nobody stated another usual name counts, where just one such folder is there.

    Raises:
        MissingInputError: if it was stated, with the folders that are there.
    """
    folder = home / name
    if folder.is_dir():
        return folder
    there = sorted(path.name for path in home.iterdir() if path.is_dir())
    if not stated:
        usual = [other for other in there if USUAL_PICTURES.fullmatch(other)]
        if len(usual) != 1:
            return None
        logger.warning("%s: the folder %s is read as that of the pictures", home, usual[0])
        return home / usual[0]
    close = difflib.get_close_matches(name, there, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise MissingInputError(
        f"{home}: there is no folder {name!r}, which {spec.file or 'the YAML'} states as that of the pictures. "
        f"Folders there: {', '.join(there) or 'none'}.{guess} Correct it, or take the line out."
    )


def optional_folder(folder: Path) -> Path | None:
    """Return the folder if it is there."""
    return folder if folder.is_dir() else None


def tracked_blocks(
    path: Path, *, encoding: str = UTF8, cr: bool = False, start: Start = FROM_BEGIN
) -> Iterator[LineBlock]:
    """Return the blocks of ``read_blocks`` and report progress, in bytes of the file as it lies on the disk."""
    progress = Progress(f"reading {path.name}", round(path.stat().st_size / MEGABYTE), "MB") if path.is_file() else None
    done = 0
    for block in read_blocks(path, encoding=encoding, cr=cr, start=start):
        yield block
        if progress is not None:
            progress.advance(max(0, block.offset // MEGABYTE - done))
            done = max(done, block.offset // MEGABYTE)


def _nothing_fits(home: Path, patterns: Sequence[str], option: str, where: str) -> MissingInputError:
    names = " or ".join(map(repr, patterns))
    return MissingInputError(
        f"{home}: no file fits {names}. Put it there, or name it in {where}: `{option}: FILE_NAME`."
    )
