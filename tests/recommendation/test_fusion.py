import dataclasses

import numpy as np
import pandas as pd
import pytest
from recommendation.synthetic_lists import both, planted, synthetic_lists

from mmsra_pipeline.config.tree import FusionConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation.fusion import (
    FUSED,
    KINDS,
    WITHOUT_MODEL,
    FusionModel,
    feature_names,
    fusion_features,
    gate,
    load_models,
    save_models,
    standardized,
)
from mmsra_pipeline.recommendation.fusion_fit import FusionFit, platt

RULE = {"sequence": 0.5, "sequence*popular": 1.0, "taste*rare": 1.5, "logit": 0.8}
CONFIG = FusionConfig()


def fit(candidates: pd.DataFrame, kind: str = FUSED, **settings) -> FusionFit:
    return FusionFit(candidates, kind, CONFIG.model_copy(update=settings), 0)


def pivot_of(candidates: pd.DataFrame) -> float:
    return FusionFit(candidates, FUSED, CONFIG, 0).pivot


def weights_of(model: FusionModel) -> dict[str, float]:
    return dict(zip(model.features, model.weights, strict=True))


def test_planted_coefficients_come_back():
    candidates = synthetic_lists(3000, {})
    rule = planted(candidates, RULE, pivot_of(candidates))
    noisy = rule + np.random.default_rng(5).gumbel(size=len(rule))
    candidates["is_target"] = noisy == candidates.assign(s=noisy).groupby("user_id")["s"].transform("max")
    found = weights_of(fit(candidates).model)
    for name, weight in found.items():
        assert weight == pytest.approx(RULE.get(name, 0.0), abs=0.3), name
    for name in ("sequence", "taste", "logit"):  # what both of a pair say together is surer than each
        gated = f"{name}*popular" if name == "sequence" else f"{name}*rare"
        expected = RULE.get(name, 0.0) + RULE.get(gated, 0.0) / 2
        assert found[name] + found[gated] / 2 == pytest.approx(expected, abs=0.1)


def test_the_gate_is_one_half_at_the_pivot_and_rises_with_the_users():
    np.testing.assert_allclose(gate(np.array([0.0, 7.0, np.nan]), 7.0), [0.0, 0.5, 0.0])
    assert (np.diff(gate(np.arange(100.0), 7.0)) > 0).all()
    assert gate(np.array([0.0, 3.0]), 0.0).tolist() == [0.0, 1.0]  # nobody took anything: no division by 0


def test_popular_items_are_believed_by_collaboration_and_rare_ones_by_content():
    lists = synthetic_lists(1, {}, size=4)
    lists["signal_popularity"] = [0.0, 0.0, 1e9, 1e9]
    features = pd.DataFrame(fusion_features(lists, FUSED, 5.0), columns=list(feature_names(FUSED)))
    assert (features.loc[:1, "sequence*popular"] == 0).all()
    np.testing.assert_allclose(features.loc[:1, "taste*rare"], features.loc[:1, "taste"])
    np.testing.assert_allclose(features.loc[2:, "sequence*popular"], features.loc[2:, "sequence"], rtol=0.1)
    assert (features.loc[2:, "logit*rare"].abs() < 0.1 * features.loc[2:, "logit"].abs()).all()


def test_popularity_itself_is_no_term():
    candidates = synthetic_lists(400, {})
    candidates["is_target"] = candidates.groupby("user_id")["signal_popularity"].rank(method="first") == 1
    model = fit(candidates).model
    alone = synthetic_lists(50, {}, seed=3)
    for name in alone.columns[alone.columns.str.startswith("signal_") | (alone.columns == "logit")]:
        if name != "signal_popularity":
            alone[name] = 1.0
    assert (model.score(alone) == 0).all()


def test_a_signal_counts_by_its_place_in_the_list_and_what_is_unknown_as_the_lowest():
    values = np.array([10.0, 30.0, np.nan, 5.0, 5.0, np.nan, np.nan])
    lists = np.array([0, 0, 0, 1, 1, 1, 2])
    found = standardized(values, lists)
    assert found[2] == found[0]
    np.testing.assert_allclose(standardized(values * 1000 - 7, lists), found, atol=1e-9)
    assert found[3:].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose([found[:3].mean(), found[:3].std()], [0, 1], atol=1e-9)
    assert standardized(np.full(3, 0.1), np.zeros(3, dtype=np.int64)).tolist() == [0, 0, 0]  # 0.1 has rounding


