"""Each asset depends on exactly the settings that it reads; Dagster's status and ours agree on what a change marks."""

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.observe import observe

from mmsra_pipeline.config.loading import merged
from mmsra_pipeline.config.named_options import named_options
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.definitions import defs
from mmsra_pipeline.defs.settings import sources as own_sources
from mmsra_pipeline.orchestration import settings_sources as sources
from mmsra_pipeline.orchestration.materializations import SETTINGS, changed_settings, latest
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.settings_read import READS, dataset_config, json_ready, settings_of
from mmsra_pipeline.orchestration.staleness import _Loading, stale_assets
from mmsra_pipeline.storage.paths import find_paths

EVERY = sources.settings_sources()
NAMES = ("one", "other")
ONE = {"preset": "paper", "settings": {"backbone": {"model": "/tiny/one"}}}
OTHER = {"preset": "small-cpu", "settings": {"backbone": {"model": "/tiny/other"}}}
OTHER_VOTERS = {**ONE, "settings": {**ONE["settings"], "retrieval": {"similar_users": {"voters": 9}}}}


def test_the_sources_of_an_asset_hold_exactly_what_it_reads():
    for asset in READS:
        held = {}
        for key in sources.sources_of(asset):
            held |= sources.values_of(key, Config())
        assert held == json_ready(settings_of(asset, Config())), asset


def test_no_setting_stands_in_two_sources_and_none_is_empty():
    held = [place for key in EVERY for place in sources.values_of(key, Config())]
    assert len(held) == len(set(held))
    assert all(sources.values_of(key, Config()) for key in EVERY)


def test_the_graph_has_these_dependencies():
    graph = defs().resolve_asset_graph()
    for asset in READS:
        found = {key for key in graph.get(dg.AssetKey(asset)).parent_keys if sources.is_settings(key)}
        assert found == set(sources.sources_of(asset)), asset
    for key in EVERY:
        assert graph.get(key).is_observable


def test_what_has_no_effect_changes_no_version():
    other = Config.model_validate({"backbone": {"device": "cpu", "batch_size": 3}})
    assert all(sources.version_of(key, other) == sources.version_of(key, Config()) for key in EVERY)


# ---- two data sets of one root


class World:
    """Two data sets whose assets were all made with the settings that held. Nothing is computed."""

    def __init__(self, instance, paths):
        self.instance, self.paths = instance, paths
        self.definitions = dg.Definitions(assets=[*observed(), *sources.with_settings(pretended(paths))])
        self.graph = self.definitions.resolve_asset_graph()
        self.job = self.definitions.resolve_implicit_global_asset_job_def()
        paths.datasets.mkdir(parents=True)
        instance.add_dynamic_partitions(str(datasets.name), list(NAMES))

    def describe(self, name, **own):
        (self.paths.datasets / f"{name}.yaml").write_text(yaml.safe_dump({"format": "sample", "size": "tiny", **own}))

    def describe_as_materialized(self):
        self.describe("one", **ONE)
        self.describe("other", **OTHER)

    def observe(self):
        for name in NAMES:
            sources.observe_settings(self.instance, name, dataset_config(self.paths, name))

    def make(self, name, *assets):
        self.observe()
        keys = [dg.AssetKey(asset) for asset in assets or READS]
        assert self.job.execute_in_process(instance=self.instance, partition_key=name, asset_selection=keys).success

    def ours(self, name):
        """Return what `mmsra refresh --dry-run` calls surely stale, with the reasons."""
        config = dataset_config(self.paths, name)
        found = stale_assets(
            self.instance,
            self.graph,
            name,
            changes=lambda asset: changed_settings(asset, latest(self.instance, asset, name), config),
        )
        return {entry.asset: entry.reasons for entry in found if entry.certain}

    def dagsters(self, name):
        """Return what the UI calls stale, with the sources that it names."""
        resolver = CachingStaleStatusResolver(self.instance, self.graph, _Loading(self.instance))
        found = {}
        for asset in READS:
            if resolver.get_status(dg.AssetKey(asset), name) != StaleStatus.FRESH:
                causes = resolver.get_stale_causes(dg.AssetKey(asset), name)
                found[asset] = {cause.dependency_asset_key.to_user_string() for cause in causes}
        return found


