import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmsra_pipeline.backbone.embedded import drawing
from mmsra_pipeline.backbone.embedded.drawing import ALL_LOOKS, HELD_OUT, Look
from mmsra_pipeline.config.tree import AlignmentConfig, SummarizationConfig
from mmsra_pipeline.summarization.warm_start import examples as module
from mmsra_pipeline.summarization.warm_start.catalogue_examples import AlignmentExamples

PICTURE = Image.new("RGB", (32, 32), "red")


class Pictures:
    """Pictures of items, in memory."""

    def __init__(self, **pictures):
        self._pictures = pictures

    def get(self, item):
        return self._pictures.get(item)

    def image_hash(self, item):
        return item if item in self._pictures else None


def catalogue(**columns):
    items = {
        "item_id": ["a", "b", "c"],
        "category": [None] * 3,
        "tags": [None] * 3,
        "text": ["wool hat", "oak hat", ""],
    }
    return pd.DataFrame(items | columns)


def examples(items, pictures, **settings):
    config = AlignmentConfig(**{"batch_size": 64, "pictures_by": "tags", "verify_share": 0.0, **settings})
    return AlignmentExamples(items, pictures, config, SummarizationConfig(), side=32, seed=0)


def answers(batch):
    return {example.answer for part in batch for example in part}


def test_the_batch_of_a_step_is_always_the_same_and_that_of_another_step_another():
    def drawings():
        return examples(catalogue(), Pictures(a=PICTURE), drawn_share=1.0)

    examples_of_drawings = drawings()
    first, again = examples_of_drawings.batch(3), drawings().batch(3)
    assert [[example.answer for example in part] for part in first] == [[e.answer for e in part] for part in again]
    drawn = [np.asarray(example.prompt.images[0]) for example in first[0]]
    assert all(np.array_equal(x, np.asarray(e.prompt.images[0])) for x, e in zip(drawn, again[0]))
    assert [e.answer for e in examples_of_drawings.batch(4)[0]] != [e.answer for e in first[0]]


def test_no_look_that_is_held_out_is_ever_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "draw", lambda look, side, rng: drawn.append(look) or PICTURE)
    batches = examples(catalogue(), Pictures(), drawn_share=1.0)
    for step in range(40):
        batches.batch(step)
    assert len(set(drawn)) == len(ALL_LOOKS) - len(HELD_OUT)
    assert not set(drawn) & HELD_OUT


def test_a_drawing_alone_is_answered_by_its_look(monkeypatch):
    monkeypatch.setattr(drawing, "TRAINED_LOOKS", (Look("red", "dotted", "mug"),))
    batch = examples(catalogue(), Pictures(), drawn_share=1.0, drawn_text_share=0.0).batch(0)
    assert answers(batch) == {"Image: red, dotted, mug\nText: none"}
    assert [len(part) for part in batch] == [8] * 8


def test_a_drawing_beside_a_text_is_answered_by_both(monkeypatch):
    monkeypatch.setattr(drawing, "TRAINED_LOOKS", (Look("red", "dotted", "mug"),))
    batch = examples(catalogue(), Pictures(), drawn_share=1.0, drawn_text_share=1.0).batch(0)
    assert answers(batch) == {f"Image: red, dotted, mug\nText: {text}" for text in ("wool hat", "oak hat", "none")}


def test_tags_are_the_keywords_of_a_picture_and_the_untagged_picture_is_not_shown():
    items = catalogue(tags=["Blue|Dotted, BLUE", None, None], category=["winter"] * 3)
    batch = examples(items, Pictures(a=PICTURE, b=PICTURE), batch_size=400).batch(0)
    pictured = {e.answer for part in batch for e in part if e.prompt.images}
    assert pictured == {"Image: blue, dotted\nText: wool hat"}
    bare = {e.answer for part in batch for e in part if not e.prompt.images}
    assert bare == {"Image: none\nText: wool hat", "Image: none\nText: oak hat", "Image: none\nText: none"}


def test_without_any_tags_the_categories_count():
    batch = examples(catalogue(category=["Comedy|War"] * 3), Pictures(b=PICTURE)).batch(0)
    assert {e.answer for part in batch for e in part if e.prompt.images} == {"Image: comedy, war\nText: oak hat"}


def test_a_picture_that_nothing_is_known_of_is_not_shown():
    batch = examples(catalogue(), Pictures(b=PICTURE)).batch(0)
    assert not [e for part in batch for e in part if e.prompt.images]
    assert "Image: none\nText: oak hat" in answers(batch)


def test_pseudo_labels_are_read_off_pictures_whatever_the_tags_say():
    items = catalogue(tags=["Hammett"] * 3)
    labelled = examples(items, Pictures(a=PICTURE), pictures_by="pixels", batch_size=200)
    pictured = {e.answer for part in labelled.batch(0) for e in part if e.prompt.images}
    assert pictured == {"Image: red, drawing\nText: wool hat"}
    surely = AlignmentExamples(
        items,
        Pictures(a=PICTURE),
        AlignmentConfig(picture_labels=2),
        SummarizationConfig(),
        side=32,
        seed=0,
        classes=lambda picture: ["fire engine"],
    )
    assert surely.labels_of(0) == ("fire engine", "red")


def test_half_of_the_keywords_that_are_asked_about_are_anothers():
    pictures = Pictures(a=PICTURE, b=Image.new("RGB", (32, 32), (40, 70, 200)))
    batch = examples(catalogue(), pictures, pictures_by="pixels", verify_share=1.0, batch_size=400).batch(0)
    asked = [e for part in batch for e in part if e.answer in ("Yes", "No")]
    assert 100 < sum(e.answer == "Yes" for e in asked) < 300
    for example in asked:
        text = " ".join(part for part in example.prompt.parts if isinstance(part, str))
        keyword = text.split('Keyword: "')[1].split('"')[0]
        about = example.prompt.images
        known = {"red", "drawing"} if about and about[0] is PICTURE else {"blue", "drawing"}
        true = keyword in known if about else keyword in text.split("Keyword")[0]
        assert example.answer == ("Yes" if true else "No"), text


def test_parts_begin_alike_and_hold_examples_of_like_size():
    summaries = [module.summary_example("x" * size, None, (), ()) for size in (50, 3, 20)]
    asked = module.verification_example("wool hat", ["wool"], ["oak"], np.random.default_rng(0))
    divided = module.parts([summaries[0], asked, summaries[1], summaries[2]], 2)
    assert divided == [[asked], [summaries[1], summaries[2]], [summaries[0]]]


@pytest.mark.parametrize("tags", ["a very long label of six words", " , |"])
def test_what_is_no_keyword_is_no_label(tags):
    batch = examples(catalogue(tags=[tags] * 3), Pictures(b=PICTURE)).batch(0)
    assert all(e.answer.startswith("Image: none") for part in batch for e in part)
