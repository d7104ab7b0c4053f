"""The data sets: one YAML file each, whose name becomes the name of a partition. It may have settings of its own."""

import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.config.loading import (
    SETTINGS_FILE,
    Layer,
    describe_validation,
    preset_layer,
    presets,
    read_yaml,
    resolved,
    root_layers,
)
from mmsra_pipeline.config.operation import OPERATION
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.files import clean_name
from mmsra_pipeline.storage.mirror import NOTHING, Remote

ENDINGS: Final = (".yaml", ".yml")


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
    preset: str | None = None
    """In place of the root's, with all that it says. None: the root's."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What of the settings is other than the root or the preset has it, section by section."""


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
    preset, own = settings.pop("preset", None), settings.pop("settings", None)
    if not (preset is None or isinstance(preset, str)):
        raise ConfigError(f"{file}: preset: {preset!r} is not a text. Choose one of: {', '.join(presets())}.")
    if not (own is None or isinstance(own, dict)):
        raise ConfigError(f"{file}: settings: {own!r} is no mapping. Write sections below it: `grpo: {{steps: 0}}`.")
    if not (path is None or isinstance(path, str)):
        raise ConfigError(f"{file}: path: {path!r} is not a text. Write the folder of the source files.")
    spec = DatasetSpec(
        name=name,
        format=kind,
        path=None if path is None else Path(os.path.normpath(folder.resolve() / Path(path).expanduser())),
        options=settings,
        file=file,
        preset=preset,
        settings={} if own is None else own,
    )
    check_spec(spec, str(file))
    return spec


def settings_layers(spec: DatasetSpec) -> list[Layer]:
    """Return where the settings of a data set come from, the weakest first: preset, file of the root, own settings.

    A preset of the data set's own takes the place of the root's and stands above the root's file, which was written for
    another preset.

    Raises:
        ConfigError: if a file or preset is not there, or the data set has settings that are of the root alone.
    """
    source = str(spec.file or f"dataset {spec.name!r}")
    layers = root_layers()
    if spec.preset is not None:
        layers = [*layers[1:], preset_layer(spec.preset, source)]
    of_root = [name for name in spec.settings if name in OPERATION]
    if of_root:
        raise ConfigError(
            f"{source}: settings.{of_root[0]}: is of the whole root, not of a data set. Write it into {SETTINGS_FILE} "
            "beside workspace.yaml."
        )
    return [*layers, Layer(source, spec.settings, "settings.")] if spec.settings else layers


def config_of(spec: DatasetSpec) -> Config:
    """Return the settings that hold for a data set.

    Raises:
        ConfigError: naming the file and every wrong setting in it.
    """
    return resolved(settings_layers(spec))


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
    config_of(spec)  # what is wrong in its settings is said before there is a file
    if spec.preset is not None:
        settings["preset"] = spec.preset
    if spec.settings:
        settings["settings"] = spec.settings
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
