import pandas as pd
from recommendation.shop import WORDS, context, images, item_text, sequences
from tiny import tiny_backbone

from mmsra_pipeline.columns import ITEM, POSITION, RANK, SERVE, SPLIT, USER
from mmsra_pipeline.recommendation.recommendations import recommend
from mmsra_pipeline.recommendation.scoring import score_candidates


def test_lists_are_ordered_by_p_and_say_why(tmp_path, artifacts):
    backbone, shop = tiny_backbone(tmp_path), context(pictures=images(artifacts))
    table = sequences()
    queries = table[(table[SPLIT] == SERVE) & table[USER].isin(["u1", "u2"])]
    rows = [
        ("u1", 5, "shirt", 1),
        ("u1", 5, "chair", 2),
        ("u1", 5, "new", 3),
        ("u2", 5, "bag", 1),
        ("u2", 5, "chair", 2),
    ]
    candidates = pd.DataFrame(rows, columns=[USER, POSITION, ITEM, RANK])
    found = recommend(backbone, queries, candidates, shop, item_text(), top_n=2, autocast=False)
    assert found.columns.tolist() == [USER, RANK, ITEM, "title", "p", "first_stage_rank", "shared_keywords"]
    assert found[[USER, RANK]].to_numpy().tolist() == [["u1", 1], ["u1", 2], ["u2", 1], ["u2", 2]]
    p = candidates.assign(p=score_candidates(backbone, queries, candidates, shop, autocast=False))
    for user, group in found.groupby(USER):
        best = p[p[USER] == user].sort_values("p", ascending=False).head(2)
        assert group[ITEM].tolist() == best[ITEM].tolist()
        assert group["p"].tolist() == best["p"].tolist()
        assert group["first_stage_rank"].tolist() == best[RANK].tolist()
    bag = found[found[ITEM] == "bag"].iloc[0]
    assert bag["title"] == "The bag"
    assert bag["shared_keywords"] == ["gift"]  # of u2's mug; leather and bag are in no item of u2
    assert "gift" in WORDS["mug"]


def test_equal_p_are_ordered_by_the_first_stage(tmp_path):
    backbone = tiny_backbone(tmp_path)
    shop = context(candidate_text=False, candidate_image=False, usual_keywords=0, context="none")
    table = sequences()
    queries = table[(table[SPLIT] == SERVE) & (table[USER] == "u1")]
    # Items that nobody knows have the same prompt and hence the same p.
    rows = [("u1", 5, "x1", 2), ("u1", 5, "x2", 1), ("u1", 5, "x0", 3)]
    candidates = pd.DataFrame(rows, columns=[USER, POSITION, ITEM, RANK])
    assert recommend(backbone, queries, candidates, shop, item_text(), top_n=3, autocast=False)[ITEM].tolist() == [
        "x2",
        "x1",
        "x0",
    ]
