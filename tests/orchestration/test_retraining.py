"""When a retraining is needed, by what an instance and a store tell of small tables."""

import dagster as dg
import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.operation import AutomationConfig
from mmsra_pipeline.defs.automation import ask_for_retraining
from mmsra_pipeline.orchestration.job_names import RETRAIN
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.retraining import pin_what_the_training_saw, retraining_reasons
from mmsra_pipeline.storage.tables import KEPT_VERSIONS

SETTINGS = AutomationConfig(retrain_share=0.25, keyword_drift=0.5)
USERS = 8


def definitions_of(**codes):
    """interactions -> recommender, and the other trainings; of code version 1 but for ``codes``."""

    def asset(name, *deps):
        code = codes.get(name, "1")
        return dg.asset(name=name, deps=deps, partitions_def=datasets, code_version=code)(lambda: None)

    trainings = [asset(name) for name in ("alignment", "summarizer", "user_encoder")]
    return dg.Definitions(assets=[asset("interactions"), asset("recommender", "interactions"), *trainings])


DEFINITIONS = definitions_of()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        opened.add_dynamic_partitions(str(datasets.name), ["shop"])
        yield opened


class World:
    """Materializes tables of one data set."""

    def __init__(self, instance, store):
        self.instance, self.store = instance, store

    def make(self, table, rows, code="1"):
        written = self.store.replace(table, "shop", rows)
        metadata = {"slice": dg.MetadataValue.path(written.path), "dagster/row_count": written.rows}
        tags = {"dagster/data_version": written.version, "dagster/code_version": code}
        event = dg.AssetMaterialization(table, partition="shop", metadata=metadata, tags=tags)
        self.instance.report_runless_asset_event(event)

    def take(self, *items, code="1"):
        rows = [(f"u{user}", item) for user in range(USERS) for item in items]
        self.make(Tables.INTERACTIONS, pd.DataFrame(rows, columns=["user_id", "item_id"], dtype="str"), code)

    def say(self, **keywords):
        self.make(Tables.ITEM_KEYWORDS, pd.DataFrame({"item_id": list(keywords), "keywords": list(keywords.values())}))

    def train(self):
        tags = {"dagster/code_version": "1"}
        for name in ("alignment", "summarizer", "user_encoder", "recommender"):
            self.instance.report_runless_asset_event(dg.AssetMaterialization(name, partition="shop", tags=tags))

    def reasons(self, definitions=DEFINITIONS):
        return retraining_reasons(self.instance, definitions.resolve_asset_graph(), self.store, "shop", SETTINGS, None)

    def tick(self):
        return ask_for_retraining(dg.build_sensor_context(instance=self.instance, definitions=DEFINITIONS))


@pytest.fixture
def world(instance, store):
    prepared = World(instance, store)
    prepared.take("a", "b", "c")
    prepared.say(a=["red"], b=["blue"], c=["green"])
    return prepared


@pytest.fixture
def trained(world):
    world.train()
    return world


def test_before_the_first_training_none_is_due(world):
    assert world.reasons() == []


def test_just_after_a_training_none_is_due(trained):
    assert trained.reasons() == []
    trained.take("a", "b", "c")  # computed again with the same rows
    assert trained.reasons() == []


def test_new_interactions_are_due_from_the_share_on(trained):
    trained.take("a", "b", "c", "d")
    assert trained.reasons() == [
        "25.0% of the interactions came after the recommender was trained (automation.retrain_share is 25.0%)"
    ]
    trained.take("a", "b", "c")
    assert trained.reasons() == []


def test_interactions_in_the_place_of_others_count_as_new(trained):
    trained.take("a", "x", "y")
    assert trained.reasons()[0].startswith("66.7% of the interactions")


def test_other_keywords_of_known_items_are_due_from_the_share_on(trained):
    trained.say(a=["red"], b=["blue"], c=["sea"], d=["new"])
    assert trained.reasons() == []
    trained.say(a=["red"], b=["sky"], c=["sea"], d=["new"])
    assert trained.reasons()[0].startswith("66.7% of the items have other keywords than when the recommender was")


def test_another_training_begins_the_count_anew(trained):
    trained.take("x", "y")
    assert trained.reasons()
    trained.train()
    assert trained.reasons() == []


def test_other_settings_of_a_training_are_due_and_named(trained):
    assert trained.reasons(definitions_of(summarizer="2")) == [
        "summarizer was made with other settings or code: other code"
    ]
    assert trained.reasons(definitions_of(recommender="2"))[0].startswith("recommender was made with other settings")


def test_other_settings_before_a_training_are_due_once_they_have_made_a_difference(trained):
    changed = definitions_of(interactions="2")
    assert trained.reasons(changed) == []
    trained.take("a", "b", "c", code="2")
    assert trained.reasons(changed) == []
    trained.take("a", "b", code="2")
    assert trained.reasons(changed) == ["interactions was made with other settings or code: other code"]


def test_what_the_training_saw_stays_to_be_measured_against_and_no_older_one(trained):
    then = trained.store.current(Tables.INTERACTIONS, "shop").path
    pin_what_the_training_saw(trained.instance, trained.store, "shop")
    for number in range(KEPT_VERSIONS + 2):
        trained.take("a", f"x{number}")
    assert then.exists()
    assert trained.reasons()[0].startswith("50.0%")
    trained.train()
    pin_what_the_training_saw(trained.instance, trained.store, "shop")
    for number in range(KEPT_VERSIONS + 2):
        trained.take("a", f"y{number}")
    assert not then.exists()


def test_where_that_is_gone_the_numbers_of_rows_decide(trained):
    trained.store.current(Tables.INTERACTIONS, "shop").path.unlink()
    trained.take("a", "b", "c", "d", "e", "f")
    assert trained.reasons()[0].startswith("50.0%")


@pytest.fixture
def ticking(trained, monkeypatch, tmp_path):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path))  # whose data folder is the one of the fixture ``store``
    return trained


def test_the_sensor_asks_for_one_run_and_says_why(ticking):
    assert isinstance(ticking.tick(), dg.SkipReason)
    ticking.take("x", "y")
    [request] = ticking.tick().run_requests
    assert request.partition_key == "shop"
    assert request.tags["mmsra/why"].startswith("100.0% of the interactions came after")
    [again] = ticking.tick().run_requests
    assert again.run_key == request.run_key  # so that Dagster starts no second run
    ticking.take("x", "y", "z")
    [later] = ticking.tick().run_requests
    assert later.run_key != request.run_key


def test_the_sensor_waits_for_a_retraining_that_is_under_way(ticking):
    ticking.take("x", "y")
    job = dg.define_asset_job(RETRAIN, partitions_def=datasets)
    resolved = dg.Definitions(assets=definitions_of().assets, jobs=[job]).resolve_job_def(RETRAIN)
    run = ticking.instance.create_run_for_job(
        resolved, tags={"dagster/partition": "shop"}, status=dg.DagsterRunStatus.STARTED
    )
    assert isinstance(ticking.tick(), dg.SkipReason)
    ticking.instance.report_run_canceled(run)
    assert len(ticking.tick().run_requests) == 1
