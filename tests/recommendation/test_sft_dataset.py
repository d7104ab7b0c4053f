import pandas as pd
import pytest
from recommendation.shop import DAY, EVENTS, context, index, item_text, keywords, sequences, similar_users, training

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SPLIT, TARGET, TRAIN, USER
from mmsra_pipeline.config import RecommendationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation import prompts
from mmsra_pipeline.recommendation.context import queries_of
from mmsra_pipeline.recommendation.sft_dataset import build_sft_dataset, training_queries

CONFIG = RecommendationConfig(examples=40, min_history=1)


def dataset(config: RecommendationConfig = CONFIG, seed: int = 0) -> pd.DataFrame:
    return build_sft_dataset(sequences(), training(), keywords(), item_text(), similar_users(), index(), config, seed)


def asked_queries(table: pd.DataFrame) -> dict[tuple[str, int], str]:
    rows = sequences().query(f"{SPLIT} == '{TRAIN}'")
    targets = {(user, position): target for user, position, target in rows[[USER, POSITION, TARGET]].to_numpy()}
    of_user = table[table[USER].notna()]
    return {
        (user, int(position)): targets[user, int(position)] for user, position in zip(of_user[USER], of_user[POSITION])
    }


def test_tasks_have_their_shares():
    assert dataset()["task"].value_counts().to_dict() == {
        "yes_no": 28, "choose": 4, "next_keywords": 4, "item_keywords": 4,
    }  # fmt: skip


def test_half_of_the_yes_no_answers_are_yes():
    answers = dataset().query("task == 'yes_no'")["answer"]
    assert answers.value_counts().to_dict() == {"Yes": 14, "No": 14}


def test_no_held_out_position_is_asked_about():
    # In the shop positions 1 and 2 of the five are for training; a held-out one raises KeyError in asked_queries.
    assert {position for _, position in asked_queries(dataset())} <= {1, 2}


def test_positives_are_what_the_user_took_at_that_position():
    table = dataset()
    asked = asked_queries(table)
    positive = table[(table["answer"] == "Yes") | table["task"].isin(["choose", "next_keywords"])]
    assert len(positive) == 22
    for user, position, item in positive[[USER, POSITION, ITEM]].to_numpy():
        assert item == asked[user, position]


def test_negatives_were_never_taken_in_any_split():
    negative = dataset().query("answer == 'No'")
    for user, item in negative[[USER, ITEM]].to_numpy():
        assert item not in {taken for _, taken in EVENTS[user]}


def test_prompts_show_the_history_before_the_position_and_nothing_after():
    table = dataset()
    rows = sequences().query(f"{SPLIT} == '{TRAIN}'").reset_index(drop=True)
    shown = {(query.user, query.position): prompts.user_part(context(), query) for query in queries_of(rows)}
    assert shown["u1", 2].splitlines()[1:3] == ["1. red, mug, gift", "2. tea, pot"]
    for row in table[table[USER].notna()].itertuples():
        first = prompts.from_json(row.prompt)[0]
        assert first.startswith(shown[row.user_id, row.position] + "\n")
        history_lines = [line for line in first.splitlines() if line[:2] in {"1.", "2.", "3."}]
        assert len(history_lines) == row.position


def test_the_letter_of_a_choice_names_what_came_next():
    for row in dataset().query("task == 'choose'").itertuples():
        text = "".join(part for part in prompts.from_json(row.prompt) if isinstance(part, str))
        assert f"\n{row.answer}. The {row.item_id}. For the home." in text


def test_the_same_seed_gives_the_same_examples_and_another_one_others():
    pd.testing.assert_frame_equal(dataset(seed=3), dataset(seed=3))
    assert not dataset(seed=3)["prompt"].equals(dataset(seed=4)["prompt"])


def test_row_order_of_the_inputs_changes_nothing():
    shuffled = build_sft_dataset(
        sequences().iloc[::-1], training(), keywords(), item_text(), similar_users(), index(), CONFIG, 0
    )
    pd.testing.assert_frame_equal(shuffled, dataset())


def test_queries_are_training_rows_and_short_histories_come_last():
    config = RecommendationConfig(
        examples=4, min_history=2, tasks={"choose": 0, "next_keywords": 0, "item_keywords": 0}
    )
    found = training_queries(sequences(), config, 0)
    assert len(found) == 2
    assert set(found[SPLIT]) == {TRAIN}
    assert found[HISTORY].map(len).tolist() == [2, 2]
    more = training_queries(sequences(), config.model_copy(update={"examples": 100}), 0)
    assert len(more) == 8  # all there are


def test_the_earliest_positions_come_last():
    config = RecommendationConfig(
        examples=8, min_history=1, early_share=0.6, tasks={"choose": 0, "next_keywords": 0, "item_keywords": 0}
    )
    # Training targets by day: u1 2, 3; u2 3, 4; u3 5, 6; u4 2, 3. The four latest are of u2 (4), u3 and one of day 3.
    days = (training_queries(sequences(), config, 0)["timestamp"] // DAY).sort_values().tolist()
    assert days == [3, 4, 5, 6]
    untimed = sequences().assign(timestamp=pd.array([pd.NA] * len(sequences()), dtype="Int64"))
    assert len(training_queries(untimed, config, 0)) == 4


def test_training_users_bound_whose_positions_are_used():
    config = CONFIG.model_copy(update={"training_users": 2})
    assert training_queries(sequences(), config, 0)[USER].nunique() == 2


def test_a_dataset_without_training_rows_is_refused():
    held_out = sequences().query(f"{SPLIT} != '{TRAIN}'")
    with pytest.raises(DataError, match=r"no row of the split 'train'.*Lower `interactions.user_core`"):
        training_queries(held_out, CONFIG, 0)
