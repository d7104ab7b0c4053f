"""The prompts that ask for an item's keywords, of picture and text separately, and whether one is true (sec. 3.3)."""

from PIL import Image

from mmsra_pipeline.backbone.prompt import Prompt

VERSION = 2  # raised when the words below change: cached keywords then count no more
INSTRUCTION = 'Write keywords, separated by commas, in two lines: "Image: ..." and "Text: ...".'
NONE = "none"
TRUE, FALSE = "Yes", "No"


def summary_prompt(text: str, image: Image.Image | None) -> Prompt:
    """Ask for the keywords of one item, with a line for each modality, so that neither is passed over.

    The instruction stands first: it is the same for all items, so it is computed once for many.

    Args:
        text: the item's cleaned text; may be empty.
        image: the item's picture, if it has one.
    """
    said = f"\nText: {_flat(text) or NONE}"
    if image is None:
        return Prompt((f"{INSTRUCTION}\nImage: {NONE}{said}",))
    return Prompt((f"{INSTRUCTION}\nImage: ", image, said))


def reconstruction_prompt(keywords: str) -> Prompt:
    """Ask for an item's text, given nothing but its keywords: eq. 2 measures the text's likelihood after it."""
    return Prompt((f"Keywords: {keywords or NONE}\nWrite the text of the item.",))


def verification_prompt(keyword: str, about: str | Image.Image) -> Prompt:
    """Ask whether one keyword is true of a picture, or of a text; the answer is ``TRUE`` or ``FALSE``.

    p(TRUE) is the keyword's confidence, read as the recommender's p(yes) is.
    """
    question = f'\nKeyword: "{_flat(keyword)}". Is it true of this? Answer {TRUE} or {FALSE}.'
    if isinstance(about, str):
        return Prompt((f"Text: {_flat(about) or NONE}{question}",))
    return Prompt(("Image: ", about, question))


def _flat(text: str) -> str:
    return " ".join(text.split())
