"""Settings and options that a command line gives as ``name=value``."""

import re
from collections.abc import Sequence
from typing import Any, Final

import yaml

from mmsra_pipeline.errors import ConfigError

PLAIN_VALUE: Final = re.compile(r"\[.*\]|\{.*\}|-?(?:0|[1-9]\d*)(?:\.\d+)?|true|false|null", re.DOTALL)
EXAMPLES: Final = {"--option": "--option items=goods.csv", "--set": "--set grpo.steps=0"}


def named_options(pairs: Sequence[str], flag: str = "--option") -> dict[str, Any]:
    """Return options of a format, or settings, from pairs ``name=value``; a dotted name is one inside another.

    A value is text, or in YAML a list, a mapping, a number, true, false or null; ``flag`` is named in an error.

    Raises:
        ConfigError: if a pair has no name or no value.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ConfigError(f"{flag} {pair}: not of the form name=value. For example: {EXAMPLES[flag]}.")
        inner = options
        *outer, last = name.split(".")
        for part in outer:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{flag} {pair}: {part!r} is given a value as well. Leave one of them out.")
        inner[last] = _option_value(flag, pair, value)
    return options


def _option_value(flag: str, pair: str, value: str) -> Any:
    """Read a list, a mapping, a number or a truth value as YAML does; all else is text: '*.csv', '|', 'no'."""
    if not PLAIN_VALUE.fullmatch(value):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        problem = str(getattr(error, "problem", error))
        raise ConfigError(f"{flag} {pair}: {value!r} is neither a list nor a mapping of YAML: {problem}.") from None
