import math

import numpy as np
import pytest
import torch
from tiny import tiny_backbone

from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config import LoraSettings

HISTORY = "The user's history, newest last: red striped mug, blue ball, leather bag. Similar users then took: chair. "


def candidates(pictures, count=7, *, shown=True):
    """Prompts of one user that differ in candidate, length and, where shown, picture; every third has none."""
    prompts = []
    for place in range(count):
        look = [pictures[place % 3]] if shown and place % 3 != 2 else []
        prompts.append(Prompt((HISTORY + "Candidate: ", *look, f" toy {place}. " * (place + 1), "Answer Yes or No.")))
    return prompts


def one_by_one(backbone, prompts, words=("Yes", "No")):
    """p of the first word from the model's own logits, one whole prompt at a time."""
    ids = [backbone.tokenizer.encode(word, add_special_tokens=False)[0] for word in words]
    scores = []
    for prompt in prompts:
        with torch.inference_mode():
            logits = backbone.model(**backbone.encode([prompt])).logits[0, -1, ids]
        scores.append(float(logits.softmax(-1)[0]))
    return np.array(scores)


@pytest.mark.parametrize("shown", [True, False], ids=["pictures", "text only"])
def test_scores_from_a_shared_prefix_equal_whole_prompts_one_by_one(backbone, pictures, shown):
    prompts = candidates(pictures, shown=shown)
    expected = one_by_one(backbone, prompts)
    assert np.ptp(expected) > 0.05  # a constant would pass
    np.testing.assert_allclose(backbone.first_token_scores(prompts), expected, atol=1e-4)


def test_one_candidate_is_scored_as_well(backbone, pictures):
    prompts = candidates(pictures, 1)
    np.testing.assert_allclose(backbone.first_token_scores(prompts), one_by_one(backbone, prompts), atol=1e-4)


def test_no_candidate_gives_no_score(backbone):
    assert backbone.first_token_scores([]).shape == (0,)


def test_candidates_of_several_users_may_come_in_any_order(backbone, pictures):
    others = [Prompt(("Another user took wool shirts. ", *prompt.parts)) for prompt in candidates(pictures, 4)]
    prompts = [*candidates(pictures, 4), *others]
    shuffled = np.random.default_rng(0).permutation(len(prompts))
    scores = backbone.first_token_scores([prompts[row] for row in shuffled])
    np.testing.assert_allclose(scores, one_by_one(backbone, prompts)[shuffled], atol=1e-4)


def test_a_picture_before_the_differences_is_not_lost(backbone, pictures):
    prompts = [Prompt((HISTORY, pictures[0], f" toy {place}. Answer Yes or No.")) for place in range(4)]
    np.testing.assert_allclose(backbone.first_token_scores(prompts), one_by_one(backbone, prompts), atol=1e-4)


def test_scores_see_an_attached_adapter(pictures, tmp_path):
    for kind in ("fastvlm", "qwen2_5_vl"):
        backbone = tiny_backbone(tmp_path, kind)
        prompts = candidates(pictures)
        before = backbone.first_token_scores(prompts)
        model = attach(backbone, LoraSettings(rank=4, alpha=8))
        for name, value in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.3)
        after = backbone.first_token_scores(prompts)
        assert np.abs(after - before).max() > 0.01
        np.testing.assert_allclose(after, one_by_one(backbone, prompts), atol=1e-4)
        with model.disable_adapter():
            np.testing.assert_allclose(backbone.first_token_scores(prompts), before, atol=1e-6)


def test_what_is_shared_is_computed_once(backbone, pictures):
    prompts = candidates(pictures, 6, shown=False)
    seen = []
    handle = backbone.model.get_input_embeddings().register_forward_hook(
        lambda _m, args, _o: seen.append(args[0].shape)
    )
    backbone.first_token_scores(prompts)
    handle.remove()
    shared = len(backbone.encoder.tokenizer.encode(HISTORY))
    assert seen[0][0] == 1
    assert seen[0][1] >= shared
    assert [shape[0] for shape in seen[1:]] == [3, 3]  # batch_size bounds what is held at once
    whole = backbone.encode(prompts)["input_ids"].shape[1]
    assert max(shape[1] for shape in seen[1:]) <= whole - shared


def test_p_of_a_word_and_of_its_opposite_add_to_one(backbone, pictures):
    prompts = candidates(pictures, 3)
    yes, no = (backbone.first_token_scores(prompts, words=words) for words in (("Yes", "No"), ("No", "Yes")))
    np.testing.assert_allclose(yes + no, 1.0, atol=1e-5)


def test_words_that_begin_alike_are_refused(backbone, pictures):
    with pytest.raises(ValueError, match="'Yes' and 'Yes, please' begin with the same token"):
        backbone.first_token_scores(candidates(pictures, 1), words=("Yes", "Yes, please"))


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
    np.testing.assert_allclose(backbone.first_token_scores(prompts), 1 / (1 + np.exp(no - yes)), atol=1e-4)


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
    prompts = candidates(pictures)
    np.testing.assert_allclose(backbone.first_token_scores(prompts), one_by_one(backbone, prompts), atol=1e-4)


def test_bfloat16_arithmetic_moves_p_a_little(backbone, pictures):
    prompts = [Prompt((picture, "Will the user buy it? Answer Yes or No.")) for picture in pictures]
    exact = backbone.first_token_scores(prompts)
    rounded = backbone.first_token_scores(prompts, autocast=True)
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.03)


def test_rounded_weights_give_the_same_scores_and_are_put_back(backbone, pictures):
    prompts = candidates(pictures)
    alone = backbone.first_token_scores(prompts, autocast=True)
    before = dict(backbone.model.named_parameters())
    with backbone.many_scores(autocast=True):
        inside = {name: weight.dtype for name, weight in backbone.model.named_parameters()}
        many = backbone.first_token_scores(prompts, autocast=True)
    with pytest.raises(KeyError), backbone.many_scores(autocast=True):
        raise KeyError
    assert many.tolist() == alone.tolist()
    assert torch.bfloat16 in inside.values()
    after = dict(backbone.model.named_parameters())
    assert all(after[name] is weight for name, weight in before.items())
    with backbone.many_scores(autocast=False):
        assert all(weight is before[name] for name, weight in backbone.model.named_parameters())
