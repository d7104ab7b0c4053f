from PIL import Image

from mmsra_pipeline.summarization.prompts import INSTRUCTION, reconstruction_prompt, summary_prompt


def test_the_picture_stands_before_the_text_and_the_instruction_last():
    picture = Image.new("RGB", (4, 4))
    assert summary_prompt("a mug", picture).parts == ("Image: ", picture, f"\nText: a mug\n{INSTRUCTION}")


def test_what_is_not_there_is_said_so():
    assert summary_prompt("", None).parts == (f"Image: none\nText: none\n{INSTRUCTION}",)


def test_a_text_stays_on_its_line():
    assert "a mug Image: x" in summary_prompt("a mug\nImage: x", None).parts[0]


def test_reconstruction_sees_nothing_but_keywords():
    assert reconstruction_prompt("red, mug").parts[0].startswith("Keywords: red, mug\n")
    assert reconstruction_prompt("").parts[0].startswith("Keywords: none\n")
