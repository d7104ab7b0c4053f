"""The data sets: one YAML file each, whose name becomes the name of a partition."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BeforeValidator, Field, NonNegativeInt, ValidationError

from mmsra_pipeline.config.loading import describe_validation, read_yaml
from mmsra_pipeline.config.tree import Section
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.files import clean_name
from mmsra_pipeline.storage.mirror import NOTHING, Remote

Format = Literal["sample", "tables", "microlens", "amazon-2014", "amazon-2018", "amazon-2023"]
FORMATS: tuple[str, ...] = get_args(Format)
Patterns = Annotated[tuple[str, ...], BeforeValidator(lambda names: (names,) if isinstance(names, str) else names)]
"""File names or glob patterns below the folder of a data set; one alone may be written without a list."""


@dataclass(frozen=True)
class DatasetSpec:
    """Where a data set lies and how it is read."""

    name: str
    format: Format
    path: Path | None = None
    """Folder of the source files, absolute. None for ``sample``, which is made by code."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the file says beyond format and path; ``tables_options`` and its like give it with defaults."""
    file: Path | None = None
    """The YAML file that says so."""


class SampleOptions(Section):
    """Options of ``format: sample``."""

    size: Literal["tiny", "small", "large"] = "small"
    seed: NonNegativeInt = 0


class ColumnNames(Section):
    """What the source calls our columns. A name that is not set is looked for as it is."""

    user_id: str | None = None
    item_id: str | None = None
    timestamp: str | None = None
    rating: str | None = None
    review: str | None = None
    title: str | None = None
    description: str | None = None
    category: str | None = None
    tags: str | None = None
    image: str | None = None


class TablesOptions(Section):
    """Options of ``format: tables``. Files are relative to ``path``; several are given as a list or a pattern."""

    interactions: Annotated[Patterns, Field(min_length=1)] = ("interactions.csv",)
    items: Annotated[Patterns, Field(min_length=1)] = ("items.csv",)
    images: str = "images"
    """Folder of the pictures; nothing outside it is read as a picture."""
    columns: ColumnNames = ColumnNames()
    item_columns: ColumnNames = ColumnNames()
    """As ``columns``, for the items file alone."""
    list_separator: str = Field(default="|", min_length=1)
    """What separates the entries of category and tags."""


class MicrolensOptions(Section):
    """Options of ``format: microlens``. File names are patterns below ``path``; each must fit one file."""

    pairs: str | None = None
    """Not set: ``*_pairs.csv`` (with times), else ``*_pairs.tsv``."""
    titles: str | None = None
    """Not set: ``*_titles.csv``, else ``*_title*.csv``."""
    covers: str = "covers"


class AmazonOptions(Section):
    """Options of the Amazon formats. File names are patterns below ``path``; each may fit several files."""

    reviews: Patterns = ()
    """Not set: what the generation usually calls them."""
    meta: Patterns = ()
    """Not set: ``meta_*``, if there is any."""
    images: str = "images"
    """Folder of pictures called ITEM_ID.jpg; where one is there, it goes before the URL of the metadata."""
    history: bool = False
    """Read the column ``history`` of benchmark files too."""


OPTIONS: dict[str, type[Section]] = {
    "sample": SampleOptions,
    "tables": TablesOptions,
    "microlens": MicrolensOptions,
    "amazon-2014": AmazonOptions,
    "amazon-2018": AmazonOptions,
    "amazon-2023": AmazonOptions,
}


