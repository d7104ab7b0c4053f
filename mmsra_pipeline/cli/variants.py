"""A data set on the sources of another one, with other settings: one as asked for, and the rows of an ablation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mmsra_pipeline.config.datasets import DatasetSpec, config_of, dataset_file, load_dataset, write_dataset
from mmsra_pipeline.config.loading import merged
from mmsra_pipeline.config.named_options import named_options
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.paths import Paths

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.outcome import Outcome

LEFT_OUT: Final = ("keyword_quality", "first_stage_recall", "served_quality", "recommendations", "report")
"""Assets that no row of the table reads: a variant does without them."""
Refreshed = Callable[[str, tuple[str, ...]], "Outcome"]
"""Brings a data set up to date but for assets that are left out."""


class Variant(NamedTuple):
    """A row of the table as a data set."""

    row: str
    what: str
    spec: DatasetSpec
    exists: bool


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


def variants_to_make(paths: Paths, dataset: str, names: Iterable[str]) -> tuple[list[Variant], dict[str, str]]:
    """Return the variants of rows, and the rows that are none, with why.

    Args:
        paths: the installation.
        dataset: what to vary.
        names: of rows.

    Raises:
        ConfigError: if there is no such data set, or a data set has the name of a variant and other settings.
    """
    from mmsra_pipeline.evaluation.ablation import EQUAL_TOKENS, ROWS
    from mmsra_pipeline.orchestration.variants import changed, same_sources

    own = load_dataset(paths.datasets, dataset)
    config = config_of(own)
    found: list[Variant] = []
    left_out: dict[str, str] = {}
    for name in names:
        file = dataset_file(paths.datasets, f"{dataset}-{name}")
        settings: dict[str, Any] = dict(ROWS[name].settings)
        if name == EQUAL_TOKENS:
            bound = _bound(paths, dataset, config, file)
            if bound is None:
                left_out[name] = "how many tokens keywords have is known once the data set's keywords are written"
                continue
            settings = merged(settings, {"recommendation": {"prompt": {"history_chars": bound}}})
        spec = replace(own, name=f"{dataset}-{name}", file=None, settings=merged(own.settings, settings))
        if not changed(config, config_of(spec)):
            left_out[name] = f"{dataset!r} has these settings itself"
            continue
        if file.is_file():
            there = load_dataset(paths.datasets, spec.name)
            if not same_sources(there, spec) or (other := changed(config_of(spec), config_of(there))):
                said = "other sources" if not same_sources(there, spec) else f"other settings: {_said(other)}"
                raise ConfigError(
                    f"{file}: dataset {spec.name!r} is there with {said}. Remove it with `mmsra dataset remove "
                    f"{spec.name}`, or leave its row out of --rows."
                )
        found.append(Variant(name, ROWS[name].what, spec, file.is_file()))
    return found, left_out


def make(paths: Paths, variants: list[Variant], refreshed: Refreshed) -> list[str]:
    """Describe the variants that are not there yet and bring one after the other up to date; give what failed."""
    failed = []
    for variant in variants:
        if not variant.exists:
            write_dataset(paths.datasets, variant.spec, paths.remote)
        outcome = refreshed(variant.spec.name, LEFT_OUT)
        failed += [f"dataset {failure.partition}: {failure.text}" for failure in outcome.failures]
    return failed


def _bound(paths: Paths, dataset: str, config: Config, file: Path) -> int | None:
    """Return the characters that make as many tokens as keywords: as the variant has them, or by what was written."""
    from mmsra_pipeline.cli.reading import stored_or_none
    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.evaluation.ablation import equal_chars

    if file.is_file():
        return config_of(load_dataset(paths.datasets, file.stem)).recommendation.prompt.history_chars
    tables = [stored_or_none(paths, name, dataset) for name in (Tables.ITEM_KEYWORDS, Tables.ITEM_TEXT)]
    keywords, texts = tables
    if keywords is None or texts is None:
        return None
    return equal_chars(keywords, texts, config.recommendation.prompt.keywords_per_item)


def _said(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={value}" for path, value in settings.items())
