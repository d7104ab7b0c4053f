import math

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone

from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.config.tree import LoraSettings, SummarizationConfig
from mmsra_pipeline.summarization.tuning import likelihoods
from mmsra_pipeline.summarization.tuning.likelihoods import said_of
from mmsra_pipeline.summarization.tuning.rollouts import Item, Writer

CONFIG = SummarizationConfig(max_new_tokens=40)


@pytest.fixture(params=["fastvlm", "qwen2_5_vl"])
def tuned(request, tmp_path):
    """A tiny backbone with an adapter that is not zero, and the adapted model."""
    backbone = tiny_backbone(tmp_path, request.param)
    model = attach(backbone, LoraSettings(rank=4), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    return backbone, model


def sampled(backbone, image, copies=4):
    """Completions of one item as tokens, its prompt, and what was allowed at their places."""
    writer = Writer(backbone, CONFIG)
    item = Item("a", "ceramic gift, wool", "ceramic", image)
    (group,) = writer.write([item], copies=copies, temperature=1.0, seed=3)
    return [item.prompt] * copies, [one.ids for one in group], [writer.masks(one) for one in group]


def plainly(backbone, prompt, ids, allowed):
    """Log-probabilities from one whole sequence: logits of all places, and a softmax over the allowed tokens."""
    states = likelihoods._whole(backbone, prompt, ids)
    logits = backbone.model.get_output_embeddings()(states)[:, : allowed.shape[1]]
    return torch.stack(
        [row[token] - torch.logsumexp(row[mask], dim=0) for row, mask, token in zip(logits, allowed, ids, strict=True)]
    )


@pytest.mark.parametrize("image", [Image.new("RGB", (32, 32), "red"), None], ids=["picture", "text only"])
def test_log_probs_and_gradients_behind_one_prompt_equal_those_of_whole_sequences(tuned, image):
    backbone, model = tuned
    prompts, ids, allowed = sampled(backbone, image)
    assert len(set(ids)) > 2
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    weights = [0.7, -1.3, 0.4, 0.9]

    def gradients(found):
        model.zero_grad()
        sum(weight * own.mean() for weight, own in zip(weights, found)).backward()
        return {name: value.grad.clone() for name, value in trained.items()}

    expected = [plainly(backbone, *one) for one in zip(prompts, ids, allowed)]
    found = [one.log_probs for one in said_of(backbone, prompts, ids, allowed)]
    assert min(float(own.detach().min()) for own in expected) < -1.0
    for own, other in zip(expected, found):
        torch.testing.assert_close(other, own, rtol=1e-4, atol=1e-5)
    whole, shared = gradients(expected), gradients(found)
    assert min(float(value.norm()) for value in whole.values()) > 0
    for name, value in whole.items():
        assert float((shared[name] - value).norm() / value.norm()) < 1e-4, name


def test_prompts_with_different_pictures_are_each_seen(tuned):
    backbone, _ = tuned
    items = [Item(name, "wool", "", Image.new("RGB", (32, 32), name)) for name in ("red", "blue")]
    tail = backbone.encoder.answer_ids("Image: red")
    with torch.no_grad():
        together = said_of(backbone, [item.prompt for item in items], [tail, tail])
        alone = [said_of(backbone, [item.prompt], [tail])[0] for item in items]
    for one, other in zip(together, alone):
        torch.testing.assert_close(one.log_probs, other.log_probs, rtol=1e-4, atol=1e-5)
    assert float((together[0].log_probs - together[1].log_probs).abs().max()) > 1e-3


def test_without_a_form_it_gives_the_likelihood_that_the_backbone_gives(tuned):
    backbone, _ = tuned
    items = [Item("a", "wool gift", "", None), Item("b", "toy", "", Image.new("RGB", (32, 32), "red"))]
    targets = ["ceramic gift", ""]
    expected = backbone.log_likelihood([item.prompt for item in items], targets)
    with torch.no_grad():
        found = said_of(
            backbone, [item.prompt for item in items], [backbone.encoder.answer_ids(one) for one in targets]
        )
    for own, other in zip(expected, found):
        np.testing.assert_allclose(other.log_probs.numpy(), own, rtol=1e-4, atol=1e-5)
    assert len(found[1].log_probs) == 0


def test_a_forced_token_is_certain_and_a_free_one_has_the_entropy_of_what_is_allowed(tuned):
    backbone, _ = tuned
    prompts, ids, allowed = sampled(backbone, None, copies=1)
    (said,) = said_of(backbone, prompts, ids, allowed)
    choices = allowed[0].sum(dim=1)
    assert (choices == 1).any()
    assert said.free.tolist() == (choices > 1).tolist()
    assert (said.log_probs[choices == 1] == 0).all()
    assert (said.entropy[choices == 1] == 0).all()
    torch.nn.init.zeros_(backbone.model.get_output_embeddings().weight)  # equal logits, equal probabilities
    (even,) = said_of(backbone, prompts, ids, allowed)
    torch.testing.assert_close(even.entropy, choices.log())
    torch.testing.assert_close(even.log_probs.detach(), -choices.log())


def test_the_entropy_is_that_of_the_distribution():
    chances = torch.tensor([[0.5, 0.25, 0.25, 0.0]])
    logits = chances.log() + 3.0
    found = likelihoods._entropy(logits, torch.logsumexp(logits, dim=-1))
    assert float(found) == pytest.approx(1.5 * math.log(2))


def test_logits_are_exact_under_autocast_unless_they_need_not_be(tuned):
    backbone, _ = tuned
    prompts, ids, allowed = sampled(backbone, None, copies=1)
    with torch.no_grad():
        (plain,) = said_of(backbone, prompts, ids, allowed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = likelihoods.completion_states(backbone, prompts, ids)[0]
            rough, exact = (
                likelihoods._said(backbone, states, torch.tensor(ids[0]), allowed[0], 1.0, how).log_probs
                for how in (False, True)
            )
    again = torch.nn.functional.linear(states.float(), backbone.model.get_output_embeddings().weight)
    expected = [
        row[token] - torch.logsumexp(row[: len(mask)][mask], 0) for row, token, mask in zip(again, ids[0], allowed[0])
    ]
    torch.testing.assert_close(exact, torch.stack(expected), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(rough, exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rough, plain.log_probs, rtol=0.1, atol=0.3)


def test_a_token_that_the_form_does_not_allow_is_refused(tuned):
    backbone, _ = tuned
    prompts, ids, allowed = sampled(backbone, None, copies=1)
    wrong = [(*ids[0][:-1], int((~allowed[0][-1]).nonzero()[0]))]
    with pytest.raises(ValueError, match="a token that its form does not allow"):
        said_of(backbone, prompts, wrong, allowed)
