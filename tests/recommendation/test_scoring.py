from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from recommendation import shop, wide_shop
from recommendation.shop import context, images, sequences
from tiny import tiny_backbone

from mmsra_pipeline.backbone.model import open_backbone
from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TEST, USER
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.columns import class_column, signal_column
from mmsra_pipeline.recommendation.queries import queries_of
from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.keyed_cache import KeyedCache

SIGNALS = [*map(signal_column, SLOTS), *map(class_column, SLOTS)]
ROWS = [
    ("uniform", "u1", 4, "bag"),
    ("uniform", "u1", 4, "chair"),
    ("uniform", "u2", 4, "ball"),
    ("popularity", "u1", 4, "bag"),
    ("popularity", "u1", 4, "new"),
]


def candidates() -> pd.DataFrame:
    rows = pd.DataFrame(ROWS, columns=["protocol", USER, POSITION, ITEM])
    return with_signals(rows, queries(), shop.source()).set_axis([9, 7, 5, 3, 1])


def queries() -> pd.DataFrame:
    table = sequences()
    return table[table[SPLIT] == TEST]


def counted(backbone, monkeypatch) -> list[int]:
    asked: list[int] = []
    score = backbone.score_group
    monkeypatch.setattr(backbone, "score_group", lambda p, *a, **kw: asked.append(len(p)) or score(p, *a, **kw))
    return asked


def test_each_row_gets_the_answer_to_its_own_prompt(tmp_path, artifacts):
    backbone, pictures = tiny_backbone(tmp_path), images(artifacts)
    prompts, lists = context(pictures=pictures), candidates()
    found = score_candidates(backbone, queries(), lists, prompts, autocast=False)
    assert found.columns.tolist() == ["logit", "mass", "p"]
    assert found.index.tolist() == [9, 7, 5, 3, 1]
    by_user = {query.user: query for query in queries_of(queries())}
    for place, (_, user, _, item) in zip(found.index, ROWS):
        classes = [lists.loc[place, class_column(slot)] for slot in SLOTS]
        (parts,) = task_prompts.yes_no_prompts(prompts, by_user[user], [item], [classes])
        alone = backbone.score_group([task_prompts.render(parts, pictures)], ("Yes", "No"))
        assert found.loc[place, "logit"] == pytest.approx(float(alone.margin[0]), abs=1e-4)
        assert found.loc[place, "mass"] == pytest.approx(float(alone.mass[0]), abs=1e-4)
    np.testing.assert_allclose(found["p"], 1 / (1 + np.exp(-found["logit"])))
    assert found.loc[9].equals(found.loc[3])
    assert np.ptp(found["logit"]) > 0.01


def test_an_item_in_two_lists_is_scored_once(tmp_path, artifacts, monkeypatch):
    backbone = tiny_backbone(tmp_path)
    asked = counted(backbone, monkeypatch)
    score_candidates(backbone, queries(), candidates(), context(pictures=images(artifacts)), autocast=False)
    assert asked == [3, 1]  # u1: bag, chair, new; u2: ball


def test_a_scoring_that_was_stopped_goes_on(tmp_path, artifacts, monkeypatch):
    backbone, prompts, file = (
        tiny_backbone(tmp_path),
        context(pictures=images(artifacts)),
        tmp_path / "kept" / "s.sqlite",
    )
    whole = score_candidates(backbone, queries(), candidates(), prompts, file, autocast=False)
    with KeyedCache(file) as cache:
        first, second = cache
        assert cache.forget([second]) == 1  # u2's
    asked = counted(backbone, monkeypatch)
    again = score_candidates(backbone, queries(), candidates(), prompts, file, autocast=False)
    assert asked == [1]
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    assert list(KeyedCache(file)) == [first, second]


def test_a_scoring_that_is_cut_off_keeps_the_lists_that_it_finished(tmp_path, artifacts, monkeypatch):
    backbone, prompts, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.sqlite"
    score = backbone.score_group

    def cut_off(asked, *rest, **settings):
        if len(asked) == 1:
            raise KeyboardInterrupt
        return score(asked, *rest, **settings)

    monkeypatch.setattr(backbone, "score_group", cut_off)
    with pytest.raises(KeyboardInterrupt):
        score_candidates(backbone, queries(), candidates(), prompts, file, autocast=False)
    monkeypatch.setattr(backbone, "score_group", score)
    asked = counted(backbone, monkeypatch)
    found = score_candidates(backbone, queries(), candidates(), prompts, file, autocast=False)
    assert asked == [1]
    whole = score_candidates(backbone, queries(), candidates(), prompts, autocast=False)
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


def test_a_damaged_file_costs_the_scoring_alone(tmp_path, artifacts, monkeypatch):
    backbone, prompts, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.sqlite"
    whole = score_candidates(backbone, queries(), candidates(), prompts, file, autocast=False)
    file.write_text('["key", [[0.1, 0.2]]]\n' * 20)
    asked = counted(backbone, monkeypatch)
    again = score_candidates(backbone, queries(), candidates(), prompts, file, autocast=False)
    assert asked == [3, 1]
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    assert len(KeyedCache(file)) == 2


