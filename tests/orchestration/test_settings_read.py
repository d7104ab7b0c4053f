import pytest

from mmsra_pipeline.config.operation import OPERATION
from mmsra_pipeline.config.server import GenerationServer
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.settings_read import READS, WITHOUT_EFFECT, _leaves, readable, settings_of

BASE = Config()


def changed(section, **values):
    """A configuration with some settings of a section changed."""
    tree = BASE.model_dump()
    inner = tree
    for name in section.split(".") if section else []:
        inner = inner[name]
    inner.update(values)
    return Config.model_validate(tree)


def affected(config):
    return {asset for asset in READS if settings_of(asset, config) != settings_of(asset, BASE)}


PROMPTING = {"sft_dataset", "fusion", "rankings", "recommendations", "served_quality", "report"}


def test_a_setting_of_similar_users_is_read_by_that_asset_alone_but_for_how_many_are_shown():
    assert affected(changed("retrieval.similar_users", voters=9)) == {"similar_users"}
    assert affected(changed("retrieval.similar_users", k=5)) == {"similar_users"} | PROMPTING


def test_a_setting_of_the_prompt_is_read_by_those_that_make_prompts():
    assert affected(changed("recommendation.prompt", evidence=("taste",))) == PROMPTING
    assert affected(changed("recommendation.prompt", history_length=2)) == PROMPTING


def test_how_many_users_are_scored_is_read_where_they_are_scored():
    assert affected(changed("evaluation", users=7)) == {"rankings"}
    assert affected(changed("evaluation", served_users=7)) == {"served_quality"}
    assert affected(changed("report", cases=7)) == {"report"}
    assert affected(changed("evaluation", validation_users=7)) == {"fusion"}
    assert affected(changed("fusion", regularization=2.0)) == {"fusion"}


def test_how_examples_are_judged_leaves_the_similar_users_as_they_are():
    assert affected(changed("recommendation", validation_lists=3)) == {"training_queries"}
    assert affected(changed("recommendation", objective="pointwise")) == {"sft_dataset", "recommender"}
    assert affected(changed("recommendation", examples=3)) == {"sft_dataset", "training_queries"}


def test_a_setting_of_cooccurrence_is_read_where_it_is_counted_and_its_window_by_those_that_ask_for_it():
    assert affected(changed("retrieval.cooccurrence", window=2)) == (
        {"cooccurrence_neighbors", "first_stage_recall"} | PROMPTING - {"report"}
    )
    for name, value in {"session_hours": 2.0, "neighbors_per_item": 9}.items():
        assert affected(changed("retrieval.cooccurrence", **{name: value})) == {"cooccurrence_neighbors"}
    settings = readable("rankings", BASE).retrieval.cooccurrence
    assert settings.window == BASE.retrieval.cooccurrence.window
    with pytest.raises(LookupError, match=r"'rankings' reads the setting 'retrieval.cooccurrence.session_hours'"):
        settings.session_hours  # noqa: B018  (reading is what is tested)


def test_the_learning_rate_of_the_recommender_makes_nothing_before_it_stale():
    assert affected(changed("recommendation", learning_rate=1.0)) == {"recommender"}


def test_the_device_and_the_batch_of_generation_make_nothing_stale():
    assert affected(changed("backbone", device="cpu", batch_size=3)) == set()


def test_whether_a_server_writes_keywords_counts_and_which_one_does_not():
    served = changed("summarization", server=GenerationServer(url="http://one/v1"))
    assert affected(served) == {"item_keywords"}
    other = changed("summarization", server=GenerationServer(url="http://other/v1", requests=2))
    assert all(settings_of(asset, served) == settings_of(asset, other) for asset in READS)


def test_every_setting_is_read_by_some_asset():
    configs = (
        BASE,
        changed("summarization", server=GenerationServer(url="http://one/v1")),
    )  # without it, it has no parts
    every = {path for config in configs for name in Config.model_fields for path in _leaves(name, config.section(name))}
    read = {path for config in configs for asset in READS for path in settings_of(asset, config)}
    of_operation = {path for name in OPERATION for path in _leaves(name, BASE.section(name))}
    assert every - read == set(WITHOUT_EFFECT) | of_operation


def test_reading_what_is_not_declared_raises_and_says_where_to_declare_it():
    config = readable("metrics", BASE)
    with pytest.raises(
        LookupError, match=r"asset 'metrics' reads the setting 'evaluation.negatives'.*READS\['metrics'\]"
    ):
        config.evaluation.negatives  # noqa: B018  (reading is what is tested)


def test_a_section_that_nothing_of_is_declared_is_refused_as_a_whole():
    with pytest.raises(LookupError, match="'retrieval'"):
        readable("metrics", BASE).retrieval  # noqa: B018


def test_a_declared_section_comes_as_itself_and_a_part_gives_its_values():
    assert readable("similar_users", BASE).retrieval.similar_users is BASE.retrieval.similar_users
    assert readable("metrics", BASE).evaluation.cutoff == BASE.evaluation.cutoff
