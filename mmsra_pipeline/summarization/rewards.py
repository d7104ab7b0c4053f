"""Reward terms of the summarizer (sec. 3.3): pure functions, one float per summary.

Nothing here knows of TRL or of a model: what a model says of a summary comes in as numbers. ``grpo.py`` joins the two.
A summary without a keyword earns the worst value of every term; else saying nothing would be the shortest answer.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

WORST_PERPLEXITY = 10_000.0
"""Perplexities are bounded by this, so that one hopeless summary does not decide the scale of its group."""


def information(
    keywords: Float[np.ndarray, "summaries dim"], texts: Float[np.ndarray, "summaries dim"]
) -> Float[np.ndarray, " summaries"]:
    r"""Give $R_\text{info} = \cos(\varphi(W), \varphi(\text{text}))$ (eq. 1), in [-1, 1].

    Args:
        keywords: unit-length embeddings of the keywords; a zero row (no keyword) earns the worst, -1.
        texts: unit-length embeddings of the items' texts; a zero row (no text) gives 0 to every summary with keywords.
    """
    cosines = np.einsum("sd,sd->s", keywords, texts).astype(np.float64)
    return np.where(keywords.any(axis=1), np.clip(cosines, -1.0, 1.0), -1.0)


def reconstruction(
    log_likelihoods: Sequence[Float[np.ndarray, " tokens"]], empty: Sequence[bool]
) -> Float[np.ndarray, " summaries"]:
    r"""Give $R_\text{recon} = -\exp(-\frac1N \sum_j \log P(w_j \mid w_{<j}, W))$ (eq. 2): minus the perplexity.

    Args:
        log_likelihoods: log P of each token of the item's text given the keywords, in nats. Without a text there is
            nothing to reconstruct and the term is 0 for every summary with keywords.
        empty: whether the summary has no keyword; it earns the worst, as does a perplexity above the bound.

    Returns:
        Values in [-WORST_PERPLEXITY, 0].

    >>> reconstruction([np.log([0.5, 0.5]), np.log([0.25])], [False, True]).tolist()
    [-2.0, -10000.0]
    """
    scores = [
        -min(float(np.exp(-np.mean(row, dtype=np.float64))), WORST_PERPLEXITY) if len(row) else 0.0
        for row in log_likelihoods
    ]
    return np.where(np.asarray(empty, dtype=bool), -WORST_PERPLEXITY, scores)


def length(counts: Sequence[int], most: int) -> Float[np.ndarray, " summaries"]:
    r"""Give $R_\text{len} = -|W|$ (eq. 3), the negated number of keywords; none count as one more than ``most``.

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
    """Give by how many nats per token the picture makes the summary likelier than a blank one does. Not in the paper.

    Bounded to [-5, 5]. An item without a picture gives 0 to every summary with keywords; without a keyword it is -5.
    """
    gains = [
        float(np.mean(seen, dtype=np.float64) - np.mean(blank, dtype=np.float64)) if len(seen) else 0.0
        for seen, blank in zip(with_picture, with_blank, strict=True)
    ]
    bounded = np.where(np.asarray(pictured, dtype=bool), np.clip(gains, -5.0, 5.0), 0.0)
    return np.where(np.asarray(empty, dtype=bool), -5.0, bounded)
