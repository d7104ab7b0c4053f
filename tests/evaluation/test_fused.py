import pandas as pd
from recommendation.synthetic_lists import both, synthetic_lists

from mmsra_pipeline.config.tree import FusionConfig
from mmsra_pipeline.evaluation.baselines import RANKING_COLUMNS
from mmsra_pipeline.evaluation.calibration import calibration
from mmsra_pipeline.evaluation.fused import fused_rankings
from mmsra_pipeline.recommendation.fusion import KINDS
from mmsra_pipeline.recommendation.fusion_fit import FusionFit

RULE = {"sequence": 1.0, "taste*rare": 1.5, "logit": 0.8}


def test_each_fusion_ranks_the_same_lists_with_score_and_p():
    models = {kind: FusionFit(both(60, RULE), kind, FusionConfig(), 0).model for kind in KINDS}
    tested = pd.concat(
        [synthetic_lists(9, RULE, seed=3, part="test", protocol=name) for name in ("uniform", "popularity")]
    )
    table = fused_rankings(tested, models)
    assert table.columns.tolist() == RANKING_COLUMNS
    assert table["row"].unique().tolist() == ["cf+content", "mmsrarec+cf"]
    own = RANKING_COLUMNS[:1] + RANKING_COLUMNS[2:6]
    for name, part in table.groupby("row"):
        pd.testing.assert_frame_equal(part[own].reset_index(drop=True), tested[own].reset_index(drop=True))
        assert (part["score"].to_numpy() == models[name].score(tested)).all()
        assert part["p"].between(0, 1).all()


def test_p_of_users_not_seen_is_little_off_and_much_off_when_served_lists_change():
    fit = FusionFit(both(400, RULE, present=0.5), "mmsrarec+cf", FusionConfig(), 0)
    judged = fit.cross_fitted()
    assert calibration(judged["p"].to_numpy(), judged["is_target"].to_numpy()).ece < 0.012
    uniform = synthetic_lists(400, RULE, seed=5, protocol="served", present=0.05)
    assert calibration(fit.model.probability(uniform), uniform["is_target"].to_numpy()).ece > 0.015
