"""Table 6 of the paper on the tiny store, by variants: each distinct work is done once.

Beside them a data set of the same root with another preset and another backbone.
"""

import pytest
import yaml
from defs.tiny_settings import SETTINGS
from tiny import tiny_fastvlm, tiny_qwen2_5_vl

from mmsra_pipeline.cli.ablation import compared
from mmsra_pipeline.cli.variants import LEFT_OUT, make, variants_to_make
from mmsra_pipeline.orchestration.instance import open_instance
from mmsra_pipeline.orchestration.loading import load_definitions
from mmsra_pipeline.orchestration.materializations import latest
from mmsra_pipeline.orchestration.outcome import Outcome
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.orchestration.settings_read import READS, dataset_config
from mmsra_pipeline.orchestration.variants import expected
from mmsra_pipeline.storage.paths import find_paths

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.weights]  # the sentence encoder's weights

ROWS = {"shop-no-grpo": "no-grpo", "shop-gru4rec": "gru4rec", "shop-no-sft": "no-sft"}
OTHER = "other"
"""A data set with a preset and a backbone of its own."""
BEFORE_MODELS = {
    "raw_reviews",
    "interactions",
    "sequences",
    "training_queries",
    "item_text",
    "item_images",
    "alignment",
}
UNTOUCHED = {
    "shop-no-grpo": {*BEFORE_MODELS, "draft_keywords", "user_encoder", "similar_users", "cooccurrence_neighbors"},
    "shop-gru4rec": {*BEFORE_MODELS, "draft_keywords", "summarizer", "item_keywords", "cooccurrence_neighbors"},
    "shop-no-sft": {*READS} - {"recommender", "fusion", "rankings", "metrics", *LEFT_OUT},
}
CHANGED = {
    "shop-no-grpo": {"summarizer"},
    "shop-gru4rec": {"user_encoder", "similar_users"},
    "shop-no-sft": {"recommender", "fusion", "rankings"},
}


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory):
    """The instance, and what the refresh of all rows did."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSRA_ROOT", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster_home"))
        patch.delenv("MMSRA_CONFIG", raising=False)
        paths = find_paths()
        paths.datasets.mkdir()
        (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")
        backbone = {**SETTINGS["backbone"], "model": str(tiny_fastvlm(root / "tiny"))}
        (root / "mmsra.yaml").write_text(yaml.safe_dump(SETTINGS | {"backbone": backbone}))
        own = {**SETTINGS, "backbone": {**backbone, "model": str(tiny_qwen2_5_vl(root / "qwen")), "image_side": 56}}
        own["interactions"] = {"user_core": 3, "item_core": 2, "split": "leave_last_out", "history_limit": 30}
        del own["preset"]
        described = {"format": "sample", "size": "tiny", "preset": "small-gpu", "settings": own}
        (paths.datasets / f"{OTHER}.yaml").write_text(yaml.safe_dump(described))
        with open_instance(paths) as instance:
            assert make(paths, variants_to_make(paths, "shop", ROWS.values())[0], lambda *_: Outcome()) == []
            outcome = refresh(instance, paths, leave_out=LEFT_OUT)
            assert outcome.failures == []
            yield instance, outcome


def outcomes(outcome, name):
    return {one.asset: one.outcome for one in outcome.assets if one.partition == name and one.outcome != "skipped"}


def test_each_distinct_work_is_done_once(backfilled):
    instance, outcome = backfilled
    events_of = {
        asset: [latest(instance, asset, name) for name in (OTHER, "shop", *ROWS)]
        for asset in READS
        if asset not in LEFT_OUT
    }
    for asset, events in events_of.items():
        computed = [event.work for event in events if event.reused_from is None]
        assert len(computed) == len(set(computed)), asset
        assert set(computed) == {event.work for event in events}, asset
    reused = sum(one.outcome == "reused" for one in outcome.assets)
    assert reused == sum(event.reused_from is not None for events in events_of.values() for event in events)
    assert reused > len(events_of) * len(ROWS) / 2


@pytest.mark.parametrize("variant", ROWS)
def test_a_row_computes_what_it_changes_and_takes_over_what_it_leaves(backfilled, variant):
    found = outcomes(backfilled[1], variant)
    assert set(found) == set(READS) - set(LEFT_OUT)
    assert {asset for asset in UNTOUCHED[variant] if found[asset] != "reused"} == set()
    assert {asset for asset in CHANGED[variant] if found[asset] != "computed"} == set()


def test_it_is_said_where_it_was_taken_over_from(backfilled):
    said = [one.reason for one in backfilled[1].assets if one.outcome == "reused"]
    assert all("taken over from " in reason for reason in said)


def test_two_data_sets_of_a_root_with_other_presets_and_backbones_are_both_made(backfilled):
    instance, paths = backfilled[0], find_paths()
    one, other = (dataset_config(paths, name).backbone.model for name in ("shop", OTHER))
    assert one != other
    assert set(outcomes(backfilled[1], OTHER)) == set(READS) - set(LEFT_OUT)
    alignments = [latest(instance, "alignment", name) for name in ("shop", OTHER)]
    assert [event.metadata["settings"]["backbone.model"] for event in alignments] == [one, other]
    assert alignments[0].version != alignments[1].version


def test_the_plan_says_what_was_computed_and_what_was_taken_over(backfilled):
    paths, graph = find_paths(), load_definitions().resolve_asset_graph()
    full = dataset_config(paths, "shop")
    for variant in ROWS:
        plan, found = expected(graph, full, dataset_config(paths, variant), LEFT_OUT), outcomes(backfilled[1], variant)
        assert {found[asset] for asset in plan.computed} == {"computed"}
        assert {found[asset] for asset in plan.taken_over if asset in found} == {"reused"}


def test_the_rows_are_compared_with_the_full_model_on_the_same_users(backfilled):
    paths = find_paths()
    variants, left_out = variants_to_make(paths, "shop", ROWS.values())  # they are there: gone on with
    assert left_out == {}
    table = compared(paths, "shop", variants).table
    assert set(table["variant"]) == set(ROWS)
    assert (table["users"] == 4).all()


def test_afterwards_nothing_is_stale(backfilled):
    assert refresh(backfilled[0], find_paths(), dry_run=True, leave_out=LEFT_OUT).stale == []
