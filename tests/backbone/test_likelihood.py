import math

import numpy as np
import pytest
import torch
from tiny import tiny_backbone

from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import LoraSettings

HISTORY = "The user's history, newest last: red striped mug, blue ball, leather bag. Similar users then took: chair. "


def candidates(pictures, count=7, *, with_pictures=True):
    """Prompts of one user that differ in candidate, length and, where shown, picture; every third has none."""
    prompts = []
    for place in range(count):
        look = [pictures[place % 3]] if with_pictures and place % 3 != 2 else []
        prompts.append(Prompt((HISTORY + "Candidate: ", *look, f" toy {place}. " * (place + 1), "Answer Yes or No.")))
    return prompts


def p_of(backbone, prompts, words=("Yes", "No"), **settings):
    return backbone.score_group(prompts, words, **settings).margin.sigmoid().numpy()


def one_by_one(backbone, prompts, words=("Yes", "No")):
    """p of the first word from the model's own logits, one whole prompt at a time."""
    ids = [backbone.tokenizer.encode(word, add_special_tokens=False)[0] for word in words]
    scores = []
    for prompt in prompts:
        with torch.inference_mode():
            logits = backbone.model(**backbone.encode([prompt])).logits[0, -1, ids]
        scores.append(float(logits.softmax(-1)[0]))
    return np.array(scores)


def test_a_picture_before_the_differences_is_not_lost(backbone, pictures):
    prompts = [Prompt((HISTORY, pictures[0], f" toy {place}. Answer Yes or No.")) for place in range(4)]
    np.testing.assert_allclose(p_of(backbone, prompts), one_by_one(backbone, prompts), atol=1e-4)


def test_scores_see_an_attached_adapter(pictures, tmp_path):
    for kind in ("fastvlm", "qwen2_5_vl"):
        backbone = tiny_backbone(tmp_path, kind)
        prompts = candidates(pictures)
        before = p_of(backbone, prompts)
        model = attach(backbone, LoraSettings(rank=4, alpha=8))
        for name, value in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.3)
        after = p_of(backbone, prompts)
        assert np.abs(after - before).max() > 0.01
        np.testing.assert_allclose(after, one_by_one(backbone, prompts), atol=1e-4)
        with model.disable_adapter():
            np.testing.assert_allclose(p_of(backbone, prompts), before, atol=1e-6)


def test_p_of_a_word_and_of_its_opposite_add_to_one(backbone, pictures):
    prompts = candidates(pictures, 3)
    yes, no = (p_of(backbone, prompts, words=words) for words in (("Yes", "No"), ("No", "Yes")))
    np.testing.assert_allclose(yes + no, 1.0, atol=1e-5)


def test_a_uniform_model_costs_log_vocabulary_per_token(tmp_path, pictures):
    for kind in ("fastvlm", "qwen2_5_vl"):
        backbone = tiny_backbone(tmp_path, kind)
        torch.nn.init.zeros_(backbone.model.get_output_embeddings().weight)
        vocabulary = backbone.model.config.get_text_config().vocab_size
        found = backbone.log_likelihood(candidates(pictures, 2), ["Yes", "red, mug"])
        for values, target in zip(found, ["Yes", "red, mug"]):
            assert len(values) == len(backbone.encoder.answer_ids(target))
            np.testing.assert_allclose(values, -math.log(vocabulary), rtol=1e-5)


def test_log_likelihood_is_that_of_the_models_own_logits(backbone, pictures):
    prompts, targets = candidates(pictures, 5), ["Yes", "red, striped, mug", "No", "wool", "blue ball toy"]
    found = backbone.log_likelihood(prompts, targets)
    for prompt, target, values in zip(prompts, targets, found):
        ids = backbone.encoder.answer_ids(target)
        with torch.inference_mode():
            logits = backbone.model(**backbone.encode([prompt], [target], end=False)).logits[0]
        expected = logits.log_softmax(-1)[-len(ids) - 1 : -1][range(len(ids)), ids]
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_first_token_likelihoods_and_scores_agree(backbone, pictures):
    prompts = candidates(pictures, 4)
    yes, no = (
        np.array([values[0] for values in backbone.log_likelihood(prompts, [word] * 4)]) for word in ("Yes", "No")
    )
    np.testing.assert_allclose(p_of(backbone, prompts), 1 / (1 + np.exp(no - yes)), atol=1e-4)


def test_an_empty_target_has_no_likelihoods(backbone, pictures):
    found = backbone.log_likelihood(candidates(pictures, 3), ["", "Yes", ""])
    assert [len(values) for values in found] == [0, 1, 0]
    assert [len(values) for values in backbone.log_likelihood(candidates(pictures, 1), [""])] == [0]


def test_prompts_and_targets_must_be_as_many(backbone, pictures):
    with pytest.raises(ValueError, match="2 prompts but 1 targets"):
        backbone.log_likelihood(candidates(pictures, 2), ["Yes"])


class _Wordy:
    """A processor that writes words of its own before each prompt, as some do around pictures."""

    def __init__(self, inner):
        self._inner = inner

    def __call__(self, text, **settings):
        return self._inner(text=[f"Pictures follow. {one}" for one in text], **settings)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_a_processor_that_rewrites_the_prefix_costs_speed_and_no_truth(backbone, pictures, monkeypatch):
    monkeypatch.setattr(backbone.encoder, "processor", _Wordy(backbone.processor))
    monkeypatch.setattr(backbone.encoder, "_as_is", {})
    prompts = candidates(pictures)
    np.testing.assert_allclose(p_of(backbone, prompts), one_by_one(backbone, prompts), atol=1e-4)


def test_bfloat16_arithmetic_moves_p_a_little(backbone, pictures):
    prompts = [Prompt((picture, "Will the user buy it? Answer Yes or No.")) for picture in pictures]
    exact = p_of(backbone, prompts)
    rounded = p_of(backbone, prompts, autocast=True)
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.03)


def test_rounded_weights_give_the_same_scores_and_are_put_back(backbone, pictures):
    prompts = candidates(pictures)
    alone = p_of(backbone, prompts, autocast=True)
    before = dict(backbone.model.named_parameters())
    with backbone.rounded(autocast=True):
        inside = {name: weight.dtype for name, weight in backbone.model.named_parameters()}
        many = p_of(backbone, prompts, autocast=True)
    with pytest.raises(KeyError), backbone.rounded(autocast=True):
        raise KeyError
    assert many.tolist() == alone.tolist()
    assert torch.bfloat16 in inside.values()
    after = dict(backbone.model.named_parameters())
    assert all(after[name] is weight for name, weight in before.items())
    with backbone.rounded(autocast=False):
        assert all(weight is before[name] for name, weight in backbone.model.named_parameters())
