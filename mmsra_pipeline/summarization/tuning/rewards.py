"""Reward terms of the summarizer (sec. 3.3): pure functions, one float per summary.

Nothing here knows of a model: what a model says of a summary comes in as numbers. ``scorer.py`` joins the two, and
``advantages.py`` makes one number of all terms. A summary without a keyword earns the worst value of every term; else
saying nothing would be the shortest answer.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from mmsra_pipeline.summarization.keywords import Summary, words_of

WORST_PERPLEXITY = 10_000.0
"""Perplexities are bounded by this, so that one hopeless summary does not decide the scale of its group."""
MOST_GAIN = 5.0
"""Nats per token by which a picture may help or harm."""


def information(
    keywords: Float[np.ndarray, "summaries dim"], texts: Float[np.ndarray, "summaries dim"]
) -> Float[np.ndarray, " summaries"]:
    r"""Return $R_\text{info} = \cos(\varphi(W), \varphi(\text{text}))$ (eq. 1), in [-1, 1].

    Args:
        keywords: unit-length embeddings of the keywords; a zero row (no keyword) earns the worst, -1.
        texts: unit-length embeddings of the items' texts; a zero row (no text) gives 0 to every summary with keywords.
    """
    cosines = np.einsum("sd,sd->s", keywords, texts).astype(np.float64)
    return np.where(keywords.any(axis=1), np.clip(cosines, -1.0, 1.0), -1.0)


def reconstruction(
    log_likelihoods: Sequence[Float[np.ndarray, " tokens"]],
    empty: Sequence[bool],
    *,
    scale: Literal["log_perplexity", "perplexity"] = "perplexity",
) -> Float[np.ndarray, " summaries"]:
    r"""Return $R_\text{recon} = -\exp(-\frac1N \sum_j \log P(w_j \mid w_{<j}, W))$ (eq. 2): minus the perplexity.

    Args:
        log_likelihoods: log P of each token of the item's text given the keywords, in nats. Without a text there is
            nothing to reconstruct and the term is 0 for every summary with keywords.
        empty: whether the summary has no keyword; it earns the worst, as does a perplexity above the bound.
        scale: log_perplexity: minus its logarithm, the mean log P. It orders summaries alike, but a bad one does not
            press the differences of the good ones into nothing.

    Returns:
        Values in [-WORST_PERPLEXITY, 0], or of the logarithm in [-log(WORST_PERPLEXITY), 0].

    >>> reconstruction([np.log([0.5, 0.5]), np.log([0.25])], [False, True]).tolist()
    [-2.0, -10000.0]
    >>> reconstruction([np.log([0.5, 0.5])], [False], scale="log_perplexity").round(3).tolist()
    [-0.693]
    """
    most = math.log(WORST_PERPLEXITY)
    logs = [min(-float(np.mean(row, dtype=np.float64)), most) if len(row) else None for row in log_likelihoods]
    if scale == "log_perplexity":
        scores, worst = [-(value or 0.0) for value in logs], -most
    else:
        worst = -WORST_PERPLEXITY
        scores = [0.0 if value is None else max(-math.exp(value), worst) for value in logs]
    return np.where(np.asarray(empty, dtype=bool), worst, scores)


def length(counts: Sequence[int], most: int) -> Float[np.ndarray, " summaries"]:
    r"""Return $R_\text{len} = -|W|$ (eq. 3), the negated number of keywords; none count as one more than ``most``.

    >>> length([2, 8, 0], most=10).tolist()
    [-2.0, -8.0, -11.0]
    """
    said = np.asarray(counts, dtype=np.float64)
    return -np.where(said > 0, said, most + 1.0)


def grounding(
    with_picture: Sequence[Float[np.ndarray, " tokens"]],
    with_blank: Sequence[Float[np.ndarray, " tokens"]],
    empty: Sequence[bool],
    pictured: Sequence[bool],
) -> Float[np.ndarray, " summaries"]:
    """Return by how many nats per token the picture makes the summary likelier than a blank one does. Not in the paper.

    Bounded to [-5, 5]. An item without a picture gives 0 to every summary with keywords; without a keyword it is -5.
    """
    gains = [
        float(np.mean(seen, dtype=np.float64) - np.mean(blank, dtype=np.float64)) if len(seen) else 0.0
        for seen, blank in zip(with_picture, with_blank, strict=True)
    ]
    bounded = np.where(np.asarray(pictured, dtype=bool), np.clip(gains, -MOST_GAIN, MOST_GAIN), 0.0)
    return np.where(np.asarray(empty, dtype=bool), -MOST_GAIN, bounded)


def repetition(summaries: Sequence[Summary]) -> Float[np.ndarray, " summaries"]:
    """Return minus the share of words that an earlier keyword has said, in [-1, 0]; -1 without a keyword.

    A keyword that stands in both lines counts once: picture and text may well say the same.

    >>> red = Summary(("red mug", "red", "large"), ("red mug", "clay"), True)  # red mug, red, large, clay
    >>> repetition([red]).round(3).tolist()
    [-0.2]
    """
    return np.array([-_repeated(summary.keywords) for summary in summaries], dtype=np.float64)


def title_copy(summaries: Sequence[Summary], titles: Sequence[str]) -> Float[np.ndarray, " summaries"]:
    """Return minus the share of text keywords that stand in the title word for word, in [-1, 0].

    0 where there is no title or no keyword of the text, -1 without any keyword.

    >>> title_copy([Summary((), ("ceramic mug", "gift"), True)], ["Red Ceramic Mug"]).tolist()
    [-0.5]
    """
    return np.array(
        [-_copied(summary, title) for summary, title in zip(summaries, titles, strict=True)], dtype=np.float64
    )


def cut_off(ended: Sequence[bool], empty: Sequence[bool]) -> Float[np.ndarray, " summaries"]:
    """Return -1 where a completion did not end its turn before the token limit, or has no keyword; else 0.

    >>> cut_off([True, False, True], [False, False, True]).tolist()
    [0.0, -1.0, -1.0]
    """
    whole = np.asarray(ended, dtype=bool) & ~np.asarray(empty, dtype=bool)
    return np.where(whole, 0.0, -1.0)


def _repeated(keywords: Sequence[str]) -> float:
    words = [word for keyword in keywords for word in dict.fromkeys(words_of(keyword))]
    return 1.0 - len(set(words)) / len(words) if words else 1.0


def _copied(summary: Summary, title: str) -> float:
    if not summary.keywords:
        return 1.0
    if not summary.text_keywords or not title.strip():
        return 0.0
    said = f" {' '.join(words_of(title))} "
    return sum(f" {' '.join(words_of(word))} " in said for word in summary.text_keywords) / len(summary.text_keywords)
