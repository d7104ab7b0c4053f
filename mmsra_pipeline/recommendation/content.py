"""Items as sentence vectors of their text and keywords: what likeness is measured by."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.columns import ITEM, KEYWORDS, TEXT
from mmsra_pipeline.recommendation.context import cut

TEXT_CHARS = 160  # of a text, its title first; the sentence encoder averages, so more would drown the keywords
Embed = Callable[[Sequence[str]], Float[np.ndarray, "texts dim"]]


def content_vectors(item_text: pd.DataFrame, keywords: pd.DataFrame, embed: Embed) -> Mapping[str, np.ndarray]:
    """Return a vector of length 1 for each item that has a text or a keyword.

    Args:
        item_text: the catalogue.
        keywords: the table ``item_keywords``.
        embed: gives one unit vector per text.
    """
    words = dict(zip(keywords[ITEM], keywords[KEYWORDS]))
    spoken: dict[str, str] = {}
    for item, text in zip(item_text[ITEM], item_text[TEXT]):
        parts = [cut(str(text), TEXT_CHARS), ", ".join(words.get(item, ()))]
        said = ". ".join(part for part in parts if part.strip())
        if said:
            spoken[str(item)] = said
    if not spoken:
        return {}
    texts = sorted(set(spoken.values()))
    vector = dict(zip(texts, embed(texts), strict=True))
    return {item: vector[said] for item, said in spoken.items()}
