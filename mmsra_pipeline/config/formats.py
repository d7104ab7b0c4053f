"""Source formats by name: those of this package, and those that installed packages add.

A format is one module of ``ingest/readers/`` whose ``FORMATS`` holds it, or an entry point of the group
``mmsra_pipeline.formats`` that leads to a ``SourceFormat``.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from mmsra_pipeline.config.section import Section
from mmsra_pipeline.errors import ConfigError

READERS: Final = "mmsra_pipeline.ingest.readers"
GROUP: Final = "mmsra_pipeline.formats"
Patterns = Annotated[tuple[str, ...], BeforeValidator(lambda names: (names,) if isinstance(names, str) else names)]
"""File names or glob patterns below the folder of a data set; one alone may be written without a list."""


@dataclass(frozen=True)
class SourceFormat:
    """A format of source files."""

    name: str
    """What the YAML of a data set calls it."""
    options: type[Section]
    """What else may stand in that YAML, with defaults."""
    reader: Callable[..., Any]
    """Takes the ``DatasetSpec``, or of what is made by code a folder to make it in besides, and returns a
    ``ingest.raw_tables.Reader``."""
    made_by_code: bool = False
    """Whether there are no source files."""
    version: Callable[..., str] | None = None
    """Of what is made by code: takes the ``DatasetSpec``, returns what changes with its content."""


@functools.cache
def source_formats() -> Mapping[str, SourceFormat]:
    """Return the formats there are, by name.

    Raises:
        ConfigError: if an installed package gives a name that is taken, or something that is no format.
    """
    found: dict[str, SourceFormat] = {}
    folder = importlib.import_module(READERS)
    for module in sorted(each.name for each in pkgutil.iter_modules(folder.__path__)):
        for form in getattr(importlib.import_module(f"{READERS}.{module}"), "FORMATS", ()):
            found[form.name] = form
    for point in entry_points(group=GROUP):
        form = point.load()
        if not isinstance(form, SourceFormat) or form.name in found:
            raise ConfigError(
                f"entry point {point.name} = {point.value} (group {GROUP}) gives no new source format: it must lead to "
                f"a SourceFormat whose name is none of {', '.join(found)}. Correct or uninstall that package."
            )
        found[form.name] = form
    return found