def observed():
    """The sources, as empty as those that a refresh observes from outside."""
    nothing = dg.DataVersionsByPartition({})
    keys = (dg.AssetKey("source_files"), *EVERY)
    return [dg.observable_source_asset(key=key, partitions_def=datasets)(lambda: nothing) for key in keys]


def pretended(paths):
    """Assets with the names and dependencies of ours; what each makes never changes."""
    graph = defs().resolve_asset_graph()

    def asset(name):
        deps = [key for key in graph.get(dg.AssetKey(name)).parent_keys if not sources.is_settings(key)]

        @dg.asset(name=name, deps=deps, partitions_def=datasets, code_version="1")
        def pretended_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            settings = json_ready(settings_of(name, dataset_config(paths, context.partition_key)))
            return dg.MaterializeResult(data_version=dg.DataVersion("same"), metadata={SETTINGS: settings})

        return pretended_asset

    return [asset(name) for name in READS]


@pytest.fixture(scope="module")
def materialized(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.delenv("MMSRA_CONFIG", raising=False)
        patch.setenv("MMSRA_ROOT", str(tmp_path_factory.mktemp("root")))
        described = World(instance, find_paths())
        described.describe_as_materialized()
        for name in NAMES:
            described.make(name)
        yield described


@pytest.fixture
def world(materialized):
    """Both data sets fresh; afterwards they are described as they were."""
    yield materialized
    materialized.describe_as_materialized()
    materialized.observe()


def test_two_data_sets_with_other_presets_and_backbones_are_both_fresh(world):
    assert dataset_config(world.paths, "one").backbone.model != dataset_config(world.paths, "other").backbone.model
    for name in NAMES:
        assert world.ours(name) == world.dagsters(name) == {}


def test_a_setting_of_similar_users_marks_that_asset_of_that_data_set_alone_in_the_ui_and_in_a_refresh(world):
    before = dataset_config(world.paths, "one").retrieval.similar_users.voters
    world.describe("one", **OTHER_VOTERS)
    world.observe()
    assert world.dagsters("one") == {"similar_users": {"settings/retrieval/similar_users"}}
    assert world.ours("one") == {"similar_users": (f"settings changed: retrieval.similar_users.voters {before} -> 9",)}
    assert world.ours("other") == world.dagsters("other") == {}
    world.make("one", "similar_users")
    assert world.ours("one") == world.dagsters("one") == {}
    world.describe_as_materialized()
    world.make("one", "similar_users")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 7),
        ("recommendation.prompt.history_length", 2),
        ("retrieval.first_stage.cold_items", 0.5),
    ],
)
def test_any_change_marks_the_same_in_the_ui_and_in_a_refresh_and_only_readers(world, path, value):
    world.describe("other", preset="small-cpu", settings=merged(OTHER["settings"], named_options([f"{path}={value}"])))
    world.observe()
    readers = {asset for asset in READS if path in settings_of(asset, dataset_config(world.paths, "other"))}
    assert set(world.ours("other")) == set(world.dagsters("other")) == readers
    assert world.ours("one") == world.dagsters("one") == {}


def test_what_was_made_with_other_settings_is_stale_though_nobody_observed_them(world):
    world.describe("one", **OTHER_VOTERS)
    assert list(world.ours("one")) == ["similar_users"]


def test_observed_by_hand_in_the_ui_they_mark_the_same_and_a_broken_file_is_left_out(world):
    world.describe("one", **OTHER_VOTERS)
    world.describe("other", preset="none")
    wanted = {"settings/retrieval/similar_users", "settings/seed"}
    ours = [source for source in own_sources if source.key.to_user_string() in wanted]
    assert len(ours) == 2
    assert observe(ours, instance=world.instance).success
    assert world.dagsters("one") == {"similar_users": {"settings/retrieval/similar_users"}}
    assert world.dagsters("other") == {}


def test_settings_that_were_changed_and_changed_back_mark_nothing(world):
    world.describe("one", preset="sample")
    world.observe()
    assert world.dagsters("one")
    world.describe_as_materialized()
    world.observe()
    assert world.ours("one") == world.dagsters("one") == {}


def test_what_is_known_is_not_said_again(world):
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(["settings", "seed"]), asset_partitions=["one"])
    before = len(world.instance.fetch_observations(wanted, limit=100).records)
    world.observe()
    assert len(world.instance.fetch_observations(wanted, limit=100).records) == before > 0
