"""Recall of the first stage, and what similar users are worth, with and without the rule of time, on real data.

    MMSRA_REAL_DATA=FOLDER python benchmarks/first_stage.py --format movielens|microlens [--epochs 30] [--max-users N]
    python benchmarks/first_stage.py --format tables --path FOLDER

Trains the user encoder and prints, for all test users and the whole catalogue, recall@20/100/200 of popularity, each
view alone and both fused; then, for 3 and 10 similar users, how often the target is among their next items (hit share)
and how many of these lie after the query (leak rate), under the safe rule as_of and the paper's rule training_users.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import pandas as pd

from mmsra_pipeline.columns import ITEM, RANK, SPLIT, TIME
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.evaluation.lists import held_out_queries
from mmsra_pipeline.evaluation.recall import first_stage_recall
from mmsra_pipeline.evaluation.report import format_recall
from mmsra_pipeline.ingest.reading import read_dataset
from mmsra_pipeline.interactions.filtering import build_interactions
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.interactions.splits import build_sequences, training_interactions
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.similar_users import find_similar_users, hit_share, leak_rate
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.retrieval.user_encoder.training import best_epoch, train_encoder
from mmsra_pipeline.storage.tables import Store
from mmsra_pipeline.telemetry.tracking import NullTracker

KNOWN = {"movielens": ("tables", "movielens-posters"), "microlens": ("microlens", "microlens-50k")}
NEIGHBORS = (3, 10)


def dataset(kind: str, path: str | None) -> DatasetSpec:
    """Say what to read.

    Raises:
        SystemExit: if it is not there, with the reason.
    """
    reader, folder = KNOWN.get(kind, (kind, ""))
    if path is None:
        root = os.environ.get("MMSRA_REAL_DATA")
        if not root or not folder:
            print("skipped: MMSRA_REAL_DATA names no folder of real data sets, and --path no other")
            raise SystemExit(0)
        path = str(Path(root) / folder)
    if not Path(path).is_dir():
        print(f"skipped: {path} is not there")
        raise SystemExit(0)
    return DatasetSpec(name=kind, format=reader, path=Path(path))  # type: ignore[arg-type]  # checked when it is read


def tables(spec: DatasetSpec, config: Config, workdir: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return interactions, sequences, and the interactions that training may see."""
    raw = read_dataset(spec, workdir)
    with Store(workdir / "data").duckdb() as connection:
        kept, _ = build_interactions(connection, raw.reviews, config.interactions, config.seed, raw_items=raw.items)
        interactions = kept.read_all().to_pandas()
        queries, bounds = build_sequences(connection, interactions, config.interactions, config.seed)
        sequences = Histories.of(interactions).joined_to(queries.read_all().to_pandas())
        training_bounds = bounds.read_all().to_pandas()
    return interactions, sequences, training_interactions(interactions, training_bounds)


def similar_users_table(encoder: UserEncoder, sequences: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return hit share and leak rate, in percent, by rule and number of similar users."""
    queries = held_out_queries(sequences)
    rows = []
    for rule in ("as_of", "training_users"):
        asked = config.retrieval.similar_users.model_copy(
            update={"rule": rule, "k": max(NEIGHBORS), "voters": max(NEIGHBORS)}
        )
        found = find_similar_users(FoldedEncoder(encoder), sequences, queries, asked)
        for k in NEIGHBORS:
            nearest = found[found[RANK] <= k]
            hits, leaks = hit_share(nearest, queries), leak_rate(nearest, queries)
            rows.append((rule, k, 100 * hits, 100 * leaks, len(queries)))
    return pd.DataFrame(rows, columns=["rule", "k", "hit share", "leak rate", "n"])


def settings(asked: argparse.Namespace) -> Config:
    """Return the settings of the run."""
    return Config.model_validate(
        {
            "seed": asked.seed,
            "interactions": {"split": asked.split, "max_users": asked.max_users, "max_items": asked.max_items},
            "retrieval": {"encoder": {"epochs": asked.epochs, "patience": asked.patience, "batch_size": asked.batch}},
        }
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", default="movielens", help="movielens, microlens, or a format of data sets")
    parser.add_argument("--path", help="folder of the data set, in place of MMSRA_REAL_DATA")
    parser.add_argument("--split", default="leave_last_out")
    parser.add_argument("--max-users", type=int)
    parser.add_argument("--max-items", type=int)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--patience", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    spec, config, start = dataset(asked.format, asked.path), settings(asked), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        interactions, sequences, training = tables(spec, config, Path(folder))
        encoder, curve = train_encoder(
            sequences, config.retrieval.encoder, config.seed, Path(folder) / "encoder", NullTracker()
        )
    best = curve.set_index("epoch", drop=False).loc[best_epoch(curve)]
    print(f"encoder: best of {len(curve)} epochs {int(best['epoch'])}, validation NDCG@10 {best['ndcg@10']:.4f}; "
          f"{time.monotonic() - start:.0f} s so far")  # fmt: skip
    stage = FirstStage(
        encoder,
        CooccurrenceIndex.of_training(training, config.retrieval.cooccurrence.window),
        interactions[ITEM].unique().tolist(),
        interactions=interactions,
    )
    measured = first_stage_recall(
        stage, held_out_queries(sequences), training, config.evaluation.bootstrap, config.seed
    )
    compared = measured[measured["row"] != "first_stage"]  # without keywords it is what fused is
    print(f"{asked.format}, split {asked.split}, {len(stage.items)} items, {len(training)} training interactions")
    print(format_recall(compared))
    print("\nsimilar users, percent")
    print(similar_users_table(encoder, sequences, config).to_string(index=False, float_format="%.1f"))
    if sequences.loc[sequences[SPLIT] != "serve", TIME].isna().all():
        print("The data have no times: as_of falls back to training users, and the leak rate cannot be measured.")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
