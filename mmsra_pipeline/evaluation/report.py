"""Metrics with intervals from rankings, as a table, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import ITEM, POSITION, SCORE, USER
from mmsra_pipeline.config import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.candidates import IS_TARGET, PROTOCOL
from mmsra_pipeline.evaluation.metrics import PooledAuc, auc_user, hr, mrr, ndcg, placed

AUC_POOLED = "auc_pooled"
ROWS = ("random", "popularity", "cooccurrence", "sasrec", "mmsrarec")  # the order of tables; others follow by name
QUANTILES = (2.5, 97.5)
WIDTH = 100  # columns of a terminal that text is written for
BLOCK_CELLS = 4_000_000  # sample weights held at once


class _Scored:
    """The lists of one protocol as scored by one row."""

    def __init__(self, rankings: pd.DataFrame, cutoff: int) -> None:
        lists = rankings.groupby([USER, POSITION], sort=False).ngroup().to_numpy()
        is_target, scores = rankings[IS_TARGET].to_numpy(), rankings[SCORE].to_numpy(dtype=np.float64)
        at = placed(lists, is_target, scores)
        self.users = len(at.higher)
        self.per_user = {
            f"hr@{cutoff}": hr(at, cutoff),
            f"ndcg@{cutoff}": ndcg(at, cutoff),
            f"mrr@{cutoff}": mrr(at, cutoff),
            "auc_user": auc_user(at),
        }
        self._pooled = PooledAuc(lists, is_target, scores)

    def value(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric in percent, per sample, where user i counts ``weights[:, i]`` times."""
        total = weights.sum(axis=1)
        values = {name: 100 * (weights @ each) / total for name, each in self.per_user.items()}
        return values | {AUC_POOLED: 100 * self._pooled.value(weights)}


def metrics_table(rankings: pd.DataFrame, config: EvaluationConfig, seed: int) -> pd.DataFrame:
    """Measure every row of ``rankings`` under every protocol, in percent, with 95 % bootstrap intervals over users.

    The same resamples of users serve all rows, so rows are compared user by user. One test query a user is expected.

    Returns:
        ``row``, ``protocol``, ``users``, ``metric``, ``value``, ``low``, ``high``.

    Raises:
        DataError: if a score is missing, or if rows did not score the same lists.
    """
    measured = []
    for protocol, scored in _by_protocol(rankings, config.cutoff):
        names = list(scored)
        values = {name: scored[name].value(np.ones((1, scored[name].users))) for name in names}
        samples = _bootstrap(scored, config.bootstrap, seed)
        for name in names:
            for metric in values[name]:
                low, high = np.percentile(samples[name][metric], QUANTILES)
                measured.append((name, protocol, scored[name].users, metric, values[name][metric][0], low, high))
    return pd.DataFrame(measured, columns=[ROW, PROTOCOL, "users", "metric", "value", "low", "high"])


def differences(rankings: pd.DataFrame, row: str, baseline: str, config: EvaluationConfig, seed: int) -> pd.DataFrame:
    """Measure how much better ``row`` is than ``baseline``, in points of percent, paired by user.

    Returns:
        ``row``, ``baseline``, ``protocol``, ``users``, ``metric``, ``value``, ``low``, ``high``. An interval without 0
        is a difference that these users show.
    """
    measured = []
    for protocol, scored in _by_protocol(rankings[rankings[ROW].isin([row, baseline])], config.cutoff):
        if {row, baseline} - set(scored):
            raise ValueError(
                f"rankings of protocol {protocol!r} have rows {list(scored)}, not both {row} and {baseline}"
            )
        pair = {name: scored[name] for name in (row, baseline)}
        samples = _bootstrap(pair, config.bootstrap, seed)
        ours, theirs = (pair[name].value(np.ones((1, pair[name].users))) for name in (row, baseline))
        for metric in ours:
            low, high = np.percentile(samples[row][metric] - samples[baseline][metric], QUANTILES)
            value = (ours[metric] - theirs[metric])[0]
            measured.append((row, baseline, protocol, pair[row].users, metric, value, low, high))
    columns = [ROW, "baseline", PROTOCOL, "users", "metric", "value", "low", "high"]
    return pd.DataFrame(measured, columns=columns)


def metrics_json(dataset: str, metrics: pd.DataFrame) -> dict[str, Any]:
    """Give the metrics as JSON content: one entry per row and protocol, each metric with value, low and high."""
    return {"dataset": dataset, "rows": _entries(metrics, [ROW, PROTOCOL, "users"])}


