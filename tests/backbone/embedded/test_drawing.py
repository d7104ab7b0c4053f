from itertools import combinations

import numpy as np
import pytest

from mmsra_pipeline.backbone.embedded import drawing
from mmsra_pipeline.backbone.embedded.drawing import ALL_LOOKS, COLOURS, HELD_OUT, PATTERNS, SHAPES, Look, draw


def test_there_are_more_looks_than_192():
    assert len(ALL_LOOKS) == len(set(ALL_LOOKS)) == len(COLOURS) * len(PATTERNS) * len(SHAPES) == 256


def test_each_pair_of_attributes_of_a_look_that_is_held_out_is_seen_in_others():
    assert len(HELD_OUT) == 53
    for one, other in combinations(range(3), 2):
        seen = {(look[one], look[other]) for look in ALL_LOOKS if look not in HELD_OUT}
        assert seen == {(look[one], look[other]) for look in ALL_LOOKS}


def test_held_out_looks_are_no_regular_choice():
    """How many of a pair of values are held out varies as it does by chance, and a Latin square has one of each."""
    for one, other in combinations(range(3), 2):
        counts = [
            sum((look[one], look[other]) == pair for look in HELD_OUT)
            for pair in {(look[one], look[other]) for look in ALL_LOOKS}
        ]
        assert len(set(counts)) >= 3


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_fills_enough_of_the_picture_and_is_not_near_that_of_another(shape):
    outlines = {name: np.asarray(drawing._outline(name, 128, 1.0, (0.0, 0.0))) > 127 for name in SHAPES}
    own = outlines.pop(shape)
    assert 0.1 < own.mean() < 0.5
    for other in outlines.values():
        assert (own & other).sum() / (own | other).sum() < 0.75


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_wholly_in_the_picture(shape):
    side = 128
    for seed in range(20):
        pixels = np.asarray(draw(Look("black", "plain", shape), side, np.random.default_rng(seed)), dtype=int)
        dark = (pixels < 60).all(axis=-1)
        assert not dark[[0, -1]].any()
        assert not dark[:, [0, -1]].any()
        assert dark.mean() > 0.08


def test_a_shape_that_nobody_drew_is_refused():
    with pytest.raises(ValueError, match="shape 'boat' is not one of"):
        draw(Look("red", "plain", "boat"), 32, np.random.default_rng(0))
