"""The user encoder against RecBole's SASRec: speed of training, and NDCG@10 on the same test rankings.

    MMSRA_REAL_DATA=../shared/data python benchmarks/encoder.py [--pair catalogue] [--epochs 16] [--length 20]

On MovieLens: films with a poster, 5-core, each user's last film for test and the one before for validation. RecBole
1.2.1 runs in an environment of its own (``--environment``), which is made where it is missing: pip install recbole with
the numpy and pandas that it needs and the torch of this environment.

Alike are dimensions, layers, heads, activation, dropout, length of history, epochs, and the targets of a step and of an
epoch. The learning rates are each side's own default. Each side validates by NDCG@10 over the full catalogue after
every epoch and gives the weights of its best one. One function ranks the scores of both over the full catalogue, what
the user had seen left out.

    --pair catalogue: cross-entropy over the full catalogue on both sides
    --pair softmax:   RecBole's CE over the full catalogue, against ours over 128 negatives a window
    --pair binary:    RecBole's BPR with one negative a target, against our BCE with as many as targets in all

A target is an item that the model learns to say. Both train on the same ones. RecBole makes each a row of its own, the
history before it padded to full length; ours learns all targets of a window of up to ``max_length`` in one pass. So
"sequences" are windows here and rows there, and it is targets a second, or epochs, that can be compared.

The two train in turns, epoch by epoch, so that other load falls on both alike. CPU seconds are of whole epochs,
validation included. Few epochs leave both short of their best; ours is then also trained with the pipeline's own
settings to its early stop, to show what it reaches in the time that RecBole took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SPLIT, TARGET, TEST, USER, VALIDATION
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.tree import EncoderConfig, InteractionsConfig
from mmsra_pipeline.evaluation.metrics import Placed, ndcg
from mmsra_pipeline.ingest.reading import read_dataset
from mmsra_pipeline.interactions.filtering import build_interactions
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.interactions.splits import build_sequences
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.retrieval.user_encoder.training import NDCG, SPEED, train_encoder
from mmsra_pipeline.retrieval.user_encoder.windows import TrainingSequences, training_sequences
from mmsra_pipeline.telemetry.tracking import NullTracker

DATA = "movielens-posters"
PEER = Path(__file__).parent / "peers" / "recbole_sasrec.py"
RECBOLE = ("recbole==1.2.1", "numpy<2", "pandas<2.3")  # it reads names that numpy 2 no longer has
LOSSES: dict[str, tuple[Literal["catalogue", "softmax", "bce"], int, str]] = {
    "catalogue": ("catalogue", 128, "CE"),
    "softmax": ("softmax", 128, "CE"),
    "binary": ("bce", 16, "BPR"),
}
THEIR_RATE = 1e-3  # RecBole's default learning rate
SAMPLES = 10_000  # of the bootstrap


def load(data: Path, workdir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return interactions, and sequences whose validation histories are whole: all that was seen is left out."""
    config = InteractionsConfig(user_core=5, item_core=5, require_image=True, split="leave_last_out")
    raw = read_dataset(DatasetSpec(DATA, "tables", data / DATA), workdir)
    with duckdb.connect() as connection:
        kept, _ = build_interactions(connection, raw.reviews, config, 0, raw_items=raw.items)
        interactions = kept.read_all()
        queries, _ = build_sequences(connection, interactions, config, 0)
        rows = queries.read_all().to_pandas()
    frame = interactions.to_pandas()
    sequences = Histories.of(frame).joined_to(rows)
    asked = sequences[sequences[SPLIT] == VALIDATION]
    sequences.loc[asked.index, HISTORY] = pd.Series(histories(frame, asked), index=asked.index)
    return frame, sequences


def histories(interactions: pd.DataFrame, queries: pd.DataFrame) -> list[list[str]]:
    """All that each query's user took before it."""
    items_of = interactions.sort_values([USER, POSITION]).groupby(USER)[ITEM].agg(list)
    return [items_of[user][:position] for user, position in zip(queries[USER], queries[POSITION], strict=True)]


def environment(folder: Path) -> Path:
    """Return the Python that has RecBole; make its environment where there is none."""
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.is_file():
        print(f"installing {RECBOLE[0]} into {folder} ...", flush=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        version = metadata.version("torch").partition("+")[0]
        for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, f"torch=={version}"], [*pip, *RECBOLE]):
            if subprocess.run(command, check=False).returncode:
                raise SystemExit(f"{' '.join(command)} failed, and without RecBole there is nothing to compare with")
        stamp.touch()
    return python


