"""Ranks what `train.py` scored beside all rows that need no language model, and compares in pairs.

    python benchmarks/ranking_study/measure.py --dataset movielens --data FOLDER --scores FOLDER
        [--json FILE] [--users FILE]

Reads the root and settings that `prepare.py` read. Fusions are fitted on the validation lists; nothing is chosen here.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import ITEM, POSITION, SCORE, SPLIT, TEST, USER, VALIDATION
from mmsra_pipeline.evaluation.baselines import EVIDENCE_ROW, OURS, baseline_scores
from mmsra_pipeline.evaluation.by_count import by_count_table
from mmsra_pipeline.evaluation.differences import differences_table
from mmsra_pipeline.evaluation.fused import fused_rankings
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
from mmsra_pipeline.evaluation.measuring import measure, metrics_table
from mmsra_pipeline.evaluation.metrics import hr, placed
from mmsra_pipeline.evaluation.user_metrics import user_metrics_table
from mmsra_pipeline.orchestration import recommender_inputs
from mmsra_pipeline.orchestration.settings_read import dataset_config
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.recommendation.evidence_model import fit_evidence
from mmsra_pipeline.recommendation.fusion import KINDS
from mmsra_pipeline.recommendation.fusion_fit import FusionFit
from mmsra_pipeline.recommendation.sft_dataset import training_lists
from mmsra_pipeline.storage.paths import find_paths

PAIRS = (
    ("mmsrarec", "sasrec"), ("mmsrarec", "content"), ("mmsrarec", "evidence"), ("mmsrarec+cf", "sasrec"),
    ("mmsrarec+cf", "mmsrarec"), ("mmsrarec+cf", "evidence"), ("mmsrarec+cf", "content"),
    ("mmsrarec+cf", "cf+content"), ("mmsrarec+cf", "first_stage"), ("cf+content", "sasrec"),
)  # fmt: skip


def ceiling(stage: Stage, queries: pd.DataFrame, candidates: pd.DataFrame) -> "np.ndarray | None":
    """Score by what a made-up shop decided by."""
    from mmsra_pipeline.ingest.readers.sample import sample_options
    from mmsra_pipeline.sample_store.ceiling import ceiling_scores
    from mmsra_pipeline.sample_store.shop import make_shop

    if stage.spec.format != "sample":
        return None
    options = sample_options(stage.spec)
    return np.asarray(ceiling_scores(make_shop(options.size, options.seed), queries, candidates))


def hits(lists: pd.DataFrame) -> pd.Series:
    """HR@5 of each list by its logits."""
    ordered = lists.sort_values([USER, POSITION], kind="stable")
    numbers = ordered.groupby([USER, POSITION], sort=False).ngroup().to_numpy()
    found = hr(placed(numbers, ordered[IS_TARGET].to_numpy(), ordered["logit"].to_numpy()), 5)
    return pd.Series(100 * found, index=ordered[USER].drop_duplicates())


def say_what_slots_are_worth(held: pd.DataFrame, scores: Path) -> None:
    """Print how HR@5 on validation lists changes where one slot of the evidence is blank, paired by user."""
    for file in sorted(scores.glob("blank_*.parquet")):
        less = pd.read_parquet(file)
        both = held.drop(columns=["logit", "mass"]).merge(less, on=[USER, POSITION, ITEM], how="inner")
        for protocol in ("uniform", "popularity"):
            whole = hits(held[(held[PROTOCOL] == protocol) & held[USER].isin(both[USER])])
            change = (hits(both[both[PROTOCOL] == protocol]) - whole).to_numpy()
            drawn = np.random.default_rng(0).integers(len(change), size=(2000, len(change)))
            low, high = np.percentile(change[drawn].mean(axis=1), (2.5, 97.5))
            print(f"{file.stem} {protocol}: {change.mean():+.1f} [{low:+.1f}, {high:+.1f}] n={len(change)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    for name in ("data", "scores"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--users", type=Path, help="gets a row per protocol, row and user, for pool.py")
    asked = parser.parse_args()
    config = dataset_config(find_paths(), asked.dataset)
    stage = Stage("rankings", asked.dataset, "", "", config, find_paths())
    key = [USER, POSITION, ITEM]
    every = pd.read_parquet(asked.data / "candidates.parquet")
    answers = pd.read_parquet(asked.scores / "scores.parquet")
    every = every.merge(answers, on=key, how="left", validate="many_to_one")
    whole = every.groupby([USER, POSITION])["logit"].transform(lambda own: own.notna().all())
    if not whole.all():
        print(f"left out, for they were not scored: {(~whole).sum()} of {len(whole)} candidates")
    every = every[whole].reset_index(drop=True)
    every["p"] = 1 / (1 + np.exp(-every["logit"]))
    held, candidates = (every[every[SPLIT] == split].reset_index(drop=True) for split in (VALIDATION, TEST))
    fits = {kind: FusionFit(held, kind, config.fusion, config.seed) for kind in KINDS}
    for kind, fit in fits.items():
        print(kind)
        print(fit.coefficients(config.evaluation.bootstrap).round(2).to_string())
    say_what_slots_are_worth(held, asked.scores)
    models = {kind: fit.model for kind, fit in fits.items()}
    queries = pd.read_parquet(asked.data / "queries.parquet")
    queries = queries[(queries[SPLIT] == TEST) & queries[USER].isin(candidates[USER])].reset_index(drop=True)
    training = stage.training_interactions()
    index, encoder = recommender_inputs.cooccurrence_index(stage), recommender_inputs.user_encoder(stage)
    rows = [baseline_scores(candidates, queries, training, index, encoder.full, config.seed)]
    columns = rows[0].columns
    slots = [slot for slot in config.recommendation.prompt.evidence if slot != "all"]
    lists = training_lists(pd.read_parquet(asked.data / "sft_dataset.parquet"))
    scores = {OURS: candidates["logit"], EVIDENCE_ROW: fit_evidence(lists, slots).score(candidates)}
    best = ceiling(stage, queries, candidates)
    if best is not None:
        scores["ceiling"] = best
    for name, score in scores.items():
        rows.append(candidates.assign(row=name, p=np.nan, **{SCORE: score})[columns])
    rows.append(fused_rankings(candidates, models)[columns])
    measured = measure(pd.concat(rows, ignore_index=True), config.evaluation, config.seed)
    table, differences = metrics_table(measured), differences_table(measured)
    counts = by_count_table(measured, training, config.evaluation.bootstrap, config.seed)
    for protocol, part in table.groupby("protocol", sort=False):
        print(f"\n{protocol} negatives, {part['users'].iloc[0]} users")
        print(part.pivot_table("value", "row", "metric", sort=False).round(1).to_string())
        for ours, other in PAIRS:
            found = differences[
                (differences["protocol"] == protocol) & (differences["row"] == ours) & (differences["against"] == other)
            ].set_index("metric")
            said = (
                f"{metric} {row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
                for metric, row in found.loc[[found.index[0], "auc_user"]].iterrows()
            )
            print(f"{ours} - {other}: {'  '.join(said)}")
    print(counts[counts["row"].isin([OURS, "sasrec", "content", *KINDS])].round(1).to_string())
    if asked.users:
        user_metrics_table(measured).to_parquet(asked.users)
    if asked.json:
        tables = {"metrics": table, "differences": differences, "by_count": counts}
        asked.json.write_text(json.dumps({name: own.to_dict("records") for name, own in tables.items()}, default=str))


if __name__ == "__main__":
    main()
