"""RecBole's SASRec, an epoch at a time: the other side of ``benchmarks/encoder.py``, run in an environment of its own.

The folder that it is given holds ``settings.json``, with RecBole's names, and the interactions. Each line on standard
input is answered with one line of JSON. "epoch" trains and validates once, as RecBole's ``Trainer.fit`` does. "scores"
writes the scores of all test users over all items, by the epoch of the best validation, as ``scores.npz``.
"""

import copy
import json
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed


class Peer:
    """RecBole's data, model and trainer."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.config = Config(model=SASRec, dataset="bench", config_dict=settings)
        init_seed(self.config["seed"], self.config["reproducibility"])
        self.dataset = create_dataset(self.config)
        self.train, self.validation, self.test = data_preparation(self.config, self.dataset)
        self.model = SASRec(self.config, self.train.dataset)
        self.trainer = Trainer(self.config, self.model)
        self.best: dict[str, torch.Tensor] = {}
        self.reached: list[float] = []

    def epoch(self) -> dict[str, float]:
        """Train on every row once and validate."""
        start, used = time.perf_counter(), time.process_time()
        self.trainer._train_epoch(self.train, len(self.reached))
        seconds = time.perf_counter() - start
        reached, _ = self.trainer._valid_epoch(self.validation)
        if not self.reached or reached > max(self.reached):
            self.best = copy.deepcopy(self.model.state_dict())
        self.reached.append(float(reached))
        return {"seconds": seconds, "cpu": time.process_time() - used, "reached": float(reached)}

    def scores(self, file: Path) -> dict[str, int]:
        """Write users, items and scores; of the padding item none."""
        self.model.load_state_dict(self.best)
        self.model.eval()
        users, scores = [], []
        with torch.no_grad():
            for interaction, *_ in self.test:
                users += self.dataset.id2token("user_id", interaction["user_id"].numpy()).tolist()
                scores.append(self.model.full_sort_predict(interaction).numpy()[:, 1:])
        items = self.dataset.id2token("item_id", np.arange(1, self.dataset.item_num))
        np.savez(file, users=np.array(users), items=np.array(items.tolist()), scores=np.concatenate(scores))
        return {"best_epoch": int(np.argmax(self.reached)) + 1}

    def facts(self) -> dict[str, Any]:
        """What is trained on: a row is one prefix of a history with the item that came next."""
        return {"rows": len(self.train.dataset), "steps": len(self.train), "threads": torch.get_num_threads()}


def answers(peer: Peer, folder: Path) -> Iterator[dict[str, Any]]:
    """Do what each line asks for."""
    yield peer.facts()
    for line in sys.stdin:
        yield peer.epoch() if line.strip() == "epoch" else peer.scores(folder / "scores.npz")


def main() -> None:
    """Answer until standard input ends."""
    warnings.filterwarnings("ignore")
    folder = Path(sys.argv.pop())  # RecBole reads the command line too
    for answer in answers(Peer(json.loads((folder / "settings.json").read_text())), folder):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
