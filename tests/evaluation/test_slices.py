import numpy as np
import pandas as pd
import pytest
from evaluation.synthetic_rankings import CONFIG, better, noise, rankings_of, table_of

from mmsra_pipeline.evaluation.measuring import measure
from mmsra_pipeline.evaluation.slices import query_parts, slices_table

QUERIES = pd.DataFrame({"user_id": list("abcdef"), "position": 3, "target": ["p", "p", "q", "q", "p", "p"]})
SEQUENCES = pd.DataFrame(
    {
        "user_id": [*"fedcba", "a"],
        "position": [3] * 6 + [1],
        "history": [["x"] * length for length in (30, 19, 9, 4, 3, 1, 2)],
        "timestamp": pd.array([6, 5, 4, 3, 2, 1, 0], dtype="Int64"),
    }
)
TRAINING = pd.DataFrame({"item_id": ["q", "q"]})
IMAGES = pd.DataFrame({"item_id": ["p", "q"], "image_sha256": ["1" * 64, None]})


def test_each_query_is_in_its_parts():
    parts = query_parts(QUERIES, SEQUENCES, TRAINING, IMAGES)
    assert parts["history length"][1].tolist() == ["1-2", "3-4", "3-4", "5-9", "10-19", "20+"]
    assert parts["training count"][1].tolist() == ["0", "0", "1-2", "1-2", "0", "0"]
    assert parts["picture"][1].tolist() == ["with", "with", "without", "without", "with", "with"]
    thirds = ["first third"] * 2 + ["middle third"] * 2 + ["last third"] * 2
    assert parts["time"][1].tolist() == thirds


def test_without_times_all_are_of_an_unknown_one():
    unknown = SEQUENCES.assign(timestamp=pd.array([None] * 7, dtype="Int64"))
    assert set(query_parts(QUERIES, unknown, TRAINING, IMAGES)["time"][1]) == {"unknown"}


def test_the_parts_together_are_the_whole_and_a_good_part_is_seen():
    rankings = rankings_of({"evidence": noise, "mmsrarec": better}, users=30, protocols=("uniform",))
    own = np.array(["with"] * 12 + ["without"] * 18, dtype=object)
    mine = (rankings["row"] == "mmsrarec") & (rankings["user_id"] < "u0012")
    rankings.loc[mine, "score"] = rankings["is_target"] * 9.0
    measured = measure(rankings, CONFIG, 0)
    found = slices_table(measured, {"uniform": {"picture": (["with", "without", "other"], own)}}, 50, 0)
    found = found[found["metric"] == "hr@5"]
    hits = found[(found["row"] == "mmsrarec") & (found["against"] == "")].set_index("part")
    assert hits.loc["with", ["users", "value", "low", "high"]].tolist() == [12, 100, 100, 100]
    whole = table_of(rankings).query("row == 'mmsrarec' and metric == 'hr@5'")["value"].iloc[0]
    assert np.average(hits["value"], weights=hits["users"]) == pytest.approx(whole)
    assert set(hits.index) == {"with", "without"}  # nobody is in the third
    evidence = found[found["row"] == "evidence"].set_index("part")["value"]
    difference = found[found["against"] == "evidence"].set_index("part")
    np.testing.assert_allclose(difference["value"], hits["value"] - evidence)
    assert difference.loc["with", "low"] > 0
