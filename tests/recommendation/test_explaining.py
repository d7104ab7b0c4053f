import dataclasses

import numpy as np
import pytest
from recommendation import shop
from recommendation.shop import context, images, sequences
from tiny import tiny_backbone

from mmsra_pipeline.columns import SPLIT, TEST
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.evidence import BLANK
from mmsra_pipeline.recommendation.explaining import COLUMNS, Asked, explain
from mmsra_pipeline.recommendation.queries import queries_of
from mmsra_pipeline.storage.keyed_cache import KeyedCache

SEEN = {"bag": ("bag", "leather"), "chair": ()}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def prompts(artifacts):
    return context(pictures=images(artifacts))


def query(user="u1"):
    table = sequences()
    [found] = [one for one in queries_of(table[table[SPLIT] == TEST]) if one.user == user]
    return found


def explained(backbone, prompts, items=("bag", "chair"), kept=None, seen=SEEN):
    return explain(backbone, [Asked(query(), items)], shop.source(), prompts, seen, kept, autocast=False)


def p_of(backbone, prompts, asked, item, classes, pictures):
    [parts] = task_prompts.yes_no_prompts(prompts, asked, [item], [classes])
    margin = float(backbone.score_group([task_prompts.render(parts, pictures)], ("Yes", "No")).margin[0])
    return 1 / (1 + np.exp(-margin))


def test_each_shown_part_is_left_out_once_for_every_candidate(backbone, prompts):
    found = explained(backbone, prompts)
    assert found.columns.tolist() == COLUMNS
    parts = list(dict.fromkeys(zip(found["part"], found["left_out"])))
    history = [("history item", item) for item in task_prompts.recent_history(prompts, query())]
    assert parts[0] == ("nothing", "")
    assert parts[1 : 1 + len(history)] == history
    assert {part for part, _ in parts[1 + len(history) :]} >= {"evidence", "picture"}
    assert found.groupby(["part", "left_out"])["item_id"].agg(list).map(tuple).unique().tolist() == [("bag", "chair")]
    assert (found.loc[found["part"] == "nothing", "change"] == 0).all()


def test_p_is_what_the_model_says_to_the_prompt_without_that_part(backbone, prompts, artifacts):
    found = explained(backbone, prompts).set_index(["item_id", "part", "left_out"])
    source, pictures = shop.source(), images(artifacts)
    [whole] = source.of([query()], [["bag"]], training=False)
    classes = whole.classes[0].tolist()
    first = query().history[0]
    shorter = dataclasses.replace(query(), history=query().history[1:])
    [without] = source.of([shorter], [["bag"]], training=False)
    expected = {
        ("nothing", ""): p_of(backbone, prompts, query(), "bag", classes, pictures),
        ("history item", first): p_of(backbone, prompts, shorter, "bag", without.classes[0].tolist(), pictures),
        ("evidence", ""): p_of(backbone, prompts, query(), "bag", [BLANK] * len(SLOTS), pictures),
    }
    for (part, left_out), p in expected.items():
        assert found.loc[("bag", part, left_out), "p"] == pytest.approx(p, abs=1e-4)
    words = dataclasses.replace(prompts, keywords={**prompts.keywords, "bag": ("gift",)})
    blind = p_of(backbone, words, query(), "bag", classes, pictures.without(["bag"]))
    assert found.loc[("bag", "picture", ""), "p"] == pytest.approx(blind, abs=1e-4)
    changes = found["p"] - found["p"].groupby("item_id").transform("first")
    np.testing.assert_allclose(found["change"], changes, atol=1e-12)
    assert found["change"].abs().max() > 0.001


def test_a_picture_that_says_nothing_changes_nothing(backbone, prompts):
    found = explained(backbone, prompts, ("new",), seen={"new": ()}).set_index("part")
    assert found.loc["picture", "change"] == 0  # it has no picture, and no keyword of one


def test_what_was_computed_is_not_computed_again(backbone, prompts, tmp_path, monkeypatch):
    kept = tmp_path / "scores.sqlite"
    first = explained(backbone, prompts, kept=kept)
    monkeypatch.setattr(backbone, "score_group", lambda *_, **__: pytest.fail("asked again"))
    assert explained(backbone, prompts, kept=kept).equals(first)
    with KeyedCache(kept) as cache:
        assert len(list(cache)) == len(first) // 2


def test_nobody_is_explained_without_a_case(backbone, prompts):
    assert explain(backbone, [], shop.source(), prompts, {}, autocast=False).columns.tolist() == COLUMNS
