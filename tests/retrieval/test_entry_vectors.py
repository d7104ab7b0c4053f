import numpy as np
import pandas as pd
import pytest
from retrieval.histories import TINY, random_encoder

from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval import entry_vectors
from mmsra_pipeline.retrieval.entry_vectors import vectors_by_user

ITEMS = [f"i{number}" for number in range(30)]
SIZES = [1, 9, 3, 6, 7, 2, 12]


def moments(limit: int) -> tuple[pd.DataFrame, Histories]:
    """Every moment of users of different activity; histories of ``limit`` items at most."""
    generator = np.random.default_rng(2)
    users = [f"u{number}" for number in range(len(SIZES))]
    codes = generator.integers(0, len(ITEMS), sum(SIZES)).astype(np.int32)
    rows = [(user, at, max(at - limit, 0)) for user, size in zip(users, SIZES) for at in range(1, size + 1)]
    frame = pd.DataFrame(rows, columns=["user_id", "position", "history_start"])
    return frame, Histories(users, ITEMS, codes, np.array(SIZES))


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec"])
@pytest.mark.parametrize("limit", [4, 6, 20])
def test_vectors_are_those_of_each_history_alone_where_parts_split(kind, limit, monkeypatch):
    monkeypatch.setattr(entry_vectors, "ROWS_TOGETHER", 5)
    rows, histories = moments(limit)
    rows = rows[(rows["user_id"] != "u3") | (rows["position"] % 2 == 0)].reset_index(drop=True)
    encoder = random_encoder(ITEMS[:-3], TINY.model_copy(update={"kind": kind}))  # three items it does not know
    found = np.full((len(rows), TINY.dim), np.nan, dtype=np.float32)
    parts = 0
    for place, vectors in vectors_by_user(encoder, rows, histories):
        found[place], parts = vectors, parts + 1
    assert parts > 3
    np.testing.assert_allclose(found, encoder.embed(histories.lists(rows)), atol=1e-5)
