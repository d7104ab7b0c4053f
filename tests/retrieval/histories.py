"""Made-up sequences and encoders with known answers, for the tests of retrieval."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from mmsra_pipeline.config.tree import EncoderConfig
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder, build_model
from mmsra_pipeline.telemetry.tracking import NullTracker

CIRCLE = [f"i{number:02}" for number in range(24)]
TINY = EncoderConfig(dim=8, layers=1, heads=2, max_length=6, epochs=3, patience=3, batch_size=4, negatives=4, dropout=0)


def interactions_of(histories: Mapping[str, Sequence[str]], times: Mapping[str, Sequence[int | None]] | None = None):
    """Interactions in order; ``times`` of a user are those of the items, none without."""
    rows = [
        (user, item, times[user][position] if times else None, None, position)
        for user, items in histories.items()
        for position, item in enumerate(items)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "rating", "position"])
    return frame.astype({"timestamp": "Int64"})


def random_training(seed: int = 0, users: int = 40, items: int = 12) -> pd.DataFrame:
    """Histories of up to 8 items, at times of which many are equal."""
    generator = np.random.default_rng(seed)
    names = [f"i{number:02}" for number in range(items)]
    histories = {f"u{u}": list(generator.permutation(names)[: generator.integers(1, 9)]) for u in range(users)}
    times = {user: sorted(generator.integers(0, 30, len(history)).tolist()) for user, history in histories.items()}
    return interactions_of(histories, times)


def sequences_of(interactions: pd.DataFrame, split: str = "train") -> pd.DataFrame:
    """One row per position from 1, all of one split."""
    rows = []
    for user, group in interactions.groupby("user_id"):
        items, times = group["item_id"].tolist(), group["timestamp"].tolist()
        rows += [(user, split, at, items[:at], items[at], times[at]) for at in range(1, len(items))]
    frame = pd.DataFrame(rows, columns=["user_id", "split", "position", "history", "target", "timestamp"])
    return frame.astype({"timestamp": "Int64"})


def query(user: str, history: Sequence[str], time: int | None, *, split: str = "test", target: str | None = "x"):
    """One row of ``sequences``."""
    row = (user, split, len(history), list(history), target, time)
    frame = pd.DataFrame([row], columns=["user_id", "split", "position", "history", "target", "timestamp"])
    return frame.astype({"timestamp": "Int64"})


def random_encoder(items: Sequence[str], config: EncoderConfig = TINY, seed: int = 0) -> UserEncoder:
    """An untrained encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UserEncoder(build_model(config, len(items)), items, config)


class Interrupted(Exception):
    pass


class Recorder(NullTracker):
    """Keeps the steps and names of metrics; stops the training when one of the step ``stop_at`` comes."""

    def __init__(self, stop_at: int | None = None, name: str = "loss"):
        self.steps = []
        self._stop_at = (stop_at, name)

    def log_metrics(self, metrics, step):
        self.steps.append((step, sorted(metrics)))
        if step == self._stop_at[0] and self._stop_at[1] in metrics:
            raise Interrupted


def cycles(users: int = 48, length: int = 6, split_last: bool = True) -> pd.DataFrame:
    """Every user walks the items in the same circle, so that the last item tells the next."""
    histories = {f"u{u:02}": [CIRCLE[(u + step) % 24] for step in range(length)] for u in range(users)}
    sequences = sequences_of(interactions_of(histories))
    if split_last:
        sequences.loc[sequences["position"] == length - 1, "split"] = "validation"
    return sequences
