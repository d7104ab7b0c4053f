"""Settings of which only some may be read."""

from typing import Any

from pydantic import BaseModel


class SectionReader:
    """Stands in for a section of which only some settings may be read; others raise.

    A section that may be read as a whole comes as itself.
    """

    def __init__(self, section: BaseModel, asset: str, allowed: tuple[str, ...], place: str = "") -> None:
        self._section = self.whole = section
        self._asset = asset
        self._allowed = allowed
        self._place = place

    def __getattr__(self, name: str) -> Any:
        """Read one setting or section.

        Raises:
            LookupError: if the asset does not declare that it reads it. A change of it would not make the asset stale.
        """
        value = getattr(self._section, name)
        path = f"{self._place}{name}"
        if path in self._allowed:
            return value
        if isinstance(value, BaseModel) and any(entry.startswith(f"{path}.") for entry in self._allowed):
            return SectionReader(value, self._asset, self._allowed, f"{path}.")
        raise LookupError(
            f"asset {self._asset!r} reads the setting {path!r}, which it does not declare, so a change of it would not "
            f"make the asset stale. Add {path!r} to READS[{self._asset!r}] in orchestration/settings_read.py."
        )
