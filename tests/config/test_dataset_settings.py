"""Settings of a data set's own, and what stands above what."""

import pytest

from mmsra_pipeline.config.datasets import config_of, load_dataset, settings_layers, write_dataset
from mmsra_pipeline.config.loading import source_of
from mmsra_pipeline.config.named_options import named_options
from mmsra_pipeline.errors import ConfigError


@pytest.fixture
def described(paths, monkeypatch):
    """Describes a data set by what its file says after the format, and reads it again."""
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    paths.datasets.mkdir(parents=True)

    def write(text="", name="shop"):
        (paths.datasets / f"{name}.yaml").write_text(f"format: sample\nsize: tiny\n{text}")
        return load_dataset(paths.datasets, name)

    return write


def test_without_settings_of_its_own_those_of_the_root_hold(described, paths):
    (paths.root / "mmsra.yaml").write_text("seed: 3\n")
    spec = described()
    assert config_of(spec).seed == 3
    assert config_of(spec).grpo.steps == 4  # of the preset 'sample'
    assert spec.options == {"size": "tiny"}


def test_two_data_sets_of_a_root_differ_and_share_what_neither_says(described, paths):
    (paths.root / "mmsra.yaml").write_text("seed: 3\ngrpo: {steps: 9}\nbackbone: {device: cpu}\n")
    paper = described("preset: paper\n", "one")
    other = described("settings: {seed: 5, backbone: {model: /some/folder}}\n", "other")
    assert config_of(paper).backbone.model == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert config_of(paper).grpo.steps == 500  # the preset stands above the root's file, which was not written for it
    assert config_of(paper).seed == 3
    assert config_of(other).backbone.model == "/some/folder"
    assert (config_of(other).seed, config_of(other).grpo.steps) == (5, 9)
    assert {config_of(spec).backbone.device for spec in (paper, other)} == {"cpu"}
    assert source_of(settings_layers(paper), "grpo.steps") == "preset paper"
    assert source_of(settings_layers(other), "seed") == str(paths.datasets / "other.yaml")


def test_the_preset_of_the_root_says_nothing_where_a_data_set_has_its_own(described, paths):
    (paths.root / "mmsra.yaml").write_text("preset: small-cpu\n")
    assert config_of(described("preset: sample\n")).interactions.max_items is None
    assert config_of(described()).interactions.max_items == 2000


def test_the_variable_takes_the_place_of_the_file_of_the_root_and_not_of_the_data_set(described, paths, monkeypatch):
    (paths.root / "mmsra.yaml").write_text("seed: 3\nfusion: {folds: 7}\n")
    (paths.root / "call.yaml").write_text("seed: 4\n")
    monkeypatch.setenv("MMSRA_CONFIG", str(paths.root / "call.yaml"))
    config = config_of(described("settings: {grpo: {steps: 0}}\n"))
    assert (config.seed, config.grpo.steps) == (4, 0)
    assert config.fusion.folds != 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("settings: {grpo: {stepz: 3}}", "settings.grpo.stepz: no such setting. Did you mean 'steps'?"),
        ("settings: {retention: {versions: 3}}", "settings.retention: is of the whole root"),
        ("settings: 3", "settings: 3 is no mapping"),
        ("preset: papr", "preset 'papr' does not exist. Did you mean 'paper'?"),
        ("preset: [paper]", "preset: ['paper'] is not a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_key_and_the_nearest_right_one(described, paths, text, said):
    with pytest.raises(ConfigError) as caught:
        config_of(described(f"{text}\n"))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(paths.datasets / "shop.yaml"))


def test_a_file_with_wrong_settings_is_not_written(described, paths):
    from dataclasses import replace

    spec = replace(described(), name="other", file=None, settings=named_options(["grpo.stepz=0"], "--set"))
    with pytest.raises(ConfigError, match=r"dataset 'other': 1 invalid .*\n  settings.grpo.stepz: .*'steps'"):
        write_dataset(paths.datasets, spec)
    assert not (paths.datasets / "other.yaml").exists()
    right = replace(spec, preset="paper", settings=named_options(["grpo.steps=0"], "--set"))
    write_dataset(paths.datasets, right)
    read = load_dataset(paths.datasets, "other")
    assert (read.preset, read.settings, read.options) == ("paper", {"grpo": {"steps": 0}}, {"size": "tiny"})


def test_pairs_that_contradict_each_other_are_refused():
    assert named_options(["grpo.steps=0", "grpo.lora.rank=2"], "--set") == {"grpo": {"steps": 0, "lora": {"rank": 2}}}
    with pytest.raises(ConfigError, match=r"--set grpo.steps=1: 'grpo' is given a value as well"):
        named_options(["grpo=3", "grpo.steps=1"], "--set")
    with pytest.raises(ConfigError, match=r"--set seed: not of the form name=value. For example: --set grpo.steps=0"):
        named_options(["seed"], "--set")
