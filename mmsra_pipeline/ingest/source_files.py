"""Which files of a data set's folder are read, and how far reading has come."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.lines import LineBlock, read_blocks
from mmsra_pipeline.telemetry.progress import Progress

MEGABYTE = 1_000_000


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
    without: str | None = None,
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
        paths = [path for path in _fitting(home, pattern, f"{where}: {option}") if path.is_file()]
        paths = [path for path in paths if not (without and path.name.startswith(without))]
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


def optional_folder(folder: Path) -> Path | None:
    """Return the folder if it is there."""
    return folder if folder.is_dir() else None


def tracked_blocks(path: Path) -> Iterator[LineBlock]:
    """Return the blocks of ``read_blocks`` and report progress, in bytes of the file as it lies on the disk."""
    progress = Progress(f"reading {path.name}", round(path.stat().st_size / MEGABYTE), "MB") if path.is_file() else None
    done = 0
    for block in read_blocks(path):
        yield block
        if progress is not None:
            progress.advance(max(0, block.offset // MEGABYTE - done))
            done = max(done, block.offset // MEGABYTE)


def _nothing_fits(home: Path, patterns: Sequence[str], option: str, where: str) -> MissingInputError:
    names = " or ".join(map(repr, patterns))
    return MissingInputError(
        f"{home}: no file fits {names}. Put it there, or name it in {where}: `{option}: FILE_NAME`."
    )
