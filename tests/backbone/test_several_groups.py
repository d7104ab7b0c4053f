import numpy as np
import pytest
import torch
from backbone.prompts_of_groups import HISTORY, WORDS, candidates, whole_margins
from tiny import tiny_backbone

from mmsra_pipeline.backbone import groups
from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.several_groups import answers_of_groups
from mmsra_pipeline.config.tree import LoraSettings


def several(pictures, *, with_pictures=True):
    """Groups of unlike size behind prefixes of unlike length."""
    histories = (HISTORY, "A new user. ", HISTORY * 2)
    return [
        candidates(pictures, count, with_pictures=with_pictures, history=history)
        for count, history in zip((4, 7, 1), histories, strict=True)
    ]


@pytest.mark.parametrize("with_pictures", [True, False], ids=["pictures", "text only"])
def test_scores_of_several_groups_equal_those_of_whole_prompts(backbone, pictures, with_pictures, monkeypatch):
    monkeypatch.setattr(groups, "last_states", None)  # they are not run one by one
    asked = several(pictures, with_pictures=with_pictures)
    with torch.inference_mode():
        expected = [[float(whole_margins(backbone, [prompt])[0]) for prompt in own] for own in asked]
        found = answers_of_groups(backbone, asked, WORDS)
    assert np.ptp(np.concatenate(expected)) > 0.2  # a constant would pass
    for own, answers in zip(expected, found, strict=True):
        np.testing.assert_allclose(answers.margin, own, atol=1e-5)


def test_the_mass_of_both_words_is_that_of_each_group_alone(backbone, pictures):
    asked = several(pictures)
    with torch.inference_mode():
        found = answers_of_groups(backbone, asked, WORDS)
    for own, answers in zip(asked, found, strict=True):
        np.testing.assert_allclose(answers.mass, backbone.score_group(own, WORDS).mass, rtol=1e-4)


def test_gradients_of_several_groups_are_those_of_the_groups_one_by_one(tmp_path, pictures, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, LoraSettings(rank=4), seed=0)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():  # a fresh adapter's second half is zero, and so would be the gradient of the first
        for value in trained.values():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(len(value))) * 0.2)
    asked = several(pictures)
    gradients = []
    for answers in (
        [groups.group_answers(backbone, own, WORDS) for own in asked],
        answers_of_groups(backbone, asked, WORDS),
    ):
        model.zero_grad()
        sum(own.margin.square().sum() for own in answers).backward()
        gradients.append({name: value.grad.clone() for name, value in trained.items()})
    for name, expected in gradients[0].items():
        assert float((gradients[1][name] - expected).norm() / expected.norm()) < 1e-4, name


def test_a_group_that_shares_nothing_is_scored_with_the_others(backbone):
    alone = [Prompt(("mug. Answer Yes or No.",)), Prompt(("ball. Answer Yes or No.",))]
    alike = [Prompt((HISTORY + "Answer Yes or No.",))] * 2
    found = answers_of_groups(backbone, [alone, alike], WORDS)
    with torch.inference_mode():
        np.testing.assert_allclose(found[0].margin, whole_margins(backbone, alone).detach(), atol=1e-5)
    assert float(found[1].margin[0]) == float(found[1].margin[1])


def test_a_group_without_a_prompt_is_an_error(backbone):
    with pytest.raises(ValueError, match="at least one prompt"):
        answers_of_groups(backbone, [[Prompt(("mug",))], []], WORDS)
