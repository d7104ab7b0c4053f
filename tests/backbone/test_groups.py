import contextlib

import numpy as np
import pytest
import torch
from backbone.prompts_of_groups import HISTORY, WORDS, candidates, whole_margins
from tiny import tiny_backbone

from mmsra_pipeline.backbone.groups import group_answers, last_states
from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.shared_prefix import row_parts, shared_tokens
from mmsra_pipeline.config.tree import LoraSettings


def listwise(margins):
    return torch.nn.functional.cross_entropy(margins[None], torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize("with_pictures", [True, False], ids=["pictures", "text only"])
def test_scores_of_a_group_equal_those_of_whole_prompts(backbone, pictures, with_pictures):
    prompts = candidates(pictures, with_pictures=with_pictures)
    with torch.inference_mode():
        expected = torch.cat([whole_margins(backbone, [prompt]) for prompt in prompts])
    assert np.ptp(expected.numpy()) > 0.2  # a constant would pass
    found = backbone.score_group(prompts, WORDS)
    np.testing.assert_allclose(found.margin, expected, atol=1e-5)


def test_the_mass_of_both_words_is_that_among_all_tokens(backbone, pictures):
    prompts = candidates(pictures)
    ids = [backbone.encoder.first_token(word) for word in WORDS]
    with torch.inference_mode():
        logits = [backbone.model(**backbone.encode([prompt])).logits[0, -1] for prompt in prompts]
    expected = [float(row.softmax(-1)[ids].sum()) for row in logits]
    np.testing.assert_allclose(backbone.score_group(prompts, WORDS).mass, expected, rtol=1e-4)


@pytest.mark.parametrize("with_pictures", [True, False], ids=["pictures", "text only"])
def test_gradients_through_a_shared_prefix_equal_those_of_whole_prompts(tmp_path, pictures, with_pictures, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, LoraSettings(rank=4), seed=0)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():  # a fresh adapter's second half is zero, and so would be the gradient of the first
        for value in trained.values():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(len(value))) * 0.2)
    prompts = candidates(pictures, with_pictures=with_pictures)
    gradients = []
    for loss in (listwise(whole_margins(backbone, prompts)), listwise(group_answers(backbone, prompts, WORDS).margin)):
        model.zero_grad()
        loss.backward()
        gradients.append({name: value.grad.clone() for name, value in trained.items()})
    sizes = [float(value.norm()) for value in gradients[0].values()]
    assert min(sizes) > 0
    for name, expected in gradients[0].items():
        difference = float((gradients[1][name] - expected).norm() / expected.norm())
        assert difference < 1e-4, name


def test_changing_one_candidate_leaves_the_scores_of_the_others_as_they_are(backbone, pictures):
    prompts = candidates(pictures)
    before = backbone.score_group(prompts, WORDS).margin
    for other in ("x" * len(" toy 1. toy 1. "), " a far longer text of a toy." * 3):
        changed = [*prompts]
        changed[1] = Prompt((HISTORY + "Candidate: ", pictures[2], other, "Answer Yes or No."))
        after = backbone.score_group(changed, WORDS).margin
        rest = [0, *range(2, len(prompts))]
        assert after[rest].tolist() == before[rest].tolist()
        assert after[1] != before[1]


def test_order_and_company_of_candidates_change_nothing(backbone, pictures):
    prompts = candidates(pictures)
    together = backbone.score_group(prompts, WORDS).margin
    order = [4, 0, 6, 2, 5, 1, 3]
    np.testing.assert_allclose(
        backbone.score_group([prompts[row] for row in order], WORDS).margin, together[order], atol=1e-5
    )
    parts = torch.cat(
        [backbone.score_group(prompts[:3], WORDS).margin, backbone.score_group(prompts[3:], WORDS).margin]
    )
    np.testing.assert_allclose(parts, together, atol=1e-5)


def test_a_group_of_more_tokens_than_fit_runs_in_parts(backbone, pictures, monkeypatch):
    prompts = candidates(pictures)
    together = backbone.score_group(prompts, WORDS).margin
    monkeypatch.setattr("mmsra_pipeline.backbone.shared_prefix.TOKENS_TOGETHER", 40)
    np.testing.assert_allclose(backbone.score_group(prompts, WORDS).margin, together, atol=1e-5)


