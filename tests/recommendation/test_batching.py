import math

import pytest
import torch
from PIL import Image
from recommendation.shop import examples, images
from tiny import tiny_backbone

from mmsra_pipeline.backbone.encoding import IGNORED
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.recommendation.batching import (
    answer_loss,
    batch_loss,
    encode_examples,
    group_loss,
    planned_batches,
)
from mmsra_pipeline.recommendation.task_prompts import from_json, render

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


def group(count: int = 3) -> list[Prompt]:
    pictures = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green", "black")]
    return [
        Prompt(("The user's history: red mug, blue ball. Item: ", picture, f" toy {place}, seq{place}"))
        for place, picture in enumerate(pictures[:count])
    ]


def logits(backbone, asked: list[Prompt]) -> torch.Tensor:
    """Logits over the vocabulary of the first token of each answer, each prompt by itself."""
    with torch.no_grad():
        return torch.stack([backbone.model(**backbone.encode([prompt])).logits[0, -1] for prompt in asked])


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
@pytest.mark.parametrize(("listwise", "yes_no"), [(1.0, 0.0), (0.0, 1.0), (1.0, 0.1), (0.5, 2.0)])
def test_the_loss_of_a_group_is_that_of_its_logits(tmp_path, kind, listwise, yes_no):
    backbone, asked = tiny_backbone(tmp_path, kind), group()
    every = logits(backbone, asked)
    yes, no = (backbone.encoder.first_token(word) for word in ("Yes", "No"))
    margins = (every[:, yes] - every[:, no]).tolist()
    assert max(margins) - min(margins) > 0.05  # a constant would pass
    chosen = -math.log(math.exp(margins[0]) / sum(map(math.exp, margins)))
    answered = -sum(float(row.log_softmax(0)[token]) for row, token in zip(every, [yes, no, no])) / 3
    loss = group_loss(backbone, [asked], [["Yes", "No", "No"]], listwise=listwise, yes_no=yes_no)
    assert float(loss) == pytest.approx(listwise * chosen + yes_no * answered, abs=1e-4)


def test_the_listwise_loss_of_candidates_that_are_alike_is_log_of_their_number(tmp_path):
    backbone = tiny_backbone(tmp_path)
    loss = group_loss(backbone, [group()[:1] * 5], [["Yes", *["No"] * 4]], listwise=1.0, yes_no=0.0)
    assert float(loss) == pytest.approx(math.log(5), abs=1e-5)


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_the_pointwise_loss_is_the_next_token_loss_of_whole_prompts(tmp_path, artifacts, kind):
    backbone, pictures = tiny_backbone(tmp_path, kind), images(artifacts)
    table = examples(objective="pointwise").query("task == 'yes_no'")
    for row in table.to_dict("records")[:3]:
        asked = [render(from_json(parts), pictures) for parts in row["prompts"]]
        singles = [{"task": "yes_no", "prompts": [p], "answers": [a]} for p, a in zip(row["prompts"], row["answers"])]
        with torch.no_grad():
            expected = batch_loss(backbone, encode_examples(backbone, singles, pictures))
            found = group_loss(backbone, [asked], [row["answers"]], listwise=0.0, yes_no=1.0)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_only_answers_are_learned_and_single_tokens_without_their_end(tmp_path, artifacts, kind):
    backbone = tiny_backbone(tmp_path, kind)
    rows = examples(40).query("task != 'yes_no'").to_dict("records")
    batch = encode_examples(backbone, rows, images(artifacts))
    assert {row["task"] for row in rows} == {"choose", "next_keywords", "item_keywords"}
    for row, labels in zip(rows, batch["labels"]):
        said = backbone.tokenizer.decode(labels[labels >= 0])
        end = backbone.tokenizer.eos_token if row["task"] in ("next_keywords", "item_keywords") else ""
        assert said == row["answers"][0] + end
    assert torch.isfinite(batch_loss(backbone, batch))


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_the_loss_of_keywords_is_the_backbones_own_likelihood(tmp_path, artifacts, kind):
    backbone, pictures = tiny_backbone(tmp_path, kind), images(artifacts)
    rows = examples(40).query("task == 'choose'").to_dict("records")[:4]
    with torch.inference_mode():
        loss = batch_loss(backbone, encode_examples(backbone, rows, pictures))
    asked = [render(from_json(row["prompts"][0]), pictures) for row in rows]
    expected = [-scores.mean() for scores in backbone.log_likelihood(asked, [row["answers"][0] for row in rows])]
    assert float(loss) == pytest.approx(sum(expected) / len(expected), abs=1e-4)
