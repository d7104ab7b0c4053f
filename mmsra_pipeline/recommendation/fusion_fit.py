"""How the fusion is fitted, calibrated and judged: on validation lists alone."""

import functools

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from mmsra_pipeline.columns import ITEM, POSITION, USER
from mmsra_pipeline.config.tree import FusionConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation.fusion import (
    PROTOCOL,
    SIGNAL,
    FusionModel,
    feature_names,
    fusion_features,
    list_numbers,
    sigmoid,
)
from mmsra_pipeline.recommendation.listwise_logit import Evaluated, ListwiseLogit, minimum

IS_TARGET = "is_target"
UNIFORM, SERVED = "uniform", "served"
ENOUGH_TARGETS = 20  # of served lists, to calibrate on them alone
RESAMPLES = 200  # at most: each is a fit
RIDGE = np.array([0.001, 0.1, 0.1])  # on intercept, slope and offset: of lists without any target all stay finite
QUANTILES = (2.5, 97.5)
AT_PIVOT = "at the pivot"


class FusionFit:
    """One kind of fusion and the validation lists that it is fitted on.

    Coefficients are fitted on the uniform lists and on those of the served lists that hold their target, so that each
    user counts once; never on popularity-weighted lists, for what is fitted on them learns that the rarer candidate is
    the right one. Calibration is fitted on the served lists as they are, with or without target, at scores of fits
    that have not seen the user: at those of the fit itself the probabilities would come out too sure.
    """

    def __init__(self, candidates: pd.DataFrame, kind: str, config: FusionConfig, seed: int) -> None:
        """Take the lists.

        Args:
            candidates: lists of validation queries with signals and answers; those of other protocols are left out.
            kind: 'cf+content' or 'mmsrarec+cf'.
            config: regularization and folds.
            seed: of folds and resamples.

        Raises:
            DataError: if there is no list to fit on.
        """
        fitted = candidates[PROTOCOL].isin([UNIFORM, SERVED])
        self._rows = candidates[fitted].reset_index(drop=True)
        self.kind, self._config, self._seed = kind, config, seed
        self._is_target = self._rows[IS_TARGET].to_numpy(dtype=bool)
        self._served = (self._rows[PROTOCOL] == SERVED).to_numpy()
        lists = list_numbers(self._rows)
        whole = (np.bincount(lists, self._is_target) > 0)[lists] if len(lists) else np.zeros(0, dtype=bool)
        if not whole.any():
            raise DataError(
                f"no list of {len(self._rows)} candidates of validation queries holds its target, so the "
                "fusion cannot be fitted. Put 'uniform' into `evaluation.protocols`, or give more interactions."
            )
        self.pivot = self._mean_users()
        self._features = fusion_features(self._rows, kind, self.pivot)
        codes, names = pd.factorize(self._rows[USER], sort=True)
        self._user, self._users = codes.astype(np.int64), len(names)
        _, numbers = np.unique(lists[whole], return_inverse=True)
        self._logit = ListwiseLogit(self._features[whole], numbers, self._is_target[whole])
        self._owner = self._user[whole][np.unique(numbers, return_index=True)[1]]
        self._share = 1 / np.bincount(self._owner, minlength=self._users)[self._owner]

    @functools.cached_property
    def weights(self) -> Float[np.ndarray, " features"]:
        """The coefficients on all users."""
        return self._weights(np.ones(self._users))

    @functools.cached_property
    def model(self) -> FusionModel:
        """The model that is used: fitted and calibrated on all users."""
        slope, intercept, calibration = self._calibrated(np.ones(self._users, dtype=bool))
        weights = tuple(float(weight) for weight in self.weights)
        return FusionModel(self.kind, feature_names(self.kind), weights, self.pivot, slope, intercept, calibration)

    def coefficients(self, resamples: int) -> pd.DataFrame:
        """Return the coefficients with 95 % intervals over validation users, from at most 200 resamples.

        Returns:
            ``kind``, ``feature``, ``value``, ``low``, ``high``. Behind the features of the model each signal has a row
            ``... at the pivot``: what it weighs for an item that the mean number of users took, where both gates are
            one half.
        """
        generator = np.random.default_rng(self._seed)
        even = np.full(self._users, 1 / self._users)
        drawn = generator.multinomial(self._users, even, size=min(resamples, RESAMPLES)).astype(np.float64)
        names = feature_names(self.kind)
        found = _with_pivot(np.stack([self.weights, *(self._weights(counts, self.weights) for counts in drawn)]))
        low, high = np.percentile(found[1:], QUANTILES, axis=0)
        features = [*names, *(f"{name} {AT_PIVOT}" for name in names[::2])]
        columns = {"kind": self.kind, "feature": features, "value": found[0], "low": low, "high": high}
        return pd.DataFrame(columns)

    def cross_fitted(self) -> pd.DataFrame:
        """Return p of every served candidate by a model, calibration included, that has not seen its user.

        The pivot alone is that of all users; no target takes part in it.

        Returns:
            ``user_id``, ``position``, ``item_id``, ``is_target``, ``p``: as many rows as the served lists have; none if
            there is one user only.
        """
        p = np.full(len(self._rows), np.nan)
        for held_out in self._folds(np.ones(self._users, dtype=bool)):
            slope, intercept, _ = self._calibrated(~held_out)
            asked = self._served & held_out[self._user]
            p[asked] = sigmoid(slope * (self._features[asked] @ self._weights(~held_out)) + intercept)
        judged: pd.DataFrame = self._rows.assign(p=p)[~np.isnan(p)].reset_index(drop=True)
        return judged[[USER, POSITION, ITEM, IS_TARGET, "p"]]

    def _weights(self, users: np.ndarray, start: np.ndarray | None = None) -> Float[np.ndarray, " features"]:
        """Fit with user i counting ``users[i]`` times."""
        return self._logit.fit(self._config.regularization, users[self._owner] * self._share, start)

    def _calibrated(self, among: Bool[np.ndarray, " users"]) -> tuple[float, float, str]:
        """Return slope, intercept and on what they were fitted, of these users alone."""
        scores = self._features @ (self.weights if among.all() else self._weights(among))
        for held_out in self._folds(among):
            rows = held_out[self._user]
            scores[rows] = self._features[rows] @ self._weights(among & ~held_out)
        asked = among[self._user]
        served = asked & self._served
        targets = int(self._is_target[served].sum())
        used = served if targets >= ENOUGH_TARGETS else asked
        if used is served:
            found = f"the served lists, {targets} of them with their target"
        elif served.any():
            found = f"the served lists and, for the slope, the uniform ones: only {targets} served hold their target"
        else:
            found = "the uniform lists: there are no served ones"
        # Uniform lists hold their target always, served ones seldom: without an offset of their own p were too high.
        offset = (used & ~self._served)[used] if served.any() else np.zeros(int(used.sum()), dtype=bool)
        return *platt(scores[used], self._is_target[used], offset), found

    def _folds(self, among: Bool[np.ndarray, " users"]) -> list[Bool[np.ndarray, " users"]]:
        """Deal users into folds of nearly the same size; none where there are not two users."""
        places = np.flatnonzero(among)
        count = min(self._config.folds, len(places))
        if count < 2:
            return []
        dealt = np.full(self._users, -1)
        dealt[np.random.default_rng([self._seed, len(places)]).permutation(places)] = np.arange(len(places)) % count
        return [dealt == fold for fold in range(count)]

    def _mean_users(self) -> float:
        """Mean users of an item, as of validation: uniform negatives are a fair sample of the items."""
        asked = ~self._is_target & ~self._served
        users = self._rows[f"{SIGNAL}popularity"].to_numpy(dtype=np.float64)[asked if asked.any() else slice(None)]
        return float(np.nan_to_num(users).mean())


