"""Reads settings: a preset that ships with the package, and layers of changes to it."""

import difflib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.paths import local_root

CONFIG_VARIABLE = "MMSRA_CONFIG"
SETTINGS_FILE = "mmsra.yaml"


def presets() -> list[str]:
    """Names of the presets that ship with the package."""
    folder = resources.files("mmsra_pipeline.config.presets")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_preset(name: str, source: str = "") -> dict[str, Any]:
    """Return the settings of a preset as written in its file; ``source`` names in an error who asked for it."""
    known = presets()
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        place = f"{source}: " if source else ""
        raise ConfigError(f"{place}preset {name!r} does not exist. {guess}Choose one of: {', '.join(known)}.")
    text = (resources.files("mmsra_pipeline.config.presets") / f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text) or {})


class Layer(NamedTuple):
    """Settings that one file or preset says. A later layer stands above an earlier one."""

    source: str
    """The file, or ``preset NAME``."""
    values: dict[str, Any]
    section: str = ""
    """Where in the file they stand, such as ``settings.``."""


def load_config(path: Path | None = None) -> Config:
    """Return the settings of the root: those of a preset, changed by a YAML file.

    The file is ``path``, else the one that ``$MMSRA_CONFIG`` names, else ``mmsra.yaml`` in the root; the variable may
    also name a preset. Without any the preset 'sample' holds. A file chooses its preset by a first-level key
    ``preset``. Of a root in an object store only the variable is asked.

    Raises:
        ConfigError: naming the file and every wrong setting in it.
    """
    return resolved(root_layers(path))


def root_layers(path: Path | None = None) -> list[Layer]:
    """Return what the root says: the preset first, then the file as ``load_config`` finds it, if there is one.

    Raises:
        ConfigError: if there is no such file or preset, or it is no YAML.
    """
    named = str(path) if path else os.environ.get(CONFIG_VARIABLE, "") or _of_root()
    if not named or named in presets():
        return [preset_layer(named or "sample")]
    file = Path(named)
    if not file.is_file():
        raise ConfigError(
            f"{CONFIG_VARIABLE}={named} is neither a file nor a preset ({', '.join(presets())}). Correct the path."
        )
    values = read_yaml(file)
    return [preset_layer(str(values.pop("preset", "sample")), str(file)), Layer(str(file), values)]


def preset_layer(name: str, source: str = "") -> Layer:
    """Return what a preset says; ``source`` names in an error who asked for it."""
    return Layer(f"preset {name}", load_preset(name, source))


def resolved(layers: Sequence[Layer]) -> Config:
    """Return the settings that layers give together, each above those before it.

    Raises:
        ConfigError: naming the layer and every wrong setting in it.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        values = merged(values, layer.values)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        for count in range(1, len(layers)):  # the first layer with which it is wrong is at fault
            resolved(layers[:count])
        last = layers[-1]
        raise ConfigError(describe_validation(error, last.source, Config, last.section)) from None


def source_of(layers: Sequence[Layer], path: str) -> str:
    """Return the source of the highest layer that says something at a dotted path; 'default' if none does."""
    return next((layer.source for layer in reversed(layers) if _says(layer.values, path.split("."))), "default")


def _says(values: Any, path: list[str]) -> bool:
    if not path or not isinstance(values, dict):
        return True  # another value in place of all that lies here is one too
    return path[0] in values and _says(values[path[0]], path[1:])


def _of_root() -> str:
    folder = local_root()
    file = folder / SETTINGS_FILE if folder else None
    return str(file) if file and file.is_file() else ""


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file whose first level is a mapping.

    Raises:
        ConfigError: with the line where the file cannot be read as YAML.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"{file}, line {line}: not readable as YAML: {error.problem}. Fix that line.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: holds a {type(content).__name__}, not settings. Write `name: value` lines.")
    return content


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with changes to them, section by section."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def describe_validation(error: ValidationError, source: str, model: type[BaseModel], section: str = "") -> str:
    """Say every wrong setting of a file, one a line, with the nearest known name for a mistyped one.

    ``section``: where in the file they stand, such as ``settings.``.
    """
    lines = [f"{source}: {error.error_count()} invalid setting(s)"]
    for found in error.errors():
        place = section + ".".join(str(part) for part in found["loc"]) or "(file)"
        if found["type"] == "extra_forbidden":
            lines.append(f"  {place}: no such setting.{_suggestion(found['loc'], model)}")
        else:
            lines.append(f"  {place}: {found['msg']} (found {found['input']!r})")
    return "\n".join(lines)


def _suggestion(place: tuple[int | str, ...], model: type[BaseModel]) -> str:
    known: type[BaseModel] = model
    for part in place[:-1]:
        inner = known.model_fields[str(part)].annotation if str(part) in known.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        known = inner
    close = difflib.get_close_matches(str(place[-1]), known.model_fields, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known here: {', '.join(known.model_fields)}."
