import pytest
from pydantic import ValidationError

from mmsra_pipeline.config.loading import Layer, load_config, load_preset, preset_layer, presets, resolved, source_of
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError


@pytest.mark.parametrize("name", presets())
def test_each_preset_is_valid(name, monkeypatch):
    monkeypatch.setenv("MMSRA_CONFIG", name)
    assert isinstance(load_config(), Config)


def test_a_file_changes_its_preset_and_nothing_else(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: paper\nretrieval: {similar_users: {k: 7}}\n")
    config = load_config(file)
    assert config.retrieval.similar_users.k == 7
    assert config.retrieval.similar_users.rule == load_preset("paper")["retrieval"]["similar_users"]["rule"]


def test_every_wrong_setting_is_named_with_its_file_and_a_mistyped_one_with_its_neighbour(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("grpo: {lerning_rate: 1.0}\nretrieval: {similar_users: {k: 0}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    text = str(caught.value)
    assert f"{file}: 2 invalid setting(s)" in text
    assert "grpo.lerning_rate: no such setting. Did you mean 'learning_rate'?" in text
    assert "retrieval.similar_users.k: Input should be greater than 0 (found 0)" in text


def test_broken_yaml_is_reported_with_its_line(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 1\ngrpo: {steps: 2\n")
    with pytest.raises(ConfigError, match=r"mine.yaml, line \d+: not readable as YAML"):
        load_config(file)


def test_an_unknown_preset_and_a_missing_file_name_the_choices(tmp_path, monkeypatch):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: papr\n")
    with pytest.raises(ConfigError, match=r"mine.yaml: preset 'papr' does not exist. Did you mean 'paper'\? Choose .*"):
        load_config(file)
    monkeypatch.setenv("MMSRA_CONFIG", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="neither a file nor a preset"):
        load_config()


def test_settings_cannot_be_changed_once_loaded():
    with pytest.raises(ValidationError, match="frozen"):
        Config().seed = 1


def test_the_scored_task_cannot_be_left_out(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("recommendation: {tasks: {yes_no: 0}}\n")
    with pytest.raises(ConfigError, match=r"recommendation.tasks: .*yes_no=0"):
        load_config(file)


def test_the_file_in_the_root_holds_by_default_and_the_variable_before_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path))
    assert load_config().seed == 0
    (tmp_path / "mmsra.yaml").write_text("preset: small-cpu\nseed: 3\n")
    assert load_config().seed == 3
    assert load_config().interactions.user_core == load_config(None).interactions.user_core == 6
    (tmp_path / "other.yaml").write_text("seed: 4\n")
    monkeypatch.setenv("MMSRA_CONFIG", str(tmp_path / "other.yaml"))
    assert load_config().seed == 4
    monkeypatch.setenv("MMSRA_ROOT", "s3://bucket/place")
    monkeypatch.delenv("MMSRA_CONFIG")
    assert load_config().seed == 0


def test_a_wrong_setting_is_said_of_the_layer_that_has_it():
    good, bad = Layer("root.yaml", {"seed": 1}), Layer("shop.yaml", {"grpo": {"stepz": 0}}, "settings.")
    with pytest.raises(ConfigError) as caught:
        resolved([good, bad, Layer("last.yaml", {"seed": 2})])
    assert str(caught.value) == (
        "shop.yaml: 1 invalid setting(s)\n  settings.grpo.stepz: no such setting. Did you mean 'steps'?"
    )
    with pytest.raises(ConfigError, match=r"^root.yaml: 1 invalid"):
        resolved([Layer("root.yaml", {"sead": 1}), good])


def test_the_highest_layer_that_says_something_is_where_a_value_comes_from():
    root, own = Layer("root.yaml", {"seed": 1, "grpo": {"steps": 9}}), Layer("shop.yaml", {"seed": 2})
    layers = [preset_layer("sample"), root, own]
    assert source_of(layers, "seed") == "shop.yaml"
    assert source_of(layers, "grpo.steps") == "root.yaml"
    assert source_of(layers, "grpo.items_per_step") == "preset sample"
    assert source_of(layers, "grpo.lora.rank") == "default"
    none = Layer("root.yaml", {"summarization": {"server": None}})
    assert source_of([none], "summarization.server.url") == "root.yaml"