def list_datasets(folder: Path) -> list[str]:
    """Names of the data sets described in ``folder``, in order."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_dataset(folder: Path, name: str) -> DatasetSpec:
    """Read the description of a data set.

    Raises:
        ConfigError: if there is none of that name, or a setting in it is wrong.
    """
    file = folder / f"{clean_name(name)}.yaml"
    if not file.is_file():
        raise ConfigError(_unknown(folder, name))
    settings = read_yaml(file)
    kind = _format(settings.pop("format", None), str(file))
    path = settings.pop("path", None)
    if not (path is None or isinstance(path, str)):
        raise ConfigError(f"{file}: path: {path!r} is not a text. Write the folder of the source files.")
    spec = DatasetSpec(
        name=name,
        format=kind,
        path=None if path is None else Path(os.path.normpath(folder.resolve() / Path(path).expanduser())),
        options=settings,
        file=file,
    )
    _check(spec, str(file))
    return spec


def write_dataset(folder: Path, spec: DatasetSpec, remote: Remote = NOTHING) -> Path:
    """Describe a new data set in ``folder`` and give the file.

    Raises:
        ConfigError: if the name is taken, the source folder is not there, or an option is wrong.
    """
    file = folder / f"{clean_name(spec.name)}.yaml"
    if file.exists():
        raise ConfigError(
            f"dataset {spec.name!r} exists already: {file}. Edit that file, choose another name, "
            f"or run `mmsra dataset remove {spec.name}` first."
        )
    _check(spec, f"dataset {spec.name!r}")
    settings: dict[str, Any] = {"format": spec.format}
    if spec.path is not None:
        source = spec.path.expanduser().resolve()
        if not source.is_dir():
            raise ConfigError(f"dataset {spec.name!r}: path: {source} is not a folder. Correct the path.")
        settings["path"] = _portable(source, folder.resolve())
    text = yaml.safe_dump(settings | spec.options, sort_keys=False, allow_unicode=True)
    remote.write(file, text.encode())
    return file


def remove_dataset(folder: Path, name: str, remote: Remote = NOTHING) -> Path:
    """Drop the description of a data set and give the file that was. Source files and made tables stay.

    Raises:
        ConfigError: if there is none of that name.
    """
    file = folder / f"{clean_name(name)}.yaml"
    if not file.is_file():
        raise ConfigError(_unknown(folder, name))
    remote.delete(file)
    file.unlink()
    return file


def sample_options(spec: DatasetSpec) -> SampleOptions:
    """Options of a ``sample`` data set, with defaults."""
    return SampleOptions.model_validate(spec.options)


def tables_options(spec: DatasetSpec) -> TablesOptions:
    """Options of a ``tables`` data set, with defaults."""
    return TablesOptions.model_validate(spec.options)


def microlens_options(spec: DatasetSpec) -> MicrolensOptions:
    """Options of a ``microlens`` data set, with defaults."""
    return MicrolensOptions.model_validate(spec.options)


def amazon_options(spec: DatasetSpec) -> AmazonOptions:
    """Options of a data set of an Amazon format, with defaults."""
    return AmazonOptions.model_validate(spec.options)


def _format(value: object, source: str) -> Format:
    if value not in FORMATS:
        close = difflib.get_close_matches(str(value), FORMATS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Write one of: {', '.join(FORMATS)}."
        raise ConfigError(f"{source}: format: {value!r} is not known. {hint}")
    return value  # type: ignore[return-value]  # just checked


def _check(spec: DatasetSpec, source: str) -> None:
    _format(spec.format, source)
    model = OPTIONS[spec.format]
    try:
        model.model_validate(spec.options)
    except ValidationError as error:
        raise ConfigError(describe_validation(error, source, model)) from None
    if spec.format == "sample" and spec.path is not None:
        raise ConfigError(f"{source}: path: the sample store is made by code and has none. Remove the line.")
    if spec.format != "sample" and spec.path is None:
        raise ConfigError(f"{source}: path: missing. Format {spec.format!r} needs the folder of the source files.")


def _portable(source: Path, folder: Path) -> str:
    """Relative to the YAML's folder where the data lie in the same project, so that the project can move."""
    return os.path.relpath(source, folder) if source.is_relative_to(folder.parent) else str(source)


def _unknown(folder: Path, name: str) -> str:
    known = list_datasets(folder)
    close = difflib.get_close_matches(name, known, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"dataset {name!r} is not described in {folder} (known: {', '.join(known) or 'none'}).{guess} "
        f"Add it with `mmsra dataset add {name} --format tables --path FOLDER`."
    )


def named_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Return options of a format from pairs ``name=value``; a dotted name is one inside another, a value is YAML.

    Raises:
        ConfigError: if a pair has no name or no value.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ConfigError(f"--option {pair}: not of the form name=value. For example: --option items=goods.csv.")
        inner = options
        *outer, last = name.split(".")
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = yaml.safe_load(value)
    return options
