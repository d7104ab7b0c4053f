import numpy as np
import pytest
import torch

from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.config.tree import GrpoConfig, LoraSettings, RewardWeights, SummarizationConfig
from mmsra_pipeline.summarization.keywords import Summary, parse_summary
from mmsra_pipeline.summarization.summary_prompts import reconstruction_prompt
from mmsra_pipeline.summarization.tuning import rewards
from mmsra_pipeline.summarization.tuning.rollouts import Item, Rollout, Writer
from mmsra_pipeline.summarization.tuning.scorer import SummaryScorer, neighbors

SUMMARIES = SummarizationConfig(max_new_tokens=40)


@pytest.fixture
def model(backbone):
    return attach(backbone, LoraSettings(rank=4, alpha=8))


@pytest.fixture
def writer(backbone):
    return Writer(backbone, SUMMARIES)


@pytest.fixture
def pictured(items, pictures):
    return [Item(item, text, "", pictures.get(item)) for item, text in zip(items["item_id"], items["text"])]


def scorer_of(backbone, model, sentences, writer, **grpo):
    return SummaryScorer(backbone, model, sentences, SUMMARIES, GrpoConfig(**grpo), writer)


def said(item, text, ended=True):
    return Rollout(item, text, (), parse_summary(text, SUMMARIES), ended)


def disturb(model):
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_()


def test_likelihoods_are_those_of_the_model_without_the_adapter(
    backbone, model, sentences, writer, pictured, monkeypatch
):
    monkeypatch.setattr(rewards, "WORST_PERPLEXITY", 1e9)  # a random model is far above the bound
    scorer = scorer_of(backbone, model, sentences, writer, reconstruction="perplexity")
    rollouts = [
        said(pictured[0], "Image: red\nText: ceramic"),
        Rollout(pictured[0], "", (), Summary((), (), False), True),
    ]
    (group,) = writer.write(pictured[:1], copies=3, temperature=1.0)
    before = scorer.reconstruction(rollouts), scorer.reference(group)
    (plain,) = backbone.log_likelihood([reconstruction_prompt("red, ceramic")], [pictured[0].text])
    np.testing.assert_allclose(before[0], [-np.exp(-plain.mean()), -1e9], rtol=1e-4)
    disturb(model)
    np.testing.assert_array_equal(scorer.reconstruction(rollouts), before[0])
    for one, other in zip(scorer.reference(group), before[1]):
        assert torch.equal(one.log_probs, other.log_probs)


def test_grounding_is_what_the_picture_adds_to_its_own_line(backbone, model, sentences, writer, pictured):
    scorer = scorer_of(backbone, model, sentences, writer)
    rollouts = [group[0] for group in writer.write([pictured[0], pictured[3]], temperature=1.0)]
    reference = scorer.reference(rollouts)
    found = scorer.grounding(rollouts, reference)
    line = scorer._picture_line(rollouts[0])
    assert backbone.tokenizer.decode(rollouts[0].ids[:line]) == rollouts[0].text.split("\n")[0]
    (blank,) = scorer.reference(rollouts[:1], blank=True)
    free = reference[0].free[:line]
    expected = float((reference[0].log_probs[:line][free] - blank.log_probs[free]).mean())
    assert abs(expected) > 1e-4
    assert found[0] == pytest.approx(expected, abs=1e-5)
    assert found[1] == 0.0  # no picture


def test_summaries_that_say_the_same_are_scored_once_and_alike(
    backbone, model, sentences, writer, pictured, monkeypatch
):
    from mmsra_pipeline.summarization.tuning import scorer as module

    asked = []
    whole = module.said_of
    monkeypatch.setattr(module, "said_of", lambda *some, **more: asked.append(len(some[1])) or whole(*some, **more))
    rollouts = [
        said(pictured[row], f"Image: red\nText: {word}") for row, word in ((0, "wool"), (1, "wool"), (0, "wool"))
    ]
    found = scorer_of(backbone, model, sentences, writer).reconstruction(rollouts)
    assert sum(asked) == 2
    assert found[0] == found[2] != found[1]


def test_only_the_beginning_of_a_long_text_is_reconstructed(backbone, model, sentences, writer, pictured):
    rollouts = [said(pictured[0], "Image: red\nText: ceramic")]
    (plain,) = backbone.log_likelihood([reconstruction_prompt("red, ceramic")], [pictured[0].text])
    assert len(plain) > 2
    for most, expected in ((2, plain[:2]), (None, plain)):
        found = scorer_of(backbone, model, sentences, writer, reconstruction_tokens=most).reconstruction(rollouts)
        np.testing.assert_allclose(found, [max(expected.mean(), -np.log(rewards.WORST_PERPLEXITY))], rtol=1e-4)


def test_many_reconstructions_are_run_in_parts_with_the_same_result(
    backbone, model, sentences, writer, pictured, monkeypatch
):
    from mmsra_pipeline.summarization.tuning import scorer as module

    rollouts = [said(item, f"Image: red\nText: {word}") for item in pictured for word in ("wool", "toy", "gift")]
    scorer = scorer_of(backbone, model, sentences, writer)
    together = scorer.reconstruction(rollouts)
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 20)
    np.testing.assert_allclose(scorer.reconstruction(rollouts), together, rtol=1e-5)


def test_terms_without_a_weight_are_not_computed_but_information_which_gates(
    backbone, model, sentences, writer, pictured
):
    nothing = RewardWeights(**dict.fromkeys(RewardWeights.model_fields, 0.0)).model_copy(update={"cut_off": 1.0})
    scorer = scorer_of(backbone, model, sentences, writer, weights=nothing)
    found = scorer.terms([said(pictured[0], "Image: red\nText: ceramic", ended=False)], [])
    assert set(found) == {"information", "cut_off"}
    assert found["cut_off"].tolist() == [-1.0]
    cosine = sentences.encode(["red, ceramic"])[0] @ sentences.encode([pictured[0].text])[0]
    assert found["information"][0] == pytest.approx(cosine, abs=1e-6)


def test_only_neighbors_of_one_item_share_its_prompt(pictured):
    rollouts = [said(pictured[row], "Image: red\nText: wool") for row in (0, 0, 1, 0)]
    assert [len(own) for own in neighbors(rollouts)] == [2, 1, 1]
