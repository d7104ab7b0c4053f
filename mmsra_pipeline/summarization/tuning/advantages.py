"""From reward terms to advantages: each term on a scale of its own, easy ones behind the hard one, then one sum."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from mmsra_pipeline.config.tree import GrpoConfig, RewardWeights

Groups = Float[np.ndarray, "groups size"]
CONTENT = ("information", "reconstruction", "grounding")
PENALTIES = ("repetition", "title_copy", "cut_off")
"""Terms in [-1, 0] that are added as they are: standardized, one slip in a group of eight would count as 2.5."""
SMALLEST_SPREAD = 0.01
"""Added to the standard deviation of a term, so that a spread of a hundredth (of a cosine, a nat) is not blown up."""
NO_SPREAD = 1e-6


def advantages(
    terms: Mapping[str, Groups],
    empty: Bool[np.ndarray, "groups size"],
    weights: RewardWeights,
    grpo: GrpoConfig,
) -> tuple[Groups, Bool[np.ndarray, " groups"]]:
    """Return what each summary of a group earns against the others, and which groups have no spread at all.

    ``normalize_then_sum`` (GDPO, arXiv 2601.05242): terms are standardized in their group, weighted, summed with the
    penalties, and the sums, less their group's mean, divided by their standard deviation over all groups.
    ``sum_then_normalize``: eq. 4 as printed, then standardized in the group.

    Args:
        terms: values by name; those that ``weights`` has no weight for count nothing.
        empty: summaries without a keyword. They take no part in any scale; see :func:`standardized`.
        weights: of the terms.
        grpo: aggregation and gate.
    """
    gate = grpo.length_gate
    earned = dict(terms)
    if gate is not None and "length" in earned:
        earned["length"] = gated(earned["length"], terms["information"], empty, gate)
    share = {name: float(getattr(weights, name)) for name in earned}
    if grpo.aggregation == "sum_then_normalize":
        summed = sum((share[name] * values for name, values in earned.items()), np.zeros(empty.shape))
        total = standardized(summed, empty, smallest=1e-4)
        return total, _without_spread(summed)
    total = np.zeros(empty.shape)
    for name, values in earned.items():
        total += share[name] * (values if name in PENALTIES else standardized(values, empty))
    centred = total - total.mean(axis=1, keepdims=True)
    return centred / (centred.std(ddof=1) + SMALLEST_SPREAD), _without_spread(total)


def standardized(values: Groups, empty: Bool[np.ndarray, "groups size"], smallest: float = SMALLEST_SPREAD) -> Groups:
    """Return values less their group's mean, in its standard deviations, both over the summaries that say something.

    The others get the group's least, minus one: with the worst value that they have, all that say something would be
    alike beside them.

    >>> standardized(np.array([[3.0, 1.0, -99.0]]), np.array([[False, False, True]]), smallest=0.0).round(3).tolist()
    [[0.707, -0.707, -1.707]]
    """
    result = np.zeros(values.shape)
    for group, (own, silent) in enumerate(zip(values, empty, strict=True)):
        spoken = own[~silent]
        if not len(spoken):
            continue
        spread = spoken.std(ddof=1) if len(spoken) > 1 else 0.0
        if spread > NO_SPREAD:
            result[group] = (own - spoken.mean()) / (spread + smallest)
        result[group, silent] = result[group, ~silent].min() - 1.0
    return result


def gated(easy: Groups, hard: Groups, empty: Bool[np.ndarray, "groups size"], quantile: float) -> Groups:
    """Grant the easy term to those alone whose hard one reaches a quantile of their group; the group's least to others.

    Shortness is learned in a few steps, and what it costs never is, where it counts for everybody.

    >>> gated(np.array([[-1.0, -2.0, -5.0]]), np.array([[0.1, 0.8, 0.9]]), np.zeros((1, 3), bool), 0.5).tolist()
    [[-5.0, -2.0, -5.0]]
    """
    result = np.array(easy, dtype=np.float64)
    for group, (own, silent) in enumerate(zip(hard, empty, strict=True)):
        spoken = own[~silent]
        if len(spoken):
            below = own < np.quantile(spoken, quantile)
            result[group, below] = easy[group].min()
    return result


def weights_at(step: int, grpo: GrpoConfig) -> RewardWeights:
    """Return the weights of a step, counted from 0: in the first ``form_first`` of all steps the content's are 0."""
    if step >= round(grpo.form_first * grpo.steps):
        return grpo.weights
    return grpo.weights.model_copy(update=dict.fromkeys(CONTENT, 0.0))


def _without_spread(total: Groups) -> Bool[np.ndarray, " groups"]:
    return np.asarray(np.ptp(total, axis=1) < NO_SPREAD)
