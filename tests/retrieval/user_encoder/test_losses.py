import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmsra_pipeline.config.tree import EncoderConfig
from mmsra_pipeline.retrieval.user_encoder.losses import (
    catalogue_loss,
    effective_loss,
    next_item_loss,
    positive_weight,
    sampled_loss,
)

WINDOWS = torch.tensor([[1, 2, 3, 6], [4, 4, 0, 0], [5, 1, 2, 0]])


def problem(dtype=torch.float64, scale=1.0):
    """Hidden states of ``WINDOWS``, and vectors of six items after that of padding."""
    generator = torch.Generator().manual_seed(0)
    hidden = scale * torch.randn(3, 3, 4, generator=generator, dtype=dtype)
    items = torch.randn(7, 4, generator=generator, dtype=dtype)
    return hidden.requires_grad_(), items.requires_grad_()


def by_torch(hidden, items):
    """Cross-entropy of the six real positions over the six items, padding left out."""
    real = WINDOWS[:, 1:] > 0
    return F.cross_entropy(hidden[real] @ items[1:].T, WINDOWS[:, 1:][real] - 1)


def with_gradient(loss, hidden, items):
    return loss.detach(), *torch.autograd.grad(loss, (hidden, items))


@pytest.mark.parametrize("cells", [1, 6, 13, 1_000_000])
def test_the_loss_over_the_catalogue_is_cross_entropy_and_its_gradient_whatever_the_blocks(cells):
    hidden, items = problem()
    expected = with_gradient(3 * by_torch(hidden, items), hidden, items)  # a factor, which the gradient must have too
    found = with_gradient(3 * catalogue_loss(hidden, WINDOWS, items, cells), hidden, items)
    torch.testing.assert_close(found, expected)
    assert (found[2][0] == 0).all()  # padding is no item


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_in_single_precision_too_and_with_scores_whose_exponential_is_no_number(scale):
    hidden, items = problem(torch.float32, scale)
    found = with_gradient(catalogue_loss(hidden, WINDOWS, items), hidden, items)
    torch.testing.assert_close(found, with_gradient(by_torch(hidden, items), hidden, items))


def test_the_loss_over_a_catalogue_of_equal_scores_is_the_log_of_its_size():
    loss = catalogue_loss(torch.zeros(3, 3, 4), WINDOWS, torch.randn(7, 4))
    assert loss.item() == pytest.approx(math.log(6))  # items of the window count too


def test_only_up_to_so_many_items_all_are_looked_at():
    config = EncoderConfig(loss="catalogue", catalogue_items=6)
    assert [effective_loss(config, items) for items in (5, 6, 7)] == ["catalogue", "catalogue", "softmax"]
    assert effective_loss(config.model_copy(update={"loss": "bce"}), 7) == "bce"
    assert next_item_loss(config, 6) is catalogue_loss
    assert next_item_loss(config, 7) is not catalogue_loss


def test_the_loss_of_zero_scores_is_log_two_per_binary_question():
    hidden = torch.zeros(1, 2, 4)
    windows = torch.tensor([[1, 2, 3]])
    loss = sampled_loss(hidden, windows, torch.tensor([[4, 5]]), torch.randn(6, 4), 1.0)
    assert loss.item() == pytest.approx(math.log(2))  # (1 positive + 2 negatives) · log 2 / 3


def test_padding_and_negatives_of_the_window_itself_cost_nothing():
    items = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(1))
    score = lambda place, code: (hidden[0, place] @ items[code]).item()  # noqa: E731  # shorter than its name elsewhere
    loss = sampled_loss(hidden, torch.tensor([[1, 2, 0]]), torch.tensor([[2, 5]]), items, 0.5)
    expected = 0.5 * np.log1p(np.exp(-score(0, 2))) + np.log1p(np.exp(score(0, 5)))
    assert loss.item() == pytest.approx(expected / 3, rel=1e-5)


def test_the_softmax_loss_of_equal_scores_is_the_log_of_their_number():
    windows, negatives = torch.tensor([[1, 2, 0]]), torch.tensor([[4, 5, 1]])  # 1 is in the window: no negative
    loss = sampled_loss(torch.zeros(1, 2, 4), windows, negatives, torch.randn(6, 4), None)
    assert loss.item() == pytest.approx(math.log(3))


def test_the_weight_of_gbce_is_that_of_its_paper():
    # alpha = 32 / 100; beta = alpha (t (1 - 1/alpha) + 1/alpha) = 0.32 (0.75 (1 - 3.125) + 3.125) = 0.49
    assert positive_weight(32, 101, 0.75) == pytest.approx(0.49)