def test_popularity_weighted_lists_never_enter_the_fit():
    candidates = both(150, RULE)
    against = synthetic_lists(150, {name: -3 * weight for name, weight in RULE.items()}, seed=9, protocol="popularity")
    expected = fit(candidates)
    found = fit(pd.concat([against, candidates], ignore_index=True))
    assert found.model == expected.model
    pd.testing.assert_frame_equal(found.coefficients(20), expected.coefficients(20))
    pd.testing.assert_frame_equal(found.cross_fitted(), expected.cross_fitted())


def test_the_order_of_the_rows_changes_no_score():
    candidates = both(60, RULE)
    model = fit(candidates).model
    shuffled = candidates.sample(frac=1, random_state=0)
    np.testing.assert_allclose(model.score(shuffled), model.score(candidates)[shuffled.index], atol=1e-12)
    again = fit(shuffled).model
    np.testing.assert_allclose(again.weights, model.weights, atol=1e-6)


def test_each_user_counts_once_however_many_lists_the_user_has():
    # Of the same popularity, for the pivot is a mean over lists.
    one, other = (synthetic_lists(40, RULE, seed).assign(signal_popularity=5.0) for seed in (0, 1))
    other["user_id"] = "x" + other["user_id"]
    repeated = pd.concat([one.assign(position=place) for place in range(5)])
    plain = fit(pd.concat([one, other], ignore_index=True)).model.weights
    busy = fit(pd.concat([repeated, other], ignore_index=True)).model.weights
    np.testing.assert_allclose(busy, plain, atol=1e-6)


def test_served_lists_without_their_target_calibrate_but_do_not_fit():
    with_target, without = (
        both(100, RULE, present=1.0),
        synthetic_lists(300, RULE, seed=7, protocol="served", present=0.0),
    )
    without["user_id"] = "x" + without["user_id"]
    few, many = fit(with_target), fit(pd.concat([with_target, without], ignore_index=True))
    np.testing.assert_allclose(many.model.weights, few.model.weights, atol=1e-6)
    served = with_target[with_target["protocol"] == "served"]
    assert many.model.probability(served).mean() == pytest.approx(few.model.probability(served).mean() / 4, rel=0.1)


def test_probability_is_how_often_it_happens_on_served_lists_of_other_users():
    model = fit(both(400, RULE, present=0.4)).model
    fresh = synthetic_lists(1500, RULE, seed=77, protocol="served", present=0.4)
    p = model.probability(fresh)
    assert p.mean() == pytest.approx(fresh["is_target"].mean(), rel=0.12)
    surest = p >= np.quantile(p, 0.9)
    assert p[surest].mean() == pytest.approx(fresh.loc[surest, "is_target"].mean(), rel=0.15)
    assert model.calibration.startswith("the served lists, ")


def test_calibration_is_not_taken_in_by_what_the_fit_has_learned_by_heart():
    noise = both(60, {}, present=1.0)  # no signal tells anything
    assert fit(noise, regularization=0.01).model.slope < 0.4


def test_few_served_targets_take_the_slope_of_the_uniform_lists_and_keep_their_own_base_rate():
    rare = both(300, RULE, present=0.03)
    targets = int(rare.loc[rare["protocol"] == "served", "is_target"].sum())
    assert 0 < targets < 20
    model = fit(rare).model
    assert f"the uniform ones: only {targets} served" in model.calibration
    served = rare[rare["protocol"] == "served"]
    assert model.probability(served).mean() == pytest.approx(served["is_target"].mean(), rel=0.5)
    assert model.slope > 0.5
    unserved = fit(synthetic_lists(50, RULE)).model
    assert unserved.calibration == "the uniform lists: there are no served ones"
    assert unserved.probability(synthetic_lists(50, RULE)).mean() == pytest.approx(1 / 21, rel=0.1)


def test_calibration_never_turns_the_order():
    scores = np.linspace(-1, 1, 50)
    slope, intercept = platt(scores, scores < -0.6, np.zeros(50, dtype=bool))
    assert slope == 0
    assert intercept == pytest.approx(np.log(10 / 40), abs=0.01)
    slope, intercept = platt(scores, np.zeros(50, dtype=bool), np.zeros(50, dtype=bool))
    assert slope >= 0
    assert -20 < intercept < -5


