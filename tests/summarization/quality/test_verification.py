import math

import pytest
import torch
from summarization.conftest import Pictures
from tiny import tiny_backbone

from mmsra_pipeline.backbone.model import open_backbone
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization.quality.verification import Asked, Verifier, of_others
from mmsra_pipeline.summarization.summary_prompts import verification_prompt

ASKED = [
    Asked("a", "ceramic gift", ("red", "mug"), ("ceramic",)),
    Asked("b", "", (), ("wool", "soft")),  # no text, no picture keyword
    Asked("d", "leather gift", ("red",), ("gift",)),  # no picture
]


def plainly(backbone, keyword, about):
    """p(Yes) of one question by itself: by log-likelihoods of both answers."""
    yes, no = (backbone.log_likelihood([verification_prompt(keyword, about)], [word])[0][0] for word in ("Yes", "No"))
    return 1 / (1 + math.exp(no - yes))


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_a_confidence_is_the_mean_probability_of_yes_over_the_keywords_of_a_line(tmp_path, kind):
    backbone, images = tiny_backbone(tmp_path, kind), Pictures()
    found = Verifier(backbone, images, KeyedCache(tmp_path / "c.sqlite")).confidences(ASKED)
    expected = [plainly(backbone, word, images.get("a")) for word in ("red", "mug")]
    assert found[0].image == pytest.approx(sum(expected) / 2, abs=1e-4)
    assert found[0].text == pytest.approx(plainly(backbone, "ceramic", "ceramic gift"), abs=1e-4)
    assert found[2].text == pytest.approx(plainly(backbone, "gift", "leather gift"), abs=1e-4)


def test_what_there_is_nothing_to_be_true_of_is_unknown(backbone, pictures, tmp_path):
    _, second, third = Verifier(backbone, pictures, KeyedCache(tmp_path / "c.sqlite")).confidences(ASKED)
    assert math.isnan(second.image)
    assert math.isnan(second.text)
    assert math.isnan(third.image)


def test_a_judge_that_was_taught_believes_what_is_true(backbone, pictures, tmp_path):
    true = [verification_prompt("red", pictures.get("a")), verification_prompt("blue", pictures.get("b"))]
    false = [verification_prompt("blue", pictures.get("a")), verification_prompt("red", pictures.get("b"))]
    batch = backbone.encode([*true, *false], ["Yes", "Yes", "No", "No"], side="right")
    backbone.model.requires_grad_(True)
    optimizer = torch.optim.AdamW(backbone.model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = backbone.model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    asked = [Asked("a", "", ("red",), ()), Asked("b", "", ("blue",), ())]
    verifier = Verifier(backbone, pictures, KeyedCache(tmp_path / "c.sqlite"))
    own, others = verifier.confidences(asked), verifier.confidences(of_others(asked, 1))
    assert min(one.image for one in own) > 0.9
    assert max(one.image for one in others) < 0.1


def test_what_was_asked_before_needs_no_weights(backbone, pictures, tmp_path, artifacts):
    folder = tmp_path / "cache"
    first = Verifier(backbone, pictures, KeyedCache(folder / "c.sqlite")).confidences(ASKED)
    unread = open_backbone(backbone.config, artifacts)
    again = Verifier(unread, pictures, KeyedCache(folder / "c.sqlite")).confidences(ASKED)
    assert repr(again) == repr(first)
    assert "model" not in vars(unread)
    other = ASKED[0]._replace(text="ceramic")
    assert Verifier(unread, pictures, KeyedCache(folder / "c.sqlite")).confidences([other])[0].image == first[0].image
    assert "model" in vars(unread)  # another text is another question


def test_a_cache_that_keeps_nothing_costs_no_answer(backbone, pictures, tmp_path, monkeypatch):
    whole = Verifier(backbone, pictures, KeyedCache(tmp_path / "c.sqlite")).confidences(ASKED)
    monkeypatch.setattr(KeyedCache, "put", lambda cache, entries: None)  # as on a full disk
    assert repr(Verifier(backbone, pictures, KeyedCache(None)).confidences(ASKED)) == repr(whole)


def test_no_keyword_of_the_item_itself_is_taken_from_another():
    others = of_others([*ASKED, Asked("c", "", ("red", "blue"), ("ceramic", "toy"))], 2)
    assert others[0].image_keywords == ("blue",)  # 'red' is its own
    assert others[0].text_keywords == ("wool", "soft")
    assert others[3].text_keywords == ("wool", "soft")  # the last one goes on at the first
    assert [one.item for one in others] == ["a", "b", "d", "c"]
    assert of_others(ASKED[:1], 2)[0].image_keywords == ()
