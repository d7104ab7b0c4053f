"""The settings of data sets, as sources that assets depend on."""

from collections.abc import Sequence

import dagster as dg

from mmsra_pipeline.config.datasets import list_datasets
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.labels import GROUPS, SETTINGS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.settings_read import dataset_config
from mmsra_pipeline.orchestration.settings_sources import settings_sources, version_of
from mmsra_pipeline.storage.paths import find_paths


def source(key: dg.AssetKey, paths: Sequence[str]) -> dg.SourceAsset:
    """Return the source of these settings. A refresh observes it, and so does a run before its first step."""

    @dg.observable_source_asset(
        key=key,
        partitions_def=datasets,
        group_name=GROUPS[SETTINGS],
        description=f"What a data set has for {', '.join(f'`{path}`' for path in paths)}; its version is their hash. "
        f"`mmsra settings {paths[0]} --dataset NAME` prints it and says where it comes from.",
        tags={"dagster/kind/yaml": ""},
    )
    def observed(context: dg.OpExecutionContext) -> dg.DataVersionsByPartition:
        paths = find_paths()
        known = set(context.instance.get_dynamic_partitions(str(datasets.name)))
        versions = {}
        for name in sorted(known.intersection(list_datasets(paths.datasets))):
            try:
                versions[name] = version_of(key, dataset_config(paths, name))
            except MmsraError as error:
                context.log.error(f"the settings of {name} were not observed: {error}")
        return dg.DataVersionsByPartition(versions)

    return observed


sources = [source(key, paths) for key, paths in settings_sources().items()]