def test_p_of_cross_fitting_has_not_seen_its_user():
    candidates = both(60, RULE)
    expected = fit(candidates).cross_fitted()
    served = candidates[candidates["protocol"] == "served"].reset_index(drop=True)
    pd.testing.assert_frame_equal(expected.drop(columns="p"), served[expected.columns.drop("p")])
    of_user = expected["user_id"] == expected.loc[expected["is_target"], "user_id"].iloc[0]
    own = candidates["user_id"] == expected.loc[of_user, "user_id"].iloc[0]
    for protocols, tolerance in ((["served"], 0), (["served", "uniform"], 1e-4)):  # the pivot is that of all users
        other = candidates.copy()
        for protocol in protocols:  # what came next was another item
            turned = own & (candidates["protocol"] == protocol)
            other.loc[turned, "is_target"] = np.roll(other.loc[turned, "is_target"], 1)
        changed = fit(other).cross_fitted()
        np.testing.assert_allclose(changed.loc[of_user, "p"], expected.loc[of_user, "p"], rtol=tolerance)
        assert (changed.loc[~of_user, "p"] / expected.loc[~of_user, "p"] - 1).abs().max() > 0.01


def test_intervals_hold_the_coefficients_and_narrow_with_users():
    few, many = (fit(both(users, RULE), regularization=0.1).coefficients(100) for users in (60, 400))
    assert few.columns.tolist() == ["kind", "feature", "value", "low", "high"]
    assert few["feature"].tolist()[:16] == list(feature_names(FUSED))
    assert few["feature"].tolist()[16:] == [f"{name} at the pivot" for name in feature_names(FUSED)[::2]]
    assert ((few["low"] <= few["value"]) & (few["value"] <= few["high"])).mean() > 0.9
    assert (many["high"] - many["low"]).mean() < 0.7 * (few["high"] - few["low"]).mean()
    values = many.set_index("feature")["value"]
    assert values["logit at the pivot"] == pytest.approx(values["logit"] + values["logit*rare"] / 2)
    pd.testing.assert_frame_equal(fit(both(50, RULE)).coefficients(5000), fit(both(50, RULE)).coefficients(200))


def test_the_kind_without_the_model_does_not_read_its_logit():
    candidates = both(60, RULE)
    found = fit(candidates.drop(columns="logit"), WITHOUT_MODEL).model
    assert found == fit(candidates, WITHOUT_MODEL).model
    assert not any("logit" in name for name in found.features)


def test_a_slot_that_is_switched_off_weighs_exactly_nothing():
    candidates = both(60, RULE).assign(signal_votes=np.nan, signal_next=np.nan)
    found = fit(candidates)
    weights = weights_of(found.model)
    assert [weights[name] for name in ("votes", "votes*popular", "next", "next*popular")] == [0, 0, 0, 0]
    table = found.coefficients(20).set_index("feature")
    assert (table.loc[["votes", "next*popular"], ["low", "high"]] == 0).all(axis=None)
    assert np.isfinite(found.model.probability(candidates)).all()


def test_without_popularity_only_content_is_gated():
    candidates = both(60, RULE).assign(signal_popularity=np.nan)
    found = fit(candidates).model
    assert found.pivot == 0
    assert np.isfinite(found.score(candidates)).all()


def test_json_gives_back_the_same_model_to_the_last_bit(tmp_path):
    candidates = both(60, RULE)
    models = {kind: fit(candidates, kind).model for kind in KINDS}
    assert FusionModel.from_json(models[FUSED].to_json()) == models[FUSED]
    save_models(models, tmp_path)
    loaded = load_models(tmp_path)
    assert loaded == models
    np.testing.assert_array_equal(loaded[FUSED].probability(candidates), models[FUSED].probability(candidates))
    assert list(tmp_path.iterdir()) == [tmp_path / "model.json"]


def test_a_model_of_other_features_is_refused():
    stored = dataclasses.replace(fit(both(30, RULE)).model, features=("age",)).to_json()
    with pytest.raises(ValueError, match=r"joins \('age',\), this code \('sequence'"):
        FusionModel.from_json(stored)


def test_one_user_is_enough_for_a_model_but_not_to_judge_it():
    found = fit(both(1, RULE, present=1.0))
    assert np.isfinite(found.model.weights).all()
    assert found.cross_fitted().empty


def test_lists_without_any_target_are_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match=r"cannot be fitted. Put 'uniform' into `evaluation.protocols`"):
        fit(synthetic_lists(5, RULE, protocol="served", present=0.0))
    with pytest.raises(DataError, match="no list of 0 candidates"):
        fit(synthetic_lists(5, RULE, protocol="popularity"))