def test_prompts_that_share_nothing_are_a_group_too(backbone, pictures):
    prompts = [Prompt((pictures[0], "a toy")), Prompt((pictures[1], "wool, soft"))]
    with torch.inference_mode():
        expected = torch.cat([whole_margins(backbone, [prompt]) for prompt in prompts])
    np.testing.assert_allclose(backbone.score_group(prompts, WORDS).margin, expected, atol=1e-5)


def test_one_prompt_is_a_group_too(backbone, pictures):
    prompts = candidates(pictures, 1)
    with torch.inference_mode():
        np.testing.assert_allclose(
            backbone.score_group(prompts, WORDS).margin, whole_margins(backbone, prompts), atol=1e-5
        )


def test_models_whose_prefixes_cannot_be_shared_run_whole_prompts(backbone, pictures, monkeypatch):
    prompts = candidates(pictures)
    shared = backbone.score_group(prompts, WORDS).margin
    monkeypatch.setattr("mmsra_pipeline.backbone.shared_prefix.shares_prefixes", lambda model: False)
    np.testing.assert_allclose(backbone.score_group(prompts, WORDS).margin, shared, atol=1e-5)


def test_the_prefix_is_computed_once_and_stands_once_in_memory(backbone, pictures):
    prompts = candidates(pictures, 9, with_pictures=False)
    language = backbone.model.base_model.language_model
    rows = []
    with _watching(language, rows):
        backbone.score_group(prompts, WORDS)
    whole = [len(backbone.tokenizer.encode(backbone.encoder.render(prompt))) for prompt in prompts]
    shared = rows[0][1]
    assert [batch for batch, _ in rows] == [1, 1]
    assert shared > 20
    assert rows[1][1] == sum(whole) - len(whole) * shared  # no padding, no second prefix


def test_a_picture_is_computed_once(backbone, pictures):
    prompts = candidates(pictures)
    backbone.pictures._kept.clear()
    looked = []
    features = backbone.model.base_model.get_image_features
    backbone.model.base_model.get_image_features = lambda **given: (looked.append(1), features(**given))[1]
    try:
        backbone.score_group(prompts, WORDS)
        backbone.score_group(
            [Prompt(tuple(part if isinstance(part, str) else part.copy() for part in prompts[0].parts))], WORDS
        )
    finally:
        del backbone.model.base_model.get_image_features
    assert len(looked) == 2  # of pictures 0 and 1; the third is never shown


def test_kept_pictures_have_a_bound(backbone, pictures):
    from mmsra_pipeline.backbone.pictures import PictureFeatures

    kept = PictureFeatures(backbone, kept_bytes=1)
    first = kept.of(pictures)
    assert len(kept._kept) == 1
    again = kept.of(pictures)
    assert all(torch.equal(one.states, other.states) for one, other in zip(first, again, strict=True))


def test_attention_is_the_usual_one_afterwards(backbone, pictures):
    config = backbone.model.base_model.language_model.config
    before = config._attn_implementation
    backbone.score_group(candidates(pictures), WORDS)
    assert config._attn_implementation == before


def test_words_that_begin_with_one_token_are_refused(backbone, pictures):
    with pytest.raises(ValueError, match="same token"):
        backbone.score_group(candidates(pictures, 1), ("Yes", "Yes, please"))


def test_a_group_without_a_prompt_is_refused(backbone):
    with pytest.raises(ValueError, match="at least one"):
        backbone.score_group([], WORDS)


def test_parts_keep_order_and_bound():
    assert row_parts([3, 3, 3, 9, 1], 6) == [[0, 1], [2], [3], [4]]
    assert shared_tokens([[1, 2, 3], [1, 2, 3]], stop_at={2}) == 1


def test_a_trained_adapter_changes_states_and_gradients_reach_it(tmp_path, pictures, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, LoraSettings(rank=4), seed=0)
    loss = last_states(backbone, candidates(pictures)).square().mean()
    loss.backward()
    touched = {
        name for name, value in model.named_parameters() if value.grad is not None and value.grad.abs().sum() > 0
    }
    assert touched
    assert all("lora_B" in name for name in touched)  # the fresh adapter's second half is zero


@contextlib.contextmanager
def _watching(language, rows):
    def note(_module, _args, kwargs):
        tokens = kwargs["input_ids"] if kwargs.get("input_ids") is not None else kwargs["inputs_embeds"]
        rows.append(tuple(tokens.shape[:2]))

    handle = language.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
