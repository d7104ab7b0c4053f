"""Whether tuning helped: held-out items before and after, and what a curve warns of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from peft import PeftModel

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import ITEM
from mmsra_pipeline.config.tree import RewardWeights
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.summarization.tuning.advantages import PENALTIES
from mmsra_pipeline.summarization.tuning.likelihoods import Said
from mmsra_pipeline.summarization.tuning.rollouts import Item, Rollout, Writer
from mmsra_pipeline.summarization.tuning.scorer import SummaryScorer

SCORED = tuple(RewardWeights.model_fields)
RESAMPLES = 2000
COLLAPSED = 0.1  # of the first steps' entropy
FIRST_STEPS = 3
MOST_FLAT = 0.5  # groups without spread
MOST_CUT = 0.1  # completions at the limit
COLUMNS = ["measure", "before", "after", "difference", "low", "high", "items"]


@dataclass(frozen=True)
class Measures:
    """Greedy keywords of held-out items, without and with the adapter."""

    table: pd.DataFrame
    """``measure``, ``before``, ``after``, ``difference``, ``low`` and ``high`` (95 % of resamples of items, paired) and
    ``items``. Measures are the reward terms, their weighted sum ``total``, ``keywords``, and ``pictured``, the share of
    items with a picture that have a keyword of it."""
    examples: pd.DataFrame
    """``item_id``, ``draft``, ``tuned``: what was written."""


def measure_tuning(
    backbone: Backbone,
    model: PeftModel,
    writer: Writer,
    scorer: SummaryScorer,
    items: Sequence[Item],
    weights: RewardWeights,
    *,
    seed: int = 0,
) -> Measures:
    """Write keywords of items greedily without and with the adapter, and compare what they earn.

    ``total`` sums each term in the standard deviations that it has over the drafts, as tuning standardizes terms
    before it weights them; penalties are summed as they are.

    Args:
        backbone: with the adapter in place.
        model: its adapted model.
        writer: writes the keywords.
        scorer: of the reward terms.
        items: on which nothing was tuned; may be none.
        weights: of the terms.
        seed: of the resamples.
    """
    if not items:
        return Measures(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=[ITEM, "draft", "tuned"]))
    with model.disable_adapter():
        drafts = [group[0] for group in writer.write(items)]
    tuned = [group[0] for group in writer.write(items)]
    before, after = (_values(backbone, scorer, some) for some in (drafts, tuned))
    scale = {name: _scale(name, values) for name, values in before.items()}
    for values in (before, after):
        summed = [
            getattr(weights, name) * np.nan_to_num(values[name]) / scale[name] for name in values if name in SCORED
        ]
        values["total"] = np.sum(summed, axis=0)
    rows = [_compared(name, before[name], after[name], seed) for name in before]
    examples = {ITEM: [item.name for item in items], "draft": [_as_text(one) for one in drafts]}
    examples["tuned"] = [_as_text(one) for one in tuned]
    return Measures(pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(examples))


def alarms(curve: pd.DataFrame, measures: Measures) -> list[str]:
    """Say in words what looks wrong in a tuning.

    Args:
        curve: of ``tune_summarizer``.
        measures: of held-out items.
    """
    found: list[str] = []
    if curve.empty:
        return found
    flat, cut = float(curve["no_spread"].mean()), float(curve["at_limit"].mean())
    if flat > MOST_FLAT:
        found.append(f"{flat:.0%} of the groups earned the same throughout, so nothing was learned from them")
    if cut > MOST_CUT:
        found.append(f"{cut:.0%} of the completions were cut by the token limit")
    first, last = (float(part["entropy"].mean()) for part in (curve.head(FIRST_STEPS), curve.tail(FIRST_STEPS)))
    if len(curve) > FIRST_STEPS and last < COLLAPSED * first:
        found.append(f"the policy's entropy fell from {first:.2f} to {last:.2f} nats a token: it says one thing only")
    pictured = measures.table[measures.table["measure"] == "pictured"]
    for was, now in pictured[["before", "after"]].to_numpy(dtype=np.float64):
        if now < was:
            found.append(f"held-out items with keywords of their picture fell from {was:.0%} to {now:.0%}")
    return found


def _values(backbone: Backbone, scorer: SummaryScorer, rollouts: Sequence[Rollout]) -> dict[str, np.ndarray]:
    """Return each measure of each item; NaN where it says nothing of it."""
    with torch.no_grad(), backbone.autocast():
        reference: list[Said] = scorer.reference(rollouts)
        values = scorer.terms(rollouts, reference)
    pictured = np.array([one.item.image is not None for one in rollouts])
    if "grounding" in values:
        values["grounding"] = np.where(pictured, values["grounding"], np.nan)
    values["keywords"] = np.array([float(len(one.summary.keywords)) for one in rollouts])
    said = np.array([float(bool(one.summary.image_keywords)) for one in rollouts])
    values["pictured"] = np.where(pictured, said, np.nan)
    return values


def _scale(name: str, values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    spread = float(known.std()) if len(known) else 0.0
    return 1.0 if name in PENALTIES or spread == 0.0 else spread


def _compared(
    name: str, before: np.ndarray, after: np.ndarray, seed: int
) -> tuple[str, float, float, float, float, float, int]:
    known = ~(np.isnan(before) | np.isnan(after))
    if not known.any():
        return name, np.nan, np.nan, np.nan, np.nan, np.nan, 0
    gain = after[known] - before[known]
    low, high = np.percentile(resampled_means(gain[:, None], RESAMPLES, seed)[:, 0], QUANTILES)
    return (
        name,
        float(before[known].mean()),
        float(after[known].mean()),
        float(gain.mean()),
        low,
        high,
        int(known.sum()),
    )


def _as_text(rollout: Rollout) -> str:
    return rollout.text.strip().replace("\n", " | ")
