import dagster as dg
import pandas as pd
import pytest
from orchestration.small_graph import add_shop, small_graph, written

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.orchestration.materializations import SETTINGS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.orchestration.settings_read import dataset_config, json_ready, settings_of
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths


def graph(code: str) -> dg.Definitions:
    @dg.asset(deps=["interactions"], partitions_def=datasets, code_version=code)
    def user_encoder(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with Artifacts.of(find_paths()).publish("user_encoder", context.partition_key):
            pass
        result = written("user_encoder", context.partition_key, pd.DataFrame({"epoch": [1]}))
        settings = settings_of("user_encoder", dataset_config(find_paths(), context.partition_key))
        return result._replace(metadata={**result.metadata, SETTINGS: json_ready(settings)})

    return small_graph(user_encoder)


def test_a_training_is_repeated_for_changed_settings_of_its_data_set_only_if_somebody_says_so(instance, paths):
    asked = []

    def describe(**encoder):
        settings = {"retrieval": {"encoder": encoder}}
        (paths.datasets / "shop.yaml").write_text(f"format: tables\npath: ../sources/shop\nsettings: {settings}\n")

    def no(found):
        asked.append(found)
        return False

    for name in ("shop", "other"):
        add_shop(paths, name)
    describe(dim=8)
    assert refresh(instance, paths, definitions=graph("1"), approve=no).failures == []
    assert asked == []  # the first training is no renewal
    describe(dim=32)
    with pytest.raises(ConfigError) as error:
        refresh(instance, paths, definitions=graph("1"), approve=no)
    assert "user_encoder[shop]: retrieval.encoder.dim 8 -> 32; took 100 s" in str(error.value)
    assert "mmsra refresh --yes" in str(error.value)
    assert [(renewal.asset, renewal.dataset) for renewal in asked[0]] == [("user_encoder", "shop")]
    night = refresh(instance, paths, definitions=graph("1"), leave_out=["user_encoder"])
    assert night.materialized == []
    outcome = refresh(instance, paths, definitions=graph("1"), approve=lambda found: True)
    assert [str(entry) for entry in outcome.materialized] == ["user_encoder[shop]"]
    again = refresh(instance, paths, definitions=graph("2"), approve=no)  # other code, the same settings
    assert {str(entry) for entry in again.materialized} == {"user_encoder[shop]", "user_encoder[other]"}
    assert len(asked) == 1