@pytest.mark.parametrize("what", ["words", "classes"])
def test_only_lists_whose_prompts_changed_are_scored_again(tmp_path, artifacts, monkeypatch, what):
    backbone, prompts, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.sqlite"
    lists = candidates()
    score_candidates(backbone, queries(), lists, prompts, file, autocast=False)
    asked = counted(backbone, monkeypatch)
    if what == "words":
        prompts = replace(prompts, text={**prompts.text, "ball": "a ball of glass"})  # a candidate of u2 alone
    else:
        lists.loc[1, class_column("sequence")] = 9  # of the last candidate of u1, of which nothing was known
    found = score_candidates(backbone, queries(), lists, prompts, file, autocast=False)
    assert asked == [1 if what == "words" else 3]
    fresh = score_candidates(backbone, queries(), lists, prompts, autocast=False)
    pd.testing.assert_frame_equal(found, fresh, check_exact=True)
    assert len(KeyedCache(file)) == 2  # what nobody asks for any more is forgotten


def test_a_class_that_prompts_do_not_say_changes_no_score(tmp_path, artifacts, monkeypatch):
    backbone, prompts, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.sqlite"
    lists = candidates()
    score_candidates(backbone, queries(), lists, prompts, file, autocast=False)
    asked = counted(backbone, monkeypatch)
    lists[class_column("taste")] = 3  # prompts of this shop say sequence and popularity
    score_candidates(backbone, queries(), lists, prompts, file, autocast=False)
    assert asked == []


def test_other_pictures_weights_and_arithmetic_are_scored_again(tmp_path, artifacts, monkeypatch):
    backbone, pictures, file = tiny_backbone(tmp_path), images(artifacts), tmp_path / "s.sqlite"
    prompts, lists = context(pictures=pictures), candidates()
    score_candidates(backbone, queries(), lists, prompts, file, autocast=False)
    asked = counted(backbone, monkeypatch)
    score_candidates(backbone, queries(), lists, prompts, file, autocast=False)
    assert asked == []
    score_candidates(backbone, queries(), lists, prompts, file, autocast=True)
    assert asked == [3, 1]
    monkeypatch.setattr(backbone, "fingerprint", "others")
    score_candidates(backbone, queries(), lists, prompts, file, autocast=True)
    assert asked == [3, 1] * 2
    monkeypatch.setattr(pictures, "image_hash", lambda item: "another" if item == "bag" else "as before")
    score_candidates(backbone, queries(), lists, prompts, file, autocast=True)
    pictures.image_hash = lambda item: "as before"
    asked.clear()
    score_candidates(backbone, queries(), lists, prompts, file, autocast=True)
    assert asked == [3]  # u1's list has the bag


def test_weights_are_read_only_where_a_list_is_scored(tmp_path, artifacts):
    backbone, prompts, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.sqlite"
    first = score_candidates(backbone, queries(), candidates(), prompts, file, autocast=True)
    unread = open_backbone(backbone.config, Artifacts(tmp_path))
    assert score_candidates(unread, queries(), candidates(), prompts, file, autocast=True).equals(first)
    assert "model" not in vars(unread)
    score_candidates(unread, queries(), candidates(), prompts, autocast=True)
    assert "model" in vars(unread)


def test_candidates_without_a_query_are_refused(tmp_path):
    stray = candidates().assign(**{POSITION: 2})
    missing = r"2 of 2 lists of candidates have no query \(first: user_id='u1', position=2\)"
    with pytest.raises(DataError, match=missing):
        score_candidates(tiny_backbone(tmp_path), queries(), stray, context(), autocast=False)
    with pytest.raises(DataError, match=missing):
        with_signals(stray[[USER, POSITION, ITEM]], queries(), shop.source())


def test_signals_come_to_their_rows_whatever_list_a_candidate_stands_in():
    rows = wide_shop.sequences()
    asked = rows[rows[SPLIT] == TEST].iloc[:6]
    generator = np.random.default_rng(0)
    lists = pd.DataFrame(
        [
            (protocol, user, position, item)
            for protocol in ("uniform", "popularity", "served")
            for user, position in zip(asked[USER], asked[POSITION])
            for item in generator.choice(wide_shop.ITEMS, 7, replace=False)
        ],
        columns=["protocol", USER, POSITION, ITEM],
    ).sample(frac=1, random_state=1)
    found = with_signals(lists, asked, wide_shop.source())
    assert found[lists.columns].to_numpy().tolist() == lists.to_numpy().tolist()
    assert found.columns.tolist() == [*lists.columns, *SIGNALS]
    spread = found.groupby([USER, POSITION, ITEM])[SIGNALS].agg(lambda values: values.nunique(dropna=False))
    assert len(spread) < len(found)  # some stand in several lists
    assert (spread == 1).all(axis=None)
    alone = pd.concat([with_signals(lists.iloc[[row]], asked, wide_shop.source()) for row in range(0, len(lists), 9)])
    pd.testing.assert_frame_equal(alone.reset_index(drop=True), found.iloc[::9].reset_index(drop=True))
    for query in queries_of(asked):
        own = found[found[USER] == query.user]
        (signals,) = wide_shop.source().of([query], [own[ITEM].tolist()], training=False)
        np.testing.assert_array_equal(own[SIGNALS[: len(SLOTS)]], signals.raw)
        np.testing.assert_array_equal(own[SIGNALS[len(SLOTS) :]], signals.classes)


def test_no_candidates_get_no_signals():
    none = with_signals(candidates().iloc[:0][[USER, POSITION, ITEM]], queries(), shop.source())
    assert len(none) == 0
    assert set(SIGNALS) <= set(none.columns)
