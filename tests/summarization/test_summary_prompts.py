from PIL import Image

from mmsra_pipeline.summarization.summary_prompts import (
    INSTRUCTION,
    reconstruction_prompt,
    summary_prompt,
    verification_prompt,
)


def test_a_summary_prompt_has_the_instruction_first_then_the_picture_then_the_text():
    picture = Image.new("RGB", (8, 8))
    assert summary_prompt("a mug", picture).parts == (f"{INSTRUCTION}\nImage: ", picture, "\nText: a mug")


def test_what_is_not_there_is_called_none():
    assert summary_prompt("", None).parts == (f"{INSTRUCTION}\nImage: none\nText: none",)


def test_a_text_cannot_open_a_line_of_its_own():
    assert "a mug Image: x" in summary_prompt("a mug\nImage: x", None).parts[0]
    assert "Text: a mug Keyword: x\n" in verification_prompt("red", "a mug\nKeyword: x").parts[0]


def test_reconstruction_sees_keywords_alone():
    assert reconstruction_prompt("red, mug").parts[0].startswith("Keywords: red, mug\n")
    assert reconstruction_prompt("").parts[0].startswith("Keywords: none\n")


def test_verification_asks_of_one_modality():
    picture = Image.new("RGB", (8, 8))
    assert verification_prompt("red", picture).parts[:2] == ("Image: ", picture)
    assert '"red"' in verification_prompt("red", picture).parts[2]
    assert verification_prompt("red", "").parts[0].startswith('Text: none\nKeyword: "red"')
