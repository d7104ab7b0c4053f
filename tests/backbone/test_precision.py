import numpy as np
from tiny import tiny_backbone

from mmsra_pipeline.backbone.prompt import Prompt


def test_pictures_first_seen_while_weights_are_rounded_are_what_they_are_otherwise(tmp_path, kind, pictures):
    prompts = [Prompt(("Candidate: ", picture, " Will the user buy it?")) for picture in pictures[:2]]
    plain = tiny_backbone(tmp_path / "plain", kind).score_group(prompts, autocast=True)
    backbone = tiny_backbone(tmp_path / "rounded", kind)
    with backbone.rounded(autocast=True):
        kept = backbone.score_group(prompts, autocast=True)
    np.testing.assert_array_equal(kept.margin.float(), plain.margin.float())
