import numpy as np
import pandas as pd
import pytest
from retrieval.histories import interactions_of, sequences_of

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.user_encoder.windows import cut, shuffled_batches, training_sequences

HISTORIES = {"u": ["a", "b", "c", "d", "e"], "v": ["c", "a"]}


def windows_of(histories, max_length, seed=0):
    """The windows of one epoch, as item ids."""
    training = training_sequences(sequences_of(interactions_of(histories)))
    windows = training.windows(max_length, np.random.default_rng(seed))
    return [[training.items[code - 1] for code in row if code] for row in windows]


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", range(1, 12))
def test_wherever_it_is_cut_each_position_but_the_first_is_a_target_exactly_once(size, shift):
    codes = np.arange(1, size + 1)
    # between two others, so that a window that reaches into a neighbour shows
    windows = cut(np.concatenate([[91, 92], codes, [93, 94]]), np.array([2, size, 2]), 3, np.array([0, shift, 0]))
    own = [row[row > 0].tolist() for row in windows if row[0] < 91]
    assert sorted(code for row in own for code in row[1:]) == codes[1:].tolist()
    assert all(row == list(range(row[0], row[0] + len(row))) for row in own)
    assert [row[row > 0].tolist() for row in windows if row[0] > 90] == [[91, 92], [93, 94]]
    assert windows.shape[1] == 4


def test_a_sequence_that_fits_one_window_is_never_cut():
    for seed in range(20):
        assert sorted(windows_of(HISTORIES, 4, seed)) == [["a", "b", "c", "d", "e"], ["c", "a"]]


def test_a_longer_one_is_cut_elsewhere_in_other_epochs():
    cuts = {str(sorted(windows_of(HISTORIES, 2, seed))) for seed in range(20)}
    assert cuts == {
        str([["a", "b", "c"], ["c", "a"], ["c", "d", "e"]]),
        str([["a", "b"], ["b", "c", "d"], ["c", "a"], ["d", "e"]]),
    }


def test_a_stretch_of_the_interactions_is_the_same_sequence():
    interactions = interactions_of({**HISTORIES, "w": ["f", "b", "a"]})
    sequences = sequences_of(interactions)
    sequences = sequences[(sequences["position"] >= 3) | (sequences["user_id"] != "u")]
    sliced = sequences.drop(columns="history").assign(history_start=0)
    histories = Histories.of(interactions)
    for items in (None, ["z", *"fedcba"]):
        expected, found = training_sequences(sequences, items), training_sequences(sliced, items, histories)
        assert found.items == expected.items
        np.testing.assert_array_equal(found.codes, expected.codes)
        np.testing.assert_array_equal(found.sizes, expected.sizes)
    apart = sliced[(sliced["user_id"] != "w") | (sliced["position"] == 1)]
    apart = pd.concat([apart, apart[apart["user_id"] == "u"].assign(position=1).iloc[:1]])  # 1, 3, 4
    with pytest.raises(ValueError, match="do not follow one another"):
        training_sequences(apart, None, histories)


def test_a_sequence_is_the_first_history_and_the_targets_in_order_of_position():
    sequences = sequences_of(interactions_of(HISTORIES))
    sequences = sequences[(sequences["position"] >= 3) | (sequences["user_id"] == "v")].iloc[::-1]
    training = training_sequences(sequences)
    assert [training.items[code - 1] for code in training.codes] == ["a", "b", "c", "d", "e", "c", "a"]
    assert training.sizes.tolist() == [5, 2]
    assert training.targets == 5


def test_held_out_rows_are_not_trained_on():
    sequences = sequences_of(interactions_of(HISTORIES))
    sequences.loc[(sequences["user_id"] == "u") & (sequences["position"] >= 3), "split"] = "test"
    training = training_sequences(sequences)
    assert training.items == ["a", "b", "c"]
    assert training.windows(10, np.random.default_rng(0))[:, :4].tolist() == [[1, 2, 3, 0], [3, 1, 0, 0]]


def test_no_training_row_is_an_error_that_says_what_to_change():
    sequences = sequences_of(interactions_of(HISTORIES), split="test")
    with pytest.raises(DataError, match=r"none of the 5 rows of `sequences` is for training.*interactions.user_core"):
        training_sequences(sequences)


def test_batches_hold_every_window_once_and_windows_of_like_length():
    lengths = np.tile([2, 50], 64)
    batches = list(shuffled_batches(lengths, 8, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches)) == list(range(128))
    assert all(len(set(lengths[batch])) == 1 for batch in batches)
    assert [lengths[batch][0] for batch in batches] != sorted(lengths[batch][0] for batch in batches)


def test_codes_follow_the_items_that_are_named():
    sequences = sequences_of(interactions_of(HISTORIES))
    items = ["e", "x", "d", "c", "b", "a"]
    training = training_sequences(sequences, items)
    assert training.items == items
    assert [items[code - 1] for code in training.codes] == ["a", "b", "c", "d", "e", "c", "a"]
    assert training.sizes.tolist() == [5, 2]
    with pytest.raises(ValueError, match="2 items of the training rows are not among the 5 that were named"):
        training_sequences(sequences, items[:5])
