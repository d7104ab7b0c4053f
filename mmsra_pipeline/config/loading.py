"""Reads settings: a preset that ships with the package, and a file of changes to it."""

import difflib
import os
from importlib import resources
from pathlib import Path
from typing import Any

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


def load_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset as written in its file."""
    if name not in presets():
        raise ConfigError(f"preset {name!r} does not exist. Choose one of: {', '.join(presets())}.")
    text = (resources.files("mmsra_pipeline.config.presets") / f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text) or {})


def load_config(path: Path | None = None) -> Config:
    """Return the settings: those of a preset, changed by a YAML file.

    The file is ``path``, else the one that ``$MMSRA_CONFIG`` names, else ``mmsra.yaml`` in the root; the variable may
    also name a preset. Without any the preset 'sample' holds. A file chooses its preset by a first-level key
    ``preset``. Of a root in an object store only the variable is asked.

    Raises:
        ConfigError: naming the file and every wrong setting in it.
    """
    named = str(path) if path else os.environ.get(CONFIG_VARIABLE, "") or _of_root()
    if not named or named in presets():
        return _checked(load_preset(named or "sample"), f"preset {named or 'sample'}")
    file = Path(named)
    if not file.is_file():
        raise ConfigError(
            f"{CONFIG_VARIABLE}={named} is neither a file nor a preset ({', '.join(presets())}). Correct the path."
        )
    overrides = read_yaml(file)
    base = load_preset(str(overrides.pop("preset", "sample")))
    return _checked(_merged(base, overrides), str(file))


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


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _checked(settings: dict[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(describe_validation(error, source, Config)) from None


def describe_validation(error: ValidationError, source: str, model: type[BaseModel]) -> str:
    """Say every wrong setting of a file, one a line, with the nearest known name for a mistyped one."""
    lines = [f"{source}: {error.error_count()} invalid setting(s)"]
    for found in error.errors():
        place = ".".join(str(part) for part in found["loc"]) or "(file)"
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
