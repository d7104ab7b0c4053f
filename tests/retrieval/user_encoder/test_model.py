import numpy as np
import pytest
import torch
from retrieval.histories import TINY, random_encoder

from mmsra_pipeline.config.tree import EncoderConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder

ITEMS = ["a", "b", "c", "d"]
HISTORIES = [["a"], ["a", "b", "c"], ["d", "a"], ["a"]]


def test_vectors_come_in_the_order_of_the_histories_whatever_their_lengths():
    encoder = random_encoder(ITEMS)
    together = encoder.embed(HISTORIES)
    for row, history in enumerate(HISTORIES):
        np.testing.assert_allclose(together[row], encoder.embed([history])[0], atol=1e-6)
    assert together.shape == (4, 8)
    assert together.dtype == np.float32


def test_equal_histories_have_equal_vectors_bit_by_bit():
    together = random_encoder(ITEMS).embed(HISTORIES)
    assert (together[0] == together[3]).all()
    assert not np.allclose(together[0], together[2])


def test_only_the_last_items_of_a_long_history_count():
    encoder = random_encoder(ITEMS)
    long = ["d", "c", *(["a", "b"] * 3)]
    assert (encoder.embed([long]) == encoder.embed([long[-TINY.max_length :]])).all()


def test_unknown_items_are_passed_over_and_a_history_of_none_is_the_zero_vector():
    encoder = random_encoder(ITEMS)
    with_unknown, without, nothing, empty = encoder.embed([["a", "?", "b"], ["a", "b"], ["?"], []])
    assert (with_unknown == without).all()
    assert (nothing == 0).all()
    assert (empty == 0).all()


def test_an_empty_history_and_no_history_at_all_are_no_obstacle():
    encoder = random_encoder(ITEMS)
    assert (encoder.embed([[]]) == np.zeros((1, 8))).all()
    assert encoder.embed([]).shape == (0, 8)
    assert encoder.score([], []) == []
    assert (encoder.score_all([[]]) == 0).all()


def test_histories_are_read_as_tables_give_them():
    encoder = random_encoder(ITEMS)
    lists = [["a", "?", "b"], [], ["d"]]
    arrays = [np.array(history, dtype=object) for history in lists]
    assert (encoder.embed(arrays) == encoder.embed(lists)).all()


def test_where_all_item_vectors_are_equal_all_scores_are():
    encoder = random_encoder(ITEMS)
    with torch.no_grad():
        encoder.model.items.weight[1:] = 0.3
    scores = encoder.score_all([["a"], ["a", "b", "c"]])
    assert np.isfinite(scores).all()
    assert (scores == scores[:, :1]).all()
    assert (encoder.embed([["a"]]) == encoder.embed([["d"]])).all()


def test_scores_are_products_of_history_and_item_vectors():
    encoder = random_encoder(ITEMS)
    vectors = encoder.model.items.weight.detach().numpy()[1:]
    expected = encoder.embed([["a", "b"]])[0] @ vectors.T
    np.testing.assert_allclose(encoder.score_all([["a", "b"]])[0], expected, atol=1e-6)
    (scores,) = encoder.score([["a", "b"]], [["d", "a"]])
    np.testing.assert_allclose(scores, expected[[3, 0]], atol=1e-6)


def test_lists_of_candidates_may_be_of_any_length_and_number():
    encoder = random_encoder(ITEMS)
    histories = [["a"], ["b"], ["a", "c"]] * 200  # more than are embedded at once
    candidates = [["a", "b"], [], ["d"]] * 200
    scores = encoder.score(histories, candidates)
    assert [len(row) for row in scores] == [2, 0, 1] * 200
    assert (scores[-1] == scores[2]).all()


def test_unknown_candidates_score_behind_all_known_items():
    encoder = random_encoder(ITEMS)
    (scores,) = encoder.score([["a"]], [["?", *ITEMS, "!"]])
    assert scores[0] == scores[5]
    assert scores[0] == pytest.approx(scores[1:5].min() - 1)


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec"])
def test_a_saved_encoder_is_read_back_with_the_same_vectors_and_without_pickle(tmp_path, kind):
    encoder = random_encoder(["a", "ä", "c"], TINY.model_copy(update={"kind": kind}))
    encoder.save(tmp_path / "saved")
    loaded = UserEncoder.load(tmp_path / "saved")
    assert loaded.items == ["a", "ä", "c"]
    assert (loaded.embed([["ä", "c"]]) == encoder.embed([["ä", "c"]])).all()
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["encoder.json", "model.safetensors"]


def test_a_missing_file_is_named(tmp_path):
    random_encoder(ITEMS).save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingInputError, match=r"model.safetensors is missing. Materialize the asset 'user_encoder'"):
        UserEncoder.load(tmp_path)


def test_heads_that_cannot_share_the_dimensions_are_refused():
    with pytest.raises(ValueError, match="dim=10 is not a multiple of heads=4"):
        EncoderConfig(dim=10, heads=4)
