import numpy as np
import pytest
from retrieval.histories import interactions_of, sequences_of

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.retrieval.windows import shuffled_batches, training_windows

HISTORIES = {"u": ["a", "b", "c", "d", "e"], "v": ["c", "a"]}


def test_each_training_position_is_a_target_exactly_once():
    windows = training_windows(sequences_of(interactions_of(HISTORIES)), max_length=2)
    named = [[windows.items[code - 1] for code in row if code] for row in windows.codes]
    assert sorted(named) == [["a", "b", "c"], ["c", "a"], ["c", "d", "e"]]
    assert windows.lengths.tolist() == [len(row) for row in named]


def test_held_out_rows_are_not_trained_on():
    sequences = sequences_of(interactions_of(HISTORIES))
    sequences.loc[(sequences["user_id"] == "u") & (sequences["position"] >= 3), "split"] = "test"
    windows = training_windows(sequences, max_length=10)
    assert windows.items == ["a", "b", "c"]
    assert windows.codes[:, :4].tolist() == [[1, 2, 3, 0], [3, 1, 0, 0]]


def test_no_training_row_is_an_error_that_says_what_to_change():
    sequences = sequences_of(interactions_of(HISTORIES), split="test")
    with pytest.raises(DataError, match=r"none of the 5 rows of `sequences` is for training.*interactions.user_core"):
        training_windows(sequences, max_length=10)


def test_batches_hold_every_window_once_and_windows_of_like_length():
    lengths = np.tile([2, 50], 64)
    batches = list(shuffled_batches(lengths, 8, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches)) == list(range(128))
    assert all(len(set(lengths[batch])) == 1 for batch in batches)
    assert [lengths[batch][0] for batch in batches] != sorted(lengths[batch][0] for batch in batches)
