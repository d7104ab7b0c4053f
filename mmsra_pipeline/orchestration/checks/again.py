"""The checks that need only what is stored: of a staged slice before it becomes current, or of a current one again."""

from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import Tables

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.stage import Stage


def stored_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Return the checks of what the asset of ``stage`` has staged; of what is current, where it has staged nothing.

    Every asset has the check of its rows and nulls; some have more.
    """
    from mmsra_pipeline.orchestration.checks.like_before import like_before

    return [*_own(stage), like_before(stage.slice_of(stage.asset), stage.before())]


def _own(stage: "Stage") -> list[dg.AssetCheckResult]:
    from mmsra_pipeline.orchestration.checks import evidence, held_out, scores, trainings

    match stage.asset:
        case Tables.TRAINING_QUERIES:
            return held_out.drawn_checks(stage)
        case Tables.ALIGNMENT | Tables.RECOMMENDER:
            return trainings.loss_checks(stage)
        case Tables.SUMMARIZER:
            return trainings.tuning_checks(stage)
        case Tables.ITEM_KEYWORDS:
            return scores.keyword_checks(stage)
        case Tables.USER_ENCODER:
            return trainings.encoder_checks(stage)
        case Tables.SIMILAR_USERS:
            return held_out.similar_user_checks(stage)
        case Tables.SFT_DATASET:
            return [*held_out.example_checks(stage), evidence.example_evidence(stage)]
        case Tables.FUSION:
            return scores.p_checks(stage)
        case Tables.RANKINGS:
            return [*scores.p_checks(stage), evidence.candidate_evidence(stage)]
    return []
