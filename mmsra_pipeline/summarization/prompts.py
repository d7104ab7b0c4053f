"""The prompt that asks for an item's keywords, of picture and text separately (sec. 3.3)."""

from PIL import Image

from mmsra_pipeline.backbone.prompt import Prompt

VERSION = 1  # raised when the words below change: cached keywords then count no more
INSTRUCTION = 'Write keywords, separated by commas, in two lines: "Image: ..." and "Text: ...".'
NONE = "none"


def summary_prompt(text: str, image: Image.Image | None) -> Prompt:
    """Ask for the keywords of one item, with a line for each modality, so that neither is passed over.

    Args:
        text: the item's cleaned text; may be empty.
        image: the item's picture, if it has one.
    """
    said = f"\nText: {' '.join(text.split()) or NONE}\n{INSTRUCTION}"
    if image is None:
        return Prompt((f"Image: {NONE}{said}",))
    return Prompt(("Image: ", image, said))


def reconstruction_prompt(keywords: str) -> Prompt:
    """Ask for an item's text, given nothing but its keywords: eq. 2 measures the text's likelihood after it."""
    return Prompt((f"Keywords: {keywords or NONE}\nWrite the text of the item.",))
