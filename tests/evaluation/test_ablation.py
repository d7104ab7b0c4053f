import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.config.loading import load_preset, merged
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.evaluation.ablation import ROWS, TABLE_6, ablation, equal_chars
from mmsra_pipeline.evaluation.pairwise import holm


def measured(hits, row="mmsrarec"):
    users = [f"u{number}" for number in range(len(hits))]
    rows = pd.DataFrame({"protocol": "uniform", "row": row, "user_id": users, "position": 3})
    return rows.assign(**{"hr@5": np.array(hits, dtype="float64"), "ndcg@5": 0.5})


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_valid_settings_and_takes_something_from_the_full_model(name):
    full = Config()
    assert Config.model_validate(merged({}, dict(ROWS[name].settings))) != full


def test_table_6_has_the_six_rows_of_the_paper():
    assert list(TABLE_6) == ["raw-text", "no-grpo", "no-similar-users", "gru4rec", "yes-no-only", "no-sft"]
    paper = load_preset("paper")
    for row in TABLE_6.values():
        assert Config.model_validate(merged(paper, dict(row.settings))) != Config.model_validate(paper)


def test_variants_are_compared_by_user_and_corrected_together():
    full = pd.concat([measured([1] * 15 + [0] * 5), measured([1] * 20, "sasrec")])
    found = ablation(full, {"a": measured([1] * 5 + [0] * 15), "b": measured([1] * 14 + [0] * 6)}, 5, 200, 0)
    table = found.table[found.table["metric"] == "hr@5"].set_index("variant")
    assert table["difference"].to_dict() == {"a": -50.0, "b": -5.0}
    assert set(found.table["row"]) == {"mmsrarec"}
    np.testing.assert_allclose(table["p_holm"], holm(table["p_value"].to_numpy()))
    assert table.loc["a", "p_holm"] == pytest.approx(2 * table.loc["a", "p_value"])


def test_a_variant_without_the_users_or_the_metric_is_left_out_and_said():
    other = measured([1, 0]).assign(user_id=["x", "y"])
    found = ablation(measured([1, 0]), {"far": other, "cut": measured([1, 0]).drop(columns="ndcg@5")}, 5, 20, 0)
    assert found.table.empty
    assert found.left_out == {"far": "no test query in common (2 users)", "cut": "ndcg@5 was not measured by user"}


def test_texts_are_cut_to_as_many_tokens_as_the_shown_keywords():
    words = pd.DataFrame({"item_id": ["a", "b", "c"], "keywords": [["red", "mug", "tea"], ["hat"], []]})
    texts = pd.DataFrame({"item_id": ["a", "b", "c"], "text": ["one two four six ten", "cap big", "x" * 99]})
    # with two keywords "red, mug" and "hat": 4 tokens; at 7 characters "one two" and "cap big" have 4
    assert equal_chars(words, texts, 2) == 7
    assert equal_chars(words.head(0), texts, 2) == 1
