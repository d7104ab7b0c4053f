import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from recommendation import shop
from recommendation.shop import WORDS, context, images, item_text, sequences
from tiny import tiny_backbone

from mmsra_pipeline.columns import ITEM, POSITION, RANK, SERVE, SPLIT, USER
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.recommendation import top_n
from mmsra_pipeline.recommendation.fusion import FUSED, FusionModel, feature_names
from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals
from mmsra_pipeline.recommendation.top_n import SCHEMA, lists_in_parts, recommend, shared_keywords
from mmsra_pipeline.storage.table_writer import as_table

ROWS = [
    ("u1", 5, "shirt", 1),
    ("u1", 5, "chair", 2),
    ("u1", 5, "new", 3),
    ("u2", 5, "bag", 1),
    ("u2", 5, "chair", 2),
]


def fusion(**weights: float) -> FusionModel:
    features = feature_names(FUSED)
    return FusionModel(
        FUSED, features, tuple(weights.get(name, 0.0) for name in features), 2.0, 0.7, -1.5, calibration="made up"
    )


def asked_for(*users: str) -> pd.DataFrame:
    table = sequences()
    return table[(table[SPLIT] == SERVE) & table[USER].isin(users)]


def candidates(rows=ROWS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[USER, POSITION, ITEM, RANK])


@pytest.mark.parametrize("weights", [{"logit": 1.0}, {"logit": -1.0, "sequence": 0.4}, {"sequence": 1.0}])
def test_lists_are_ordered_by_the_fusion_and_say_why(tmp_path, artifacts, weights):
    backbone, prompts, model = tiny_backbone(tmp_path), context(pictures=images(artifacts)), fusion(**weights)
    queries = asked_for("u1", "u2")
    found = recommend(
        backbone, queries, candidates(), shop.source(), model, prompts, item_text(), top_n=2, autocast=False
    )
    assert found.columns.tolist() == [
        USER, RANK, ITEM, "title", "p", "p_model", "first_stage_rank", "shared_keywords", "ranked_by",
    ]  # fmt: skip
    assert found[[USER, RANK]].to_numpy().tolist() == [["u1", 1], ["u1", 2], ["u2", 1], ["u2", 2]]
    scored = with_signals(candidates(), queries, shop.source())
    answers = score_candidates(backbone, queries, scored, prompts, autocast=False)
    scored = scored.assign(logit=answers["logit"], p_model=answers["p"])
    scored["score"] = model.score(scored)
    for user, group in found.groupby(USER):
        best = scored[scored[USER] == user].sort_values("score", ascending=False).head(2)
        assert group[ITEM].tolist() == best[ITEM].tolist()
        assert group["p_model"].tolist() == best["p_model"].tolist()
        np.testing.assert_allclose(group["p"], 1 / (1 + np.exp(1.5 - 0.7 * best["score"])))
        assert group["p"].is_monotonic_decreasing
        assert group["first_stage_rank"].tolist() == best[RANK].tolist()
    if "bag" in found[ITEM].tolist():
        bag = found[found[ITEM] == "bag"].iloc[0]
        assert bag["title"] == "The bag"
        assert bag["shared_keywords"] == ["gift"]  # of u2's mug; leather and bag are in no item of u2
        assert "gift" in WORDS["mug"]


def test_the_best_of_the_model_leads_where_the_fusion_believes_it_alone_and_the_last_where_it_does_not(
    tmp_path, artifacts
):
    backbone, prompts = tiny_backbone(tmp_path), context(pictures=images(artifacts))
    orders = [
        recommend(
            backbone, asked_for("u1"), candidates(ROWS[:3]), shop.source(), fusion(logit=weight), prompts,
            item_text(), 3,
            autocast=False,
        )
        for weight in (1.0, -1.0)
    ]  # fmt: skip
    assert orders[0][ITEM].tolist() == orders[1][ITEM].tolist()[::-1]
    assert orders[0]["p_model"].is_monotonic_decreasing


def test_equal_scores_are_ordered_by_the_first_stage(tmp_path):
    rows = [("u1", 5, "x1", 2), ("u1", 5, "x2", 1), ("u1", 5, "x0", 3), ("u1", 5, "x3", 3)]
    found = recommend(
        tiny_backbone(tmp_path), asked_for("u1"), candidates(rows), shop.source(), fusion(), context(), item_text(), 4,
        autocast=False,
    )  # fmt: skip
    assert found[ITEM].tolist() == ["x2", "x1", "x0", "x3"]


