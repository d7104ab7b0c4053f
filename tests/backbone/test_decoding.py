"""Answers of the own loop against those of transformers."""

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from mmsra_pipeline.backbone import decoding, shared_prefix
from mmsra_pipeline.backbone.completion import Asked, choose
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.summarization.form import KeywordForm
from mmsra_pipeline.summarization.keywords import parse_summary

CONFIG = SummarizationConfig(max_new_tokens=30)


def prompts_of(pictures):
    start = "Keywords of this product. "
    return [
        Prompt((start, pictures[0], "wool, " * 9)),
        Prompt((start, pictures[1], "Candidate.")),
        Prompt((f"{start}toy",)),
        Prompt((start, pictures[2], "Will the user buy it?", pictures[0])),
        Prompt((f"{start}soft leather gift, kitchen",)),
    ]


def by_transformers(backbone, prompts, count):
    settings = GenerationConfig(
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=backbone.model.generation_config.eos_token_id,
        pad_token_id=backbone.tokenizer.pad_token_id,
        suppress_tokens=list(backbone.encoder.image_token_ids),
    )
    found = []
    for prompt in prompts:
        inputs = backbone.encode([prompt])
        tokens = backbone.model.generate(**inputs, generation_config=settings)
        found.append(tuple(tokens[0, inputs["input_ids"].shape[1] :].tolist()))
    return found


def test_the_likeliest_answers_are_those_of_transformers(backbone, pictures):
    prompts = prompts_of(pictures)
    expected = by_transformers(backbone, prompts, 24)
    found = backbone.complete(prompts, max_new_tokens=24, stop=None)
    assert [own[0].ids for own in found] == expected
    assert len(set(expected)) == len(expected)


def test_an_answer_ends_with_the_end_of_the_turn(backbone, pictures, monkeypatch):
    prompts = prompts_of(pictures)
    free = backbone.complete(prompts, max_new_tokens=12, stop=None)
    end = free[1][0].ids[3]
    monkeypatch.setattr(backbone.model.generation_config, "eos_token_id", [end, backbone.tokenizer.eos_token_id])
    found = backbone.complete(prompts, max_new_tokens=12, stop=None)
    assert [own[0].ids for own in found] == by_transformers(backbone, prompts, 12)
    assert found[1][0].ids == free[1][0].ids[: free[1][0].ids.index(end) + 1]


@pytest.mark.parametrize("inputs", [(True, True), (True, False), (False, True), (False, False)])
def test_answers_have_the_form(backbone, pictures, inputs):
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], CONFIG)
    prompts = prompts_of(pictures)
    found = backbone.complete(
        prompts, max_new_tokens=30, temperature=3.0, seed=5, form=form, lines=[inputs] * len(prompts), copies=6
    )
    for completion in (one for own in found for one in own):
        summary = parse_summary(completion.text, CONFIG)
        assert summary.well_formed
        assert (bool(summary.image_keywords), bool(summary.text_keywords)) == inputs
        assert completion.ids[-1] == backbone.tokenizer.eos_token_id
    if any(inputs):
        assert len({one.text for one in found[0]}) > 3


def formed(backbone, pictures, **settings):
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], CONFIG)
    lines = [(True, True), (True, False), (False, True), (True, True), (False, False)]
    return backbone.complete(prompts_of(pictures), max_new_tokens=30, form=form, lines=lines, **settings)


def test_forced_tokens_change_no_probability(backbone, pictures):
    """Greedy in the form, step by step over whole sequences: what a loop without any cache gives."""
    found = formed(backbone, pictures)[0][0]
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], CONFIG)
    state, said = form.start(True, True), []
    start = backbone.encode(prompts_of(pictures)[:1])
    while not state.done:
        batch = dict(start)
        fillers = {"input_ids": said, "attention_mask": [1] * len(said), "mm_token_type_ids": [0] * len(said)}
        for name, filler in fillers.items():
            if name in batch:
                batch[name] = torch.cat([batch[name], torch.tensor([filler], dtype=torch.long)], dim=1)
        with torch.no_grad():
            logits = backbone.model(**batch).logits[0, -1]
        logits[: len(state.allowed())][~state.allowed()] = -torch.inf
        said.append(int(logits.argmax()))
        state.advance(said[-1])
    assert found.ids == tuple(said)


