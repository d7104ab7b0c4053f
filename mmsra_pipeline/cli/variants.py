"""A data set on the sources of another one, with other settings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmsra_pipeline.config.datasets import load_dataset, write_dataset
from mmsra_pipeline.config.loading import merged
from mmsra_pipeline.config.named_options import named_options
from mmsra_pipeline.storage.paths import Paths


def vary(paths: Paths, name: str, variant: str, changes: Sequence[str], preset: str | None) -> Path:
    """Describe ``variant`` as ``name`` with some settings changed, make its partition, and give its file.

    Args:
        paths: the installation.
        name: the data set to start from, with the settings that its file has.
        variant: the new one.
        changes: settings as ``path=value``.
        preset: in place of the one that ``name`` has.

    Raises:
        ConfigError: if there is no ``name``, ``variant`` is taken, or a setting is wrong.
    """
    from mmsra_pipeline.orchestration.instance import open_instance
    from mmsra_pipeline.orchestration.refresh import add_partitions

    spec = load_dataset(paths.datasets, name)
    settings = merged(spec.settings, named_options(changes, "--set"))
    new = replace(spec, name=variant, file=None, settings=settings, preset=preset or spec.preset)
    file = write_dataset(paths.datasets, new, paths.remote)
    with open_instance(paths) as instance:
        add_partitions(instance, [variant])
    return file