def test_nobody_to_recommend_to_is_an_empty_table(tmp_path):
    found = recommend(
        tiny_backbone(tmp_path), asked_for(), candidates([]), shop.source(), fusion(), context(), item_text(), 4,
        autocast=False,
    )  # fmt: skip
    assert len(found) == 0


HISTORIES = {"u1": ["shirt", "mug"], "u2": ["mug"], "u3": ["chair", "bag"], "u4": [], "u5": ["bag"]}


class Ordering:
    """Stands in for the first stage: the same order for everybody, those taken left out."""

    ORDER = ("bag", "chair", "new", "shirt", "mug")

    def candidates(self, queries, count):
        rows = []
        for user, position, history in zip(queries[USER], queries[POSITION], queries["history"]):
            free = [item for item in self.ORDER if item not in history][:count]
            rows += [(user, position, item, rank) for rank, item in enumerate(free, start=1)]
        return candidates(rows)


def served(asked_users, together, monkeypatch):
    """All lists of two items, and which users were asked about at a time."""
    monkeypatch.setattr(top_n, "USERS_TOGETHER", together)
    interactions = pd.DataFrame([(user, item, at) for user, own in HISTORIES.items() for at, item in enumerate(own)],
                         columns=[USER, ITEM, POSITION])  # fmt: skip
    rows = [(user, SERVE, len(own), 0, None, None) for user, own in HISTORIES.items() if own]
    queries = pd.DataFrame(rows, columns=[USER, SPLIT, POSITION, "history_start", "target", "timestamp"])
    queries[USER] = pd.Categorical(queries[USER])
    calls = []

    def score(part):
        calls.append(part[USER].tolist())
        found = Ordering().candidates(part, 2).assign(p=0.5, p_model=0.25, ranked_by="fusion", title=None)
        found["shared_keywords"] = [[] for _ in range(len(found))]
        return found.rename(columns={RANK: "first_stage_rank"}).assign(rank=found[RANK])[SCHEMA.names]

    asked = queries[USER].isin(asked_users).to_numpy()
    histories = Histories.of(interactions)
    parts = list(lists_in_parts(queries, asked, histories, Ordering(), score, WORDS, item_text(), 2))
    return parts, calls


@pytest.mark.parametrize("together", [1, 2, 3, 100])
def test_who_is_not_asked_about_gets_the_first_stages_order_whatever_parts_there_are(together, monkeypatch):
    parts, calls = served(["u2", "u5"], together, monkeypatch)
    assert [user for call in calls for user in call] == ["u2", "u5"]
    assert len(parts) == -(-4 // together)
    table = pa.concat_tables([as_table(part, SCHEMA) for part in parts]).to_pandas()
    assert table[[USER, RANK]].to_numpy().tolist() == [[user, at] for user in ("u1", "u2", "u3", "u5") for at in (1, 2)]
    asked = table[USER].isin(["u2", "u5"])
    assert table.loc[asked, "ranked_by"].tolist() == ["fusion"] * 4
    others = table[~asked]
    assert others["ranked_by"].tolist() == ["first_stage"] * 4
    assert others[ITEM].tolist() == ["bag", "chair", "new", "shirt"]
    assert others["first_stage_rank"].tolist() == [1, 2, 1, 2]
    assert others[["p", "p_model"]].isna().all().all()
    assert others["title"].tolist()[0] == "The bag"
    shared = [shared_keywords(HISTORIES[user], item, WORDS) for user, item in zip(others[USER], others[ITEM])]
    assert [list(words) for words in others["shared_keywords"]] == shared
    assert any(shared)


def test_all_or_nobody_may_be_asked_about(monkeypatch):
    parts, calls = served(list(HISTORIES), 3, monkeypatch)
    assert calls == [["u1", "u2", "u3"], ["u5"]]
    assert {by for part in parts for by in part["ranked_by"]} == {"fusion"}
    parts, calls = served([], 3, monkeypatch)
    assert calls == []
    assert {by for part in parts for by in part["ranked_by"]} == {"first_stage"}


def test_without_users_the_table_is_empty_and_has_its_columns():
    asked, own = asked_for().drop(columns="history").assign(history_start=0), Histories.of(shop.interactions())
    found = lists_in_parts(asked, np.ones(0, dtype=bool), own, Ordering(), lambda part: part, WORDS, item_text(), 2)
    assert [len(part) for part in found] == [0]
