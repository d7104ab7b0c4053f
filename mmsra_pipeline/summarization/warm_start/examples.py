"""One example of the warm start, and how examples are made of what is known: a look, a text, a keyword."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.summarization.keywords import format_summary
from mmsra_pipeline.summarization.summary_prompts import FALSE, TRUE, summary_prompt, verification_prompt

BEGINNING = 6  # characters that tell a summary's prompt from others


@dataclass(frozen=True)
class Example:
    """A prompt and its answer."""

    prompt: Prompt
    answer: str

    @property
    def size(self) -> int:
        """Characters of its words; examples of like size are cheap to pad."""
        return len(self.answer) + sum(len(part) for part in self.prompt.parts if isinstance(part, str))


def summary_example(text: str, picture: Image.Image | None, labels: Sequence[str], keywords: Sequence[str]) -> Example:
    """Ask for the summary of an item. A picture of which nothing is known is not shown."""
    return Example(summary_prompt(text, picture if labels else None), format_summary(list(labels), list(keywords)))


def verification_example(
    about: str | Image.Image, true: Sequence[str], others: Sequence[str], rng: np.random.Generator
) -> Example | None:
    """Ask whether a keyword is true: one of ``true``, or as often one of ``others`` that is not among them.

    None where there is neither.
    """
    false = [word for word in others if word not in set(true)]
    right = bool(rng.integers(2)) if true and false else bool(true)
    words = true if right else false
    if not words:
        return None
    keyword = words[int(rng.integers(len(words)))]
    return Example(verification_prompt(keyword, about), TRUE if right else FALSE)


def parts(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Divide examples into parts of at most ``size`` that begin alike, those of like size together."""
    kinds: dict[str, list[Example]] = {}
    for example in examples:
        first = example.prompt.parts[0]
        kinds.setdefault(first[:BEGINNING] if isinstance(first, str) else "", []).append(example)
    found: list[list[Example]] = []
    for kind in sorted(kinds):
        ordered = sorted(kinds[kind], key=lambda example: example.size)
        found += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return found