def _with_pivot(weights: Float[np.ndarray, "samples features"]) -> Float[np.ndarray, "samples more"]:
    """Append each signal's weight where both gates are one half; features come in pairs, the gated one second."""
    return np.concatenate([weights, weights[:, ::2] + weights[:, 1::2] / 2], axis=1)


def platt(
    scores: Float[np.ndarray, " rows"], is_target: Bool[np.ndarray, " rows"], offset: Bool[np.ndarray, " rows"]
) -> tuple[float, float]:
    """Fit slope (0 at least) and intercept of a logistic regression on one score (Platt, 1999).

    Args:
        scores: joined scores.
        is_target: what happened.
        offset: rows with an intercept of their own, which is not returned.
    """
    for columns in ([scores, offset], [np.zeros_like(scores), offset]):
        features = np.stack([np.ones_like(scores), *columns], axis=1).astype(np.float64)
        intercept, slope, _ = minimum(functools.partial(_binary, features, is_target), np.zeros(3))
        if slope >= 0:
            break
    return float(slope), float(intercept)


def _binary(features: np.ndarray, is_target: np.ndarray, found: np.ndarray) -> Evaluated:
    logits = features @ found
    p = sigmoid(logits)
    loss = np.logaddexp(0, logits).sum() - logits[is_target].sum() + found @ (RIDGE * found) / 2
    gradient = features.T @ (p - is_target) + RIDGE * found
    hessian = (features * (p * (1 - p))[:, None]).T @ features + np.diag(RIDGE)
    return float(loss), gradient, hessian
