"""Opens a backbone in another process or on another machine than the one that named it."""

import os
from typing import NamedTuple

import torch

from mmsra_pipeline.backbone.model import Backbone, open_backbone
from mmsra_pipeline.backbone.recipe import Recipe, folders
from mmsra_pipeline.errors import ConfigError, MissingInputError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import ROOT_VARIABLE, find_paths


class Origin(NamedTuple):
    """Which backbone, of which root."""

    recipe: Recipe
    root: str
    """A folder that all machines see, or the URL of an object store. A machine's own ``$MMSRA_ROOT`` goes before it."""
    fingerprint: str
    """Of the backbone there; another one would give other answers."""
    threads: int
    """Of torch."""


def origin_of(backbone: Backbone, artifacts: Artifacts, threads: int) -> Origin:
    """Say from where another process opens the same backbone.

    Raises:
        ConfigError: if the backbone was made in another way than by ``open_backbone``.
    """
    if backbone.recipe is None:
        raise ConfigError("this backbone was not opened from settings, so no other process can open it.")
    root = os.environ.get(ROOT_VARIABLE) if artifacts.remote.is_store else str(artifacts.root.parent)
    return Origin(backbone.recipe, str(root), backbone.fingerprint, threads)


def open_elsewhere(origin: Origin) -> tuple[Backbone, Artifacts]:
    """Open the backbone and the artifacts of its root.

    Raises:
        MissingInputError: if weights or an adapter are not to be had here.
        ConfigError: if the backbone here is another one.
    """
    torch.set_num_threads(origin.threads)
    os.environ.setdefault(ROOT_VARIABLE, origin.root)
    artifacts = Artifacts.of(find_paths())
    recipe = origin.recipe
    adapters, tuned = folders(recipe.adapters, artifacts.root), folders(recipe.tuned, artifacts.root)
    for folder in [*adapters, *tuned]:
        if folder.is_relative_to(artifacts.root) and not artifacts.remote.fetch(folder):
            raise MissingInputError(
                f"{folder} is not in {artifacts.remote.address(artifacts.root)}, as {os.uname().nodename} sees it. "
                f"Let {ROOT_VARIABLE} name the same root on every machine, and run again."
            )
    backbone = open_backbone(
        recipe.config, artifacts, adapters, tuned=tuned, layers=recipe.layers, warm_start=recipe.warm_start
    )
    if backbone.fingerprint != origin.fingerprint:
        raise ConfigError(
            f"on {os.uname().nodename} the backbone {recipe.config.model} is {backbone.fingerprint}, and the run's is "
            f"{origin.fingerprint}: the weights or the versions of packages differ between the machines. Install the "
            "same on each (constraints.txt), let backbone.model name the same checkpoint, and run again."
        )
    return backbone, artifacts
