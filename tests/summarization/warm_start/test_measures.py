import math

from mmsra_pipeline.backbone.embedded.drawing import Look
from mmsra_pipeline.summarization.keywords import Summary
from mmsra_pipeline.summarization.warm_start.measures import accuracy

RED = Look("red", "plain", "mug")


def summary(*words):
    return Summary(words, ("green",), well_formed=True)


def test_an_attribute_counts_when_its_true_value_and_no_other_is_named():
    said = [
        summary("red", "plain", "mug"),  # all right
        summary("red", "blue", "striped"),  # two colours, the wrong pattern, no shape
        summary("mug", "tall"),  # the shape alone
        summary("redder", "plain", "plain mug"),  # the pattern alone: words are whole
    ]
    found = accuracy("some", said, [RED] * 4)
    assert found["pictures"].tolist() == ["some"] * 3
    assert found.set_index("attribute")["accuracy"].to_dict() == {"colour": 0.25, "pattern": 0.5, "shape": 0.5}
    assert found["n"].tolist() == [4, 4, 4]


def test_colours_of_the_text_line_do_not_count():
    assert accuracy("some", [summary()], [Look("green", "plain", "mug")])["accuracy"].tolist() == [0.0, 0.0, 0.0]


def test_without_pictures_there_is_no_accuracy():
    found = accuracy("none", [], [])
    assert all(math.isnan(value) for value in found["accuracy"])
    assert found["n"].tolist() == [0, 0, 0]