def test_models_whose_prefixes_cannot_be_shared_give_the_same_answers(backbone, pictures, monkeypatch):
    settings = {"temperature": 1.0, "seed": 3, "copies": 2}
    ours = formed(backbone, pictures, **settings)
    plain = backbone.complete(prompts_of(pictures), max_new_tokens=9, **settings)
    monkeypatch.setattr(shared_prefix, "shares_prefixes", lambda model: False)
    assert formed(backbone, pictures, **settings) == ours
    assert backbone.complete(prompts_of(pictures), max_new_tokens=9, **settings) == plain


def test_draws_hang_on_seed_place_and_copy_alone(backbone, pictures):
    prompts = prompts_of(pictures)
    settings = {"max_new_tokens": 8, "temperature": 1.5, "stop": None, "copies": 3}
    first = backbone.complete(prompts, seed=1, **settings)
    assert backbone.complete(prompts, seed=1, **settings) == first
    assert backbone.complete(prompts[:2], seed=1, **settings) == first[:2]
    assert backbone.complete(prompts, seed=2, **settings) != first
    assert len(set(first[0])) > 1


def test_a_prompt_runs_once_for_all_copies(backbone, pictures):
    prompts = prompts_of(pictures)[:3]
    counts = []
    norm = shared_prefix.language_model(backbone.model).norm
    handle = norm.register_forward_pre_hook(lambda module, states: counts.append(states[0].shape[1]))
    backbone.complete(prompts, max_new_tokens=1, copies=5, stop=None)
    handle.remove()
    ids = [backbone.encode([prompt])["input_ids"][0].tolist() for prompt in prompts]
    shared = shared_prefix.shared_tokens(ids, stop_at=set(backbone.encoder.image_token_ids))
    assert shared > 5
    assert sum(counts) == shared + sum(len(own) - shared for own in ids)


def test_bfloat16_arithmetic_keeps_the_form_and_most_likely_words(backbone, pictures):
    ours = formed(backbone, pictures, autocast=True)
    assert all(parse_summary(own[0].text, CONFIG).well_formed for own in ours)
    exact = formed(backbone, pictures)
    same = np.mean([one[0].ids[:4] == other[0].ids[:4] for one, other in zip(ours, exact, strict=True)])
    assert same >= 0.6


def test_a_token_is_drawn_with_its_probability():
    logits = torch.log(torch.tensor([[0.1, 0.0, 0.6, 0.3, 0.0]])).expand(1000, -1)
    draws = np.arange(1000) / 1000
    counts = np.bincount(choose(logits, 1.0, draws.tolist()), minlength=5)
    assert np.abs(counts - [100, 0, 600, 300, 0]).max() <= 1
    assert choose(logits[:1], 1.0, [1 - 1e-16]) == [3]
    assert choose(logits[:1], 0.0, []) == [2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lines": None}, "1 entries of `lines`"),
        ({"lines": [(True, True)], "max_new_tokens": 29}, "up to 30 tokens: raise max_new_tokens"),
        ({"lines": [(True, True)], "prefill": "Image:"}, "leave the prefill empty"),
    ],
)
def test_what_does_not_go_with_a_form_is_refused(backbone, settings, message):
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], CONFIG)
    asked = {"max_new_tokens": 30, "form": form, **settings}
    prompt = Prompt(("toy",), prefill=asked.pop("prefill", ""))
    with pytest.raises(ValueError, match=message):
        backbone.complete([prompt], **asked)


def test_batches_hold_prompts_of_like_length():
    assert decoding._batches([5, 1, 9, 2], 2) == [[1, 3], [0, 2]]
    assert Asked(4).copies == 1
