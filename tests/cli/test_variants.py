import pytest
from typer.testing import CliRunner

from mmsra_pipeline.cli.app import app
from mmsra_pipeline.config.datasets import config_of, load_dataset
from mmsra_pipeline.errors import ConfigError


@pytest.fixture
def mmsra(paths, monkeypatch):
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\nsettings: {seed: 3, grpo: {steps: 2}}\n")

    def run(*words):
        return CliRunner().invoke(app, list(words))

    return run


def test_a_variant_has_the_sources_and_settings_of_the_other_but_for_what_is_set(mmsra, paths, instance):
    done = mmsra("dataset", "vary", "shop", "shop-no-grpo", "--set", "grpo.steps=0", "--set", "fusion.folds=3")
    assert done.exit_code == 0, done.output
    assert "Next: mmsra refresh --dataset shop-no-grpo" in done.output
    shop, variant = (load_dataset(paths.datasets, name) for name in ("shop", "shop-no-grpo"))
    assert (variant.format, variant.options, variant.preset) == (shop.format, shop.options, None)
    assert variant.settings == {"seed": 3, "grpo": {"steps": 0}, "fusion": {"folds": 3}}
    assert config_of(variant).grpo.steps == 0
    assert "shop-no-grpo" in instance.get_dynamic_partitions("dataset")


def test_a_wrong_setting_a_taken_name_and_an_unknown_data_set_are_refused(mmsra, paths):
    def refused(*words):
        error = mmsra("dataset", "vary", *words).exception
        assert isinstance(error, ConfigError)
        return str(error)

    assert "settings.grpo.stepz: no such setting. Did you mean 'steps'?" in refused(
        "shop", "new", "--set", "grpo.stepz=0"
    )
    assert "settings.limits: is of the whole root" in refused("shop", "new", "--set", "limits.step_memory_gb=1")
    assert "dataset 'shop' exists already" in refused("shop", "shop")
    assert "Did you mean 'shop'?" in refused("shpo", "new")
    assert [file.name for file in paths.datasets.iterdir()] == ["shop.yaml"]


def test_settings_of_a_data_set_say_where_each_comes_from(mmsra, paths):
    (paths.root / "mmsra.yaml").write_text("fusion: {folds: 4}\n")
    found = {
        path: [cell.strip() for cell in line.split("│")[2:4]]
        for path in ("grpo.steps", "fusion.folds", "grpo.group_size", "grpo.aggregation")
        for line in mmsra("settings", path, "--dataset", "shop").output.splitlines()
        if path in line
    }
    assert found == {
        "grpo.steps": ["2", "datasets/shop.yaml"],
        "fusion.folds": ["4", "mmsra.yaml"],
        "grpo.group_size": ["6", "preset sample"],
        "grpo.aggregation": [found["grpo.aggregation"][0], "default"],
    }
