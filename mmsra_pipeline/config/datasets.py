"""The data sets: one YAML file each, whose name becomes the name of a partition."""

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.config.loading import describe_validation, read_yaml
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.files import clean_name
from mmsra_pipeline.storage.mirror import NOTHING, Remote

ENDINGS: Final = (".yaml", ".yml")
PLAIN_VALUE: Final = re.compile(r"\[.*\]|\{.*\}|-?(?:0|[1-9]\d*)(?:\.\d+)?|true|false|null", re.DOTALL)


@dataclass(frozen=True)
class DatasetSpec:
    """Where a data set lies and how it is read."""

    name: str
    format: str
    """One of ``formats.source_formats``."""
    path: Path | None = None
    """Folder of the source files, absolute. None for what is made by code."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the file says beyond format and path; as the format's options read it."""
    file: Path | None = None
    """The YAML file that says so."""


def list_datasets(folder: Path) -> list[str]:
    """Names of the data sets described in ``folder``, in order."""
    return sorted({path.stem for ending in ENDINGS for path in folder.glob(f"*{ending}")})


def dataset_file(folder: Path, name: str) -> Path:
    """Return the file that describes a data set: NAME.yaml, or NAME.yml if only that is there.

    Raises:
        ConfigError: if both are there.
    """
    usual, other = (folder / f"{clean_name(name)}{ending}" for ending in ENDINGS)
    if usual.is_file() and other.is_file():
        raise ConfigError(
            f"dataset {name!r} is described twice: {usual.name} and {other.name} in {folder}. Remove one."
        )
    return other if other.is_file() else usual


def load_dataset(folder: Path, name: str) -> DatasetSpec:
    """Read the description of a data set.

    Raises:
        ConfigError: if there is none of that name, or a setting in it is wrong.
    """
    file = dataset_file(folder, name)
    if not file.is_file():
        raise ConfigError(_unknown(folder, name))
    settings = read_yaml(file)
    kind = settings.pop("format", None)
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
    check_spec(spec, str(file))
    return spec


def write_dataset(folder: Path, spec: DatasetSpec, remote: Remote = NOTHING) -> Path:
    """Describe a new data set in ``folder`` and give the file.

    Raises:
        ConfigError: if the name is taken, the source folder is not there, or an option is wrong.
    """
    file = dataset_file(folder, spec.name)
    if file.exists():
        raise ConfigError(
            f"dataset {spec.name!r} exists already: {file}. Edit that file, choose another name, "
            f"or run `mmsra dataset remove {spec.name}` first."
        )
    check_spec(spec, f"dataset {spec.name!r}")
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
    file = dataset_file(folder, name)
    if not file.is_file():
        raise ConfigError(_unknown(folder, name))
    remote.delete(file)
    file.unlink()
    return file


def check_spec(spec: DatasetSpec, source: str) -> None:
    """Check format, path and options of a description; ``source`` is where it stands.

    Raises:
        ConfigError: naming what is wrong, with the nearest known name.
    """
    known = source_formats()
    if spec.format not in known:
        close = difflib.get_close_matches(str(spec.format), known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Write one of: {', '.join(known)}."
        mistyped = difflib.get_close_matches("format", spec.options, n=1)
        if spec.format is None:
            meant = f" Did you mean it by {mistyped[0]!r}?" if mistyped else ""
            raise ConfigError(f"{source}: format: missing.{meant} {hint}")
        raise ConfigError(f"{source}: format: {spec.format!r} is not known. {hint}")
    form = known[spec.format]
    try:
        form.options.model_validate(spec.options)
    except ValidationError as error:
        raise ConfigError(describe_validation(error, source, form.options)) from None
    if form.made_by_code and spec.path is not None:
        raise ConfigError(f"{source}: path: the {spec.format} store is made by code and has none. Remove the line.")
    if not form.made_by_code and spec.path is None:
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
    """Return options of a format from pairs ``name=value``; a dotted name is one inside another.

    A value is text, or in YAML a list, a mapping, a number, true, false or null.

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
        inner[last] = _option_value(pair, value)
    return options


def _option_value(pair: str, value: str) -> Any:
    """Read a list, a mapping, a number or a truth value as YAML does; all else is text: '*.csv', '|', 'no'."""
    if not PLAIN_VALUE.fullmatch(value):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        shown = str(getattr(error, "problem", error))
        raise ConfigError(f"--option {pair}: {value!r} is neither a list nor a mapping of YAML: {shown}.") from None
