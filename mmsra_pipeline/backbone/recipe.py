"""What a backbone is opened from, in plain values: another process or machine opens the same from it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmsra_pipeline.config.tree import BackboneConfig


class Recipe(NamedTuple):
    """The arguments of ``open_backbone``. Folders below the artifacts are named by their place there."""

    config: BackboneConfig
    adapters: tuple[str, ...]
    tuned: tuple[str, ...]
    layers: int | None
    warm_start: bool


def recipe_of(
    config: BackboneConfig,
    artifacts: Path,
    adapters: Sequence[Path],
    tuned: Sequence[Path],
    *,
    layers: int | None,
    warm_start: bool,
) -> Recipe:
    """Return the recipe of these arguments; ``artifacts`` is the folder of the artifacts of the root."""
    merged, trained = (tuple(_named(folder, artifacts) for folder in some) for some in (adapters, tuned))
    return Recipe(config, merged, trained, layers, warm_start)


def folders(named: Sequence[str], artifacts: Path) -> list[Path]:
    """Return the folders that a recipe names, where they lie on this machine."""
    return [artifacts / name for name in named]  # a name that begins at the file system's root stays what it is


def _named(folder: Path, artifacts: Path) -> str:
    return folder.relative_to(artifacts).as_posix() if folder.is_relative_to(artifacts) else str(folder)