def recbole_settings(config: EncoderConfig, loss: str, rows: int) -> dict[str, Any]:
    """The same settings by RecBole's names; a step takes as many targets, and each of its rows is one."""
    negatives = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}
    return {
        "data_path": ".", "checkpoint_dir": ".", "use_gpu": False, "seed": 0, "show_progress": False,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "TIME_FIELD": "timestamp",
        "MAX_ITEM_LIST_LENGTH": config.max_length, "hidden_size": config.dim, "inner_size": config.dim,
        "n_layers": config.layers, "n_heads": config.heads, "hidden_act": "relu",
        "hidden_dropout_prob": config.dropout, "attn_dropout_prob": config.dropout,
        "loss_type": loss, "train_neg_sample_args": None if loss == "CE" else negatives,
        "learning_rate": THEIR_RATE, "epochs": config.epochs, "train_batch_size": rows,
        "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
        "metrics": ["NDCG"], "topk": [10], "valid_metric": "NDCG@10",
    }  # fmt: skip


class Peer:
    """RecBole in a process of its own, which sleeps until it is asked."""

    def __init__(self, python: Path, folder: Path, interactions: pd.DataFrame, settings: dict[str, Any]) -> None:
        (folder / "bench").mkdir()
        rows = interactions[[USER, ITEM, POSITION]]  # places for times: no ties
        rows.columns = ["user_id:token", "item_id:token", "timestamp:float"]
        rows.to_csv(folder / "bench" / "bench.inter", sep="\t", index=False)
        (folder / "settings.json").write_text(json.dumps(settings))
        self._running = subprocess.Popen(
            [str(python), str(PEER), str(folder)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._answer()

    def ask(self, what: str) -> dict[str, Any]:
        """Let it do something and wait."""
        assert self._running.stdin
        self._running.stdin.write(f"{what}\n")
        self._running.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let it go."""
        self._running.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._running.stdout
        line = self._running.stdout.readline()
        if not line:
            raise SystemExit("RecBole ended; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Turns(NullTracker):
    """After each epoch of ours lets RecBole train one, and keeps the times of both."""

    def __init__(self, peer: Peer) -> None:
        self.epochs: list[dict[str, float]] = []
        self._peer = peer
        self._since = time.process_time()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Take the times of an epoch of ours, then let RecBole train."""
        used = time.process_time() - self._since
        theirs = self._peer.ask("epoch")
        row = {"speed": metrics[SPEED], "cpu": used, "ndcg": metrics[NDCG]}
        row |= {
            "their_speed": self._peer.facts["rows"] / theirs["seconds"],
            "their_cpu": theirs["cpu"],
            "their_ndcg": theirs["reached"],
        }
        self.epochs.append(row)
        print(f"epoch {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        self._since = time.process_time()


def gains(scores: np.ndarray, items: pd.Index, seen: list[list[str]], targets: list[str]) -> np.ndarray:
    """NDCG@10 of each user over all ``items`` that the user had not seen. The same for both sides."""
    scores = scores.astype(np.float64)
    for row, history in enumerate(seen):
        scores[row, items.get_indexer(pd.Index(history))] = -np.inf
    reached = scores[np.arange(len(scores)), items.get_indexer(pd.Index(targets))][:, None]
    left = np.isfinite(scores).sum(axis=1)
    return ndcg(Placed((scores > reached).sum(axis=1), (scores == reached).sum(axis=1) - 1, left - 1), 10)


def interval(values: np.ndarray) -> str:
    """Mean with a 95 % bootstrap interval over users; the resamples are the same whatever the values."""
    drawn = np.random.default_rng(0).multinomial(len(values), np.full(len(values), 1 / len(values)), size=SAMPLES)
    low, high = np.percentile(drawn @ values / len(values), [2.5, 97.5])
    return f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"


def compare(
    asked: argparse.Namespace, folder: Path, python: Path, interactions: pd.DataFrame, sequences: pd.DataFrame
) -> None:
    """Train both in turns, rank with both, print."""
    import torch  # not before the package, which sets how its threads wait

    loss, negatives, their_loss = LOSSES[asked.pair]
    usual = EncoderConfig(loss=loss, negatives=negatives, max_length=asked.length)
    config = usual.model_copy(update={"batch_size": asked.windows, "epochs": asked.epochs, "patience": asked.epochs})
    training = training_sequences(sequences)
    windows = len(training.windows(config.max_length, np.random.default_rng(0)))
    rows = round(config.batch_size * training.targets / windows)
    peer = Peer(python, folder, interactions, recbole_settings(config, their_loss, rows))
    assert peer.facts["rows"] == training.targets, "the two do not train on the same targets"
    print(f"{DATA}: {interactions[USER].nunique()} users, {interactions[ITEM].nunique()} items, ", end="")
    print(f"{len(interactions)} interactions, {training.targets} targets an epoch")
    drawn = "all items" if loss == "catalogue" else f"{negatives} negatives a window"
    print(f"ours: {loss}, {drawn}, steps of {config.batch_size} windows; ", end="")
    print(f"RecBole: {their_loss}, steps of {rows} rows, {peer.facts['steps']} an epoch")
    threads = f"threads: {torch.get_num_threads()} and {peer.facts['threads']}"
    print(f"histories of {config.max_length}; {threads}", flush=True)

    turns = Turns(peer)
    alike, curve = train_encoder(sequences, config, 0, folder / "alike", turns)
    their_best = peer.ask("scores")["best_epoch"]
    peer.end()
    used = time.process_time()
    stopped, usual_curve = train_encoder(sequences, usual, 0, folder / "usual", NullTracker())
    used = time.process_time() - used

    epochs = pd.DataFrame(turns.epochs)
    report(epochs, windows / training.targets)
    print(f"best epoch of {config.epochs}: ours {int(np.argmax(curve[NDCG])) + 1}, RecBole {their_best}")
    print(f"ours with early stop: {len(usual_curve)} epochs, {used / epochs['their_cpu'].sum():.2f} ", end="")
    print(f"of the CPU seconds of RecBole's {config.epochs} epochs")
    encoders = {"ours, as many epochs": alike, "ours, early stop": stopped}
    rank(interactions, sequences[sequences[SPLIT] == TEST], training, encoders, np.load(folder / "scores.npz"))


def rank(
    interactions: pd.DataFrame,
    queries: pd.DataFrame,
    training: TrainingSequences,
    encoders: Mapping[str, UserEncoder],
    saved: Mapping[str, np.ndarray],
) -> None:
    """Print NDCG@10 of all, and of ours less RecBole's."""
    seen, targets = histories(interactions, queries), queries[TARGET].tolist()
    catalogue = pd.Index(saved["items"])
    lists = [catalogue.tolist()] * len(seen)
    item_codes = training.codes - 1
    popularity = pd.Series(np.bincount(item_codes), index=training.items).reindex(catalogue, fill_value=0).to_numpy()
    scores = {
        "RecBole": saved["scores"][pd.Index(saved["users"]).get_indexer(pd.Index(queries[USER]))],
        **{name: np.stack(encoder.score(seen, lists)) for name, encoder in encoders.items()},
        "popularity": np.tile(popularity, (len(seen), 1)),
    }
    reached = {name: gains(one, catalogue, seen, targets) for name, one in scores.items()}
    print(f"NDCG@10 of test, {len(seen)} users, {len(catalogue)} items less those seen; less RecBole's, paired by user")
    for name, values in reached.items():
        print(f"{name:22} {interval(values)}   {interval(values - reached['RecBole'])}")


def report(epochs: pd.DataFrame, windows_a_target: float) -> None:
    """Print medians over epochs, and the median, least and largest ratio of the epochs."""
    pairs = {
        "targets a second, training": (epochs["speed"], epochs["their_speed"]),
        "sequences a second (windows, rows)": (epochs["speed"] * windows_a_target, epochs["their_speed"]),
        "epochs a CPU second, validated": (1 / epochs["cpu"], 1 / epochs["their_cpu"]),
    }
    print(f"{'':36}{'ours':>10}{'RecBole':>10}  ratio")
    for name, (ours, theirs) in pairs.items():
        ratio = ours / theirs
        spread = f"{ratio.median():.1f} [{ratio.min():.1f}-{ratio.max():.1f}]"
        print(f"{name:36}{ours.median():10.4g}{theirs.median():10.4g}  {spread}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("MMSRA_REAL_DATA"), help="folder of real data sets")
    parser.add_argument("--environment", type=Path, default=Path(sys.prefix) / "recbole")
    parser.add_argument("--pair", choices=sorted(LOSSES), default="catalogue")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--windows", type=int, default=16, help="of a step; RecBole takes as many targets")
    parser.add_argument("--length", type=int, default=20, help="items of a history")
    asked = parser.parse_args()
    if not asked.data or not (Path(asked.data) / DATA).is_dir():
        print(f"skipped: {asked.data or 'MMSRA_REAL_DATA'} names no folder that holds {DATA}")
        return
    python = environment(asked.environment)
    with tempfile.TemporaryDirectory() as folder:
        interactions, sequences = load(Path(asked.data), Path(folder))
        compare(asked, Path(folder), python, interactions, sequences)


if __name__ == "__main__":
    main()
