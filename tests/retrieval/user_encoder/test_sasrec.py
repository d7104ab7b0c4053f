import pytest
import torch
from retrieval.histories import TINY

from mmsra_pipeline.retrieval.user_encoder.model import build_model

HISTORY = torch.tensor([[3, 1, 4, 2, 5]])


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec"])
def test_changing_the_future_moves_nothing_before(kind):
    model = build_model(TINY.model_copy(update={"kind": kind}), 9).eval()
    changed = HISTORY.clone()
    changed[0, 3:] = torch.tensor([7, 8])
    before, after = model(HISTORY), model(changed)
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=0)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec"])
def test_padding_after_the_history_changes_nothing(kind):
    model = build_model(TINY.model_copy(update={"kind": kind}), 9).eval()
    padded = torch.cat([HISTORY, torch.zeros(1, 1, dtype=torch.long)], dim=1)
    torch.testing.assert_close(model(padded)[:, :5], model(HISTORY))


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec"])
def test_every_state_depends_on_the_items_before(kind):
    model = build_model(TINY.model_copy(update={"kind": kind}), 9).eval()
    changed = HISTORY.clone()
    changed[0, 0] = 8
    assert ((model(HISTORY) - model(changed)).abs().amax(dim=2) > 1e-6).all()


def test_the_order_of_a_history_counts():
    model = build_model(TINY.model_copy(update={"layers": 1}), 9).eval()
    swapped = HISTORY[:, [1, 0, 2, 3, 4]]  # without positions one layer of attention sees a set
    assert (model(HISTORY) - model(swapped))[:, 4].abs().max() > 1e-6


def test_the_padding_vector_is_zero_and_stays_so_in_training():
    model = build_model(TINY, 9)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.tensor([[3, 1, 0]])).sum().backward()
    optimizer.step()
    assert model.items.weight[0].abs().max() == 0
