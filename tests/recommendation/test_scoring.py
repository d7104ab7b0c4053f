from dataclasses import replace

import pandas as pd
import pytest
from recommendation.shop import context, images, sequences
from tiny import tiny_backbone

from mmsra_pipeline.artifacts import Artifacts
from mmsra_pipeline.backbone.model import open_backbone
from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TEST, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation import prompts
from mmsra_pipeline.recommendation.context import queries_of
from mmsra_pipeline.recommendation.scoring import score_candidates

ROWS = [
    ("uniform", "u1", 4, "bag"),
    ("uniform", "u1", 4, "chair"),
    ("uniform", "u2", 4, "ball"),
    ("popularity", "u1", 4, "bag"),
    ("popularity", "u1", 4, "new"),
]


def candidates() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["protocol", USER, POSITION, ITEM], index=[9, 7, 5, 3, 1])


def queries() -> pd.DataFrame:
    table = sequences()
    return table[table[SPLIT] == TEST]


def counted(backbone, monkeypatch) -> list[int]:
    asked: list[int] = []
    score = backbone.first_token_scores
    monkeypatch.setattr(backbone, "first_token_scores", lambda p, **kw: asked.append(len(p)) or score(p, **kw))
    return asked


def test_each_row_gets_the_p_of_its_own_prompt(tmp_path, artifacts):
    backbone, pictures = tiny_backbone(tmp_path), images(artifacts)
    shop = context(pictures=pictures)
    found = score_candidates(backbone, queries(), candidates(), shop, autocast=False)
    assert found.index.tolist() == [9, 7, 5, 3, 1]
    by_user = {query.user: query for query in queries_of(queries())}
    for (_, user, _, item), p in zip(ROWS, found):
        prompt = prompts.render(prompts.yes_no_prompt(shop, by_user[user], item), pictures)
        assert p == pytest.approx(float(backbone.first_token_scores([prompt])[0]), abs=1e-4)
    assert found[9] == found[3]


def test_an_item_in_two_lists_is_scored_once(tmp_path, artifacts, monkeypatch):
    backbone = tiny_backbone(tmp_path)
    asked = counted(backbone, monkeypatch)
    score_candidates(backbone, queries(), candidates(), context(pictures=images(artifacts)), autocast=False)
    assert asked == [3, 1]  # u1: bag, chair, new; u2: ball


def test_a_scoring_that_was_stopped_goes_on(tmp_path, artifacts, monkeypatch):
    backbone, shop, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "kept" / "s.jsonl"
    whole = score_candidates(backbone, queries(), candidates(), shop, file, autocast=False)
    first, second = file.read_text().splitlines()
    file.write_text(f"{first}\n{second[:7]}")  # u2's line is torn
    asked = counted(backbone, monkeypatch)
    again = score_candidates(backbone, queries(), candidates(), shop, file, autocast=False)
    assert asked == [1]
    assert again.tolist() == whole.tolist()
    assert file.read_text().splitlines() == [first, second]


def test_only_lists_whose_prompts_changed_are_scored_again(tmp_path, artifacts, monkeypatch):
    backbone, shop, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.jsonl"
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=False)
    asked = counted(backbone, monkeypatch)
    changed = replace(shop, text={**shop.text, "ball": "a ball of glass"})  # a candidate of u2 alone
    found = score_candidates(backbone, queries(), candidates(), changed, file, autocast=False)
    assert asked == [1]
    assert found.tolist() == score_candidates(backbone, queries(), candidates(), changed, autocast=False).tolist()
    assert len(file.read_text().splitlines()) == 2  # what nobody asks for any more is forgotten


def test_other_pictures_weights_and_arithmetic_are_scored_again(tmp_path, artifacts, monkeypatch):
    backbone, pictures, file = tiny_backbone(tmp_path), images(artifacts), tmp_path / "s.jsonl"
    shop = context(pictures=pictures)
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=False)
    asked = counted(backbone, monkeypatch)
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=False)
    assert asked == []
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=True)
    assert asked == [3, 1]
    monkeypatch.setattr(backbone, "fingerprint", "others")
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=True)
    assert asked == [3, 1] * 2
    monkeypatch.setattr(pictures, "image_hash", lambda item: "another" if item == "bag" else "as before")
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=True)
    pictures.image_hash = lambda item: "as before"
    asked.clear()
    score_candidates(backbone, queries(), candidates(), shop, file, autocast=True)
    assert asked == [3]  # u1's list has the bag


def test_weights_are_read_only_where_a_list_is_scored(tmp_path, artifacts):
    backbone, shop, file = tiny_backbone(tmp_path), context(pictures=images(artifacts)), tmp_path / "s.jsonl"
    first = score_candidates(backbone, queries(), candidates(), shop, file, autocast=True)
    unread = open_backbone(backbone.config, Artifacts(tmp_path))
    assert score_candidates(unread, queries(), candidates(), shop, file, autocast=True).equals(first)
    assert "model" not in vars(unread)
    score_candidates(unread, queries(), candidates(), shop, autocast=True)
    assert "model" in vars(unread)


def test_candidates_without_a_query_are_refused(tmp_path):
    stray = candidates().assign(**{POSITION: 2})
    with pytest.raises(
        DataError, match=r"2 of 2 lists of candidates have no query \(first: user_id='u1', position=2\)"
    ):
        score_candidates(tiny_backbone(tmp_path), queries(), stray, context(), autocast=False)
