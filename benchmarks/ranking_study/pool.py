"""Joins runs of several seeds: each user's mean over them, with intervals over users, as Markdown.

    python benchmarks/ranking_study/pool.py seed0.parquet seed1.parquet seed2.parquet [--pairs mmsrarec:sasrec ...]

Reads what `measure.py --users` wrote. A user is one number however many seeds there are: seeds average out draws and
trainings, users give the interval. Users whom not every seed scored are left out.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import USER
from mmsra_pipeline.evaluation.baselines import ORDER, ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.resampling import QUANTILES, resampled_means

METRICS = {"hr@5": "HR@5", "ndcg@5": "NDCG@5", "mrr@5": "MRR@5", "auc_user": "AUC"}
PAIRS = (
    "mmsrarec:sasrec", "mmsrarec:content", "mmsrarec:evidence", "mmsrarec+cf:sasrec", "mmsrarec+cf:evidence",
    "mmsrarec+cf:content", "mmsrarec+cf:cf+content", "mmsrarec+cf:mmsrarec", "cf+content:sasrec",
)  # fmt: skip
RESAMPLES = 5000


def joined(files: list[Path]) -> pd.DataFrame:
    """Return each user's mean over the files, in percent, indexed by protocol, row and user."""
    runs = [pd.read_parquet(file) for file in files]
    every = pd.concat([run.assign(run=number) for number, run in enumerate(runs)])
    groups = every.groupby([PROTOCOL, ROW, USER], sort=False)
    means = 100 * groups[list(METRICS)].mean()
    return means[groups["run"].nunique() == len(files)]


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and the bounds of their 95 % intervals, by column; rows are users."""
    low, high = np.percentile(resampled_means(values, RESAMPLES, 0), QUANTILES, axis=0)
    return values.mean(axis=0), low, high


def main() -> None:
    """Join and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pairs", nargs="*", default=PAIRS)
    asked = parser.parse_args()
    table = joined(asked.files)
    for protocol in table.index.unique(PROTOCOL):
        own = table.loc[protocol]
        there = set(own.index.unique(ROW))
        users = len(own.loc[next(iter(there))])
        print(f"\n{protocol} negatives, {users} users, {len(asked.files)} seeds\n")
        print("| row | " + " | ".join(METRICS.values()) + " |\n|---" + "|---" * len(METRICS) + "|")
        for row in [*(name for name in ORDER if name in there), *sorted(there - set(ORDER))]:
            cells = (
                f"{mean:.1f} [{low:.1f}, {high:.1f}]" for mean, low, high in zip(*interval(own.loc[row].to_numpy()))
            )
            print(f"| {row} | " + " | ".join(cells) + " |")
        print("\n| difference, points | HR@5 | NDCG@5 |\n|---|---|---|")
        for pair in asked.pairs:
            ours, other = pair.split(":")
            if {ours, other} <= there:
                less = (own.loc[ours] - own.loc[other])[["hr@5", "ndcg@5"]].dropna().to_numpy()
                cells = (f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in zip(*interval(less)))
                print(f"| {ours} - {other} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
