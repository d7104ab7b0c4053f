import dagster as dg
import pandas as pd
import pytest
from orchestration.small_graph import add_shop, small_graph, written

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.orchestration.materializations import SETTINGS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.orchestration.settings_read import settings_of
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths

NOW = {path: list(value) if isinstance(value, tuple) else value for path, value in settings_of("user_encoder").items()}


def graph(settings, code: str) -> dg.Definitions:
    @dg.asset(deps=["interactions"], partitions_def=datasets, code_version=code)
    def user_encoder(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with Artifacts.of(find_paths()).publish("user_encoder", context.partition_key):
            pass
        result = written("user_encoder", context.partition_key, pd.DataFrame({"epoch": [1]}))
        return result._replace(metadata={**result.metadata, SETTINGS: settings})

    return small_graph(user_encoder)


def test_a_training_is_repeated_for_changed_settings_only_if_somebody_says_so(instance, paths):
    add_shop(paths, "shop")
    asked = []

    def no(found):
        asked.append(found)
        return False

    refresh(instance, paths, definitions=graph({**NOW, "retrieval.encoder.dim": 7}, "1"), approve=no)
    assert asked == []  # the first training is no renewal
    with pytest.raises(ConfigError) as error:
        refresh(instance, paths, definitions=graph(NOW, "2"), approve=no)
    assert f"user_encoder[shop]: retrieval.encoder.dim 7 -> {NOW['retrieval.encoder.dim']}; took 100 s" in str(
        error.value
    )
    assert "mmsra refresh --yes" in str(error.value)
    assert [(renewal.asset, renewal.dataset) for renewal in asked[0]] == [("user_encoder", "shop")]
    made = refresh(instance, paths, definitions=graph(NOW, "2"), approve=lambda found: True)
    assert [entry.asset for entry in made.materialized] == ["user_encoder"]
    again = refresh(instance, paths, definitions=graph(NOW, "3"), approve=no)  # other code, the same settings
    assert [entry.asset for entry in again.materialized] == ["user_encoder"]
    assert len(asked) == 1