def _entries(metrics: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    """Give one entry per combination of ``keys``, of which "users" is one, with each metric's value, low and high."""
    entries: list[dict[str, Any]] = []
    for names, group in metrics.groupby(keys, sort=False):
        entry: dict[str, Any] = dict(zip(keys, names, strict=True))
        entry["users"] = int(entry["users"])
        for metric, *numbers in group[["metric", "value", "low", "high"]].itertuples(index=False):
            entry[metric] = dict(zip(("value", "low", "high"), (round(float(x), 4) for x in numbers), strict=True))
        entries.append(entry)
    return entries


def format_metrics(metrics: pd.DataFrame) -> str:
    """Write the metrics as plain text, one table per protocol, at most 100 columns wide."""
    tables = []
    for protocol, group in metrics.groupby(PROTOCOL, sort=False):
        text = _fitting_grid(group)
        users = int(group["users"].iloc[0])
        tables.append("\n".join([f"{protocol} negatives, {users} users, percent [95 % interval]", *text]))
    return "\n\n".join(tables)


def format_recall(table: pd.DataFrame) -> str:
    """Write the recall as plain text, at most 100 columns wide."""
    title = f"first stage, whole catalogue, {int(table['n'].iloc[0])} users, percent [95 % interval]"
    return "\n".join([title, *_fitting_grid(_as_metrics(table))])


def recall_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the recall as JSON content: one entry per row, each recall@k with value, low and high."""
    return _entries(_as_metrics(table), [ROW, "users"])


def _as_metrics(table: pd.DataFrame) -> pd.DataFrame:
    named = table.rename(columns={"recall": "value", "n": "users"})
    return named.assign(metric=[f"recall@{k}" for k in table["k"]])


def _fitting_grid(metrics: pd.DataFrame) -> list[str]:
    """Give lines of text: one per ``row``, in columns by ``metric`` the ``value`` with its interval."""
    text = _grid(metrics, decimals=1)
    return text if max(len(line) for line in text) <= WIDTH else _grid(metrics, decimals=0)


def _grid(metrics: pd.DataFrame, decimals: int) -> list[str]:
    names = list(metrics["metric"].unique())
    cells = [["", *names]]
    for row, group in metrics.groupby(ROW, sort=False):
        by_metric = group.set_index("metric")
        cells.append([str(row)])
        for name in names:
            value, low, high = by_metric.loc[name, ["value", "low", "high"]].to_numpy(dtype=np.float64)
            cells[-1].append(f"{value:.1f} [{low:.{decimals}f}-{high:.{decimals}f}]")
    widths = [max(len(line[column]) for line in cells) for column in range(len(names) + 1)]
    return [" ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]


def _by_protocol(rankings: pd.DataFrame, cutoff: int) -> Iterator[tuple[str, dict[str, _Scored]]]:
    """Give each protocol's rows, all over the same lists in the same order."""
    missing = rankings[rankings[SCORE].isna()]
    if len(missing):
        first = missing.iloc[0]
        raise DataError(
            f"{len(missing)} of {len(rankings)} scores in `rankings` are missing (first: row {first[ROW]!r}, "
            f"user {first[USER]!r}, item {first[ITEM]!r}), so nothing can be measured. Materialize 'rankings' again."
        )
    key = [USER, POSITION, ITEM]
    for protocol, group in rankings.groupby(PROTOCOL, sort=False):
        parts = {str(name): part.sort_values(key, ignore_index=True) for name, part in group.groupby(ROW)}
        names = [name for name in ROWS if name in parts] + sorted(set(parts) - set(ROWS))
        for name in names:
            if not parts[name][[*key, IS_TARGET]].equals(parts[names[0]][[*key, IS_TARGET]]):
                raise DataError(
                    f"rows {names[0]!r} and {name!r} of `rankings` scored different candidates under protocol "
                    f"{protocol!r}, so they cannot be compared. Materialize 'rankings' again."
                )
        yield str(protocol), {name: _Scored(parts[name], cutoff) for name in names}


def _bootstrap(scored: dict[str, _Scored], count: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Measure each row on ``count`` resamples of users, the same for all rows."""
    users = next(iter(scored.values())).users
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // (users * 32))
    samples: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in scored}
    for start in range(0, count, block):
        drawn = generator.multinomial(users, np.full(users, 1 / users), size=min(block, count - start))
        weights = drawn.astype(np.float64)
        for name, one in scored.items():
            samples[name].append(one.value(weights))
    return {name: {m: np.concatenate([part[m] for part in parts]) for m in parts[0]} for name, parts in samples.items()}
