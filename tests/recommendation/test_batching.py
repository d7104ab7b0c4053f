import math

import torch

from mmsra_pipeline.backbone.encoding import IGNORED
from mmsra_pipeline.recommendation.batching import answer_loss, planned_batches

LABELS = torch.tensor([[IGNORED, IGNORED, 1, IGNORED], [IGNORED, 0, 1, 0]])


def test_every_example_comes_once_an_epoch():
    plan = planned_batches([5, 1, 4, 1, 5, 9, 2], batch_size=3, epochs=2, seed=0)
    assert sorted(len(batch) for batch in plan) == [1, 1, 3, 3, 3, 3]
    first, second = plan[:3], plan[3:]
    for epoch in (first, second):
        assert sorted(place for batch in epoch for place in batch) == list(range(7))
    assert first != second


def test_a_batch_is_ordered_by_length():
    lengths = [9, 1, 5, 3, 7, 2, 8, 4, 6, 0]
    for batch in planned_batches(lengths, batch_size=5, epochs=1, seed=0):
        assert [lengths[place] for place in batch] == sorted(lengths[place] for place in batch)


def test_the_plan_hangs_on_the_seed_alone():
    lengths = list(range(64))
    assert planned_batches(lengths, batch_size=4, epochs=1, seed=1) == planned_batches(
        lengths, batch_size=4, epochs=1, seed=1
    )
    assert planned_batches(lengths, batch_size=4, epochs=1, seed=1) != planned_batches(
        lengths, batch_size=4, epochs=1, seed=2
    )


def test_a_uniform_model_costs_log_vocabulary():
    head = torch.nn.Linear(3, 7, bias=False)
    torch.nn.init.zeros_(head.weight)
    loss = answer_loss(torch.randn(2, 4, 3), LABELS, head)
    torch.testing.assert_close(loss, torch.tensor(math.log(7)))


def test_examples_weigh_the_same_and_the_state_before_a_token_predicts_it():
    # Logits are the states themselves, over two tokens. States that predict: example 0 at 1; example 1 at 0, 1 and 2.
    hidden = torch.zeros(2, 4, 2)
    hidden[0, 1] = torch.tensor([0.0, math.log(3)])  # token 1 has probability 3/4
    hidden[1, 0] = torch.tensor([math.log(9), 0.0])  # token 0 has probability 9/10, the two after it 1/2
    loss = answer_loss(hidden, LABELS, torch.nn.Identity())
    by_hand = (-math.log(3 / 4) + (-math.log(9 / 10) - 2 * math.log(1 / 2)) / 3) / 2
    torch.testing.assert_close(loss, torch.tensor(by_hand))


def test_padding_changes_nothing():
    hidden, head = torch.randn(2, 4, 3), torch.nn.Linear(3, 2)
    longer = torch.cat([hidden, torch.randn(2, 2, 3)], dim=1)
    labels = torch.cat([LABELS, torch.full((2, 2), IGNORED)], dim=1)
    torch.testing.assert_close(answer_loss(longer, labels, head), answer_loss(hidden, LABELS, head))
