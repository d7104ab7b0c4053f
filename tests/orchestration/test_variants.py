from orchestration.small_graph import add_shop

from mmsra_pipeline.config.datasets import config_of, load_dataset
from mmsra_pipeline.config.loading import merged
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.loading import load_definitions
from mmsra_pipeline.orchestration.variants import changed, expected, variants_of


def test_variants_have_the_same_sources_and_other_settings(paths, monkeypatch):
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    add_shop(paths, "far")
    for name, more in {
        "shop": "settings: {seed: 3}",
        "copy": "settings: {seed: 3, backbone: {batch_size: 2}}",  # changes how fast it is
        "other": "settings: {seed: 4, grpo: {steps: 0}}",
        "broken": "settings: {sed: 4}",
    }.items():
        (paths.datasets / f"{name}.yaml").write_text(f"format: sample\nsize: tiny\n{more}\n")
    (paths.datasets / "larger.yaml").write_text("format: sample\nsize: small\nsettings: {seed: 4}\n")
    assert variants_of(paths, "shop") == {"other": {"grpo.steps": 0, "seed": 4}}
    specs = [load_dataset(paths.datasets, name) for name in ("other", "shop")]
    assert set(changed(*map(config_of, specs))) == {"grpo.steps", "seed"}


def test_what_reads_a_changed_setting_is_computed_and_what_depends_on_it_may_be():
    graph = load_definitions().resolve_asset_graph()
    other = Config.model_validate(merged({}, {"retrieval": {"encoder": {"kind": "gru4rec"}}}))
    found = expected(graph, Config(), other, ["report"])
    assert found.computed == ["user_encoder"]
    assert {"similar_users", "sft_dataset", "recommender", "rankings", "metrics"} <= set(found.depending)
    assert {"item_keywords", "summarizer", "cooccurrence_neighbors", "interactions"} <= set(found.taken_over)
    assert not any("report" in names for names in found)
