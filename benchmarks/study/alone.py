"""Each reward by itself: a short tuning with one weight, and what it does to every term on the held-out part."""

import dataclasses
import multiprocessing
import tempfile
from pathlib import Path

import pandas as pd

from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.config.tree import RewardWeights
from mmsra_pipeline.summarization.tuning.grpo import PicturedItems, tune_summarizer
from mmsra_pipeline.summarization.tuning.measures import measure_tuning
from mmsra_pipeline.summarization.tuning.rollouts import Writer
from mmsra_pipeline.summarization.tuning.scorer import SummaryScorer
from mmsra_pipeline.telemetry.tracking import NullTracker
from study.budget import Budget
from study.stages import Study

TERMS = ("grounding", "information", "reconstruction", "length", "repetition", "title_copy", "cut_off")
LEAST = 5  # steps
CROWDED = 2.0  # by so much a step takes longer where several processes share a device
SHARE = 0.7  # of the seconds for the steps; the others for loading and measuring


def rewards_alone(
    study: Study,
    budget: Budget,
    adapters: list[Path],
    *,
    steps: int,
    measured: int,
    seconds_a_step: float,
    workers: int,
) -> None:
    """Tune on one reward after the other, ``workers`` at a time, as far as the seconds reach.

    A step of a small model leaves most of a GPU idle: processes side by side fill it.
    """
    if not steps:
        return
    rounds = -(-len(TERMS) // workers)
    each = seconds_a_step * rounds * (CROWDED if workers > 1 else 1.0)
    count = budget.affordable("steps of each reward alone", steps, each, SHARE * budget.left)
    if count < min(LEAST, steps):
        budget.leave_out("rewards alone")
        return
    found: list[pd.DataFrame] = []
    context = multiprocessing.get_context("spawn")
    with budget.stage("rewards alone"), context.Pool(workers, maxtasksperchild=1) as pool:  # ends them when it is left
        asked = [(dataclasses.replace(study), adapters, term, count, measured) for term in TERMS]
        going = pool.imap_unordered(_alone, asked)
        for _ in asked:
            try:
                found.append(going.next(timeout=max(budget.left, 0.1)))
            except multiprocessing.TimeoutError:
                break
            budget.keep("rewards_alone", pd.concat(found, ignore_index=True))
    done = {str(table["reward"].iloc[0]) for table in found}
    if missing := [term for term in TERMS if term not in done]:
        budget.leave_out(f"rewards alone: {', '.join(missing)}")
    if found:
        print(pd.concat(found).to_string(index=False), flush=True)


def _alone(asked: tuple[Study, list[Path], str, int, int]) -> pd.DataFrame:
    study, adapters, term, steps, measured = asked
    config = study.config
    nothing = dict.fromkeys(RewardWeights.model_fields, 0.0)
    weights = RewardWeights(**{**nothing, term: getattr(config.grpo.weights, term)})
    grpo = config.grpo.model_copy(update={"steps": steps, "held_out": 0, "weights": weights})
    backbone, sentences = study.backbone(adapters), SentenceEncoder()
    images, summaries = study.catalogue.images, config.summarization
    with tempfile.TemporaryDirectory() as place:
        result = tune_summarizer(
            backbone, study.trained, images, sentences, grpo, summaries, config.seed, Path(place), NullTracker()
        )
    items = PicturedItems(study.catalogue.parts(study.held_out)[0].head(measured), images)
    writer = Writer(backbone, summaries)
    scorer = SummaryScorer(backbone, result.model, sentences, summaries, config.grpo, writer)
    with backbone.rounded(autocast=backbone.autocasts(config.backbone.autocast)):
        found = measure_tuning(
            backbone, result.model, writer, scorer, list(items), config.grpo.weights, seed=config.seed
        ).table
    return found.assign(reward=term, steps=steps)
