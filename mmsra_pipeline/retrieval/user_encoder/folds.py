"""User encoders for training queries: each has not seen the users whom it answers.

The one encoder has learned the very items that training queries ask for. What it says of them is better than what it
says of any later query, and a recommender that is trained on it learns to trust it too much. So the users are dealt out
into folds, and for each a further encoder is trained on all other users.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from mmsra_pipeline.columns import SPLIT, TRAIN, USER
from mmsra_pipeline.config.tree import EncoderConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.histories import QUERY_COLUMNS, Histories
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.retrieval.user_encoder.training import best_epoch, fit, mixed, train_encoder
from mmsra_pipeline.retrieval.user_encoder.windows import training_sequences
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import short_hash
from mmsra_pipeline.telemetry.tracking import Tracker

DESCRIPTION = "folds.json"
FULL = -1  # what stands for the encoder of all users among the numbers of the folds


def fold_of(user: str, folds: int, seed: int) -> int:
    """Return the fold of a user, 0 to ``folds`` - 1, whoever else there is.

    >>> [fold_of(user, 5, seed=0) for user in ("ann", "dan", "ann")]
    [3, 2, 3]
    """
    return int.from_bytes(short_hash(f"{seed} {user}".encode(), 8), "big") % folds


@dataclass(frozen=True)
class FoldedEncoder:
    """The encoder of all users, and one for each fold of users, which has not seen them.

    All know the same items in the same order. Scores of different encoders are on scales of their own: compare them
    within a query.
    """

    full: UserEncoder
    folds: list[UserEncoder] = field(default_factory=list)
    """None: training queries are answered by the full encoder."""
    seed: int = 0
    """Deals the users out."""

    def for_training(self, user: str) -> UserEncoder:
        """Return the encoder that has not seen this user's rows; without folds the full one."""
        return self.folds[fold_of(user, len(self.folds), self.seed)] if self.folds else self.full

    def by_encoder(
        self, users: Sequence[str] | pd.Series, training: Bool[np.ndarray, " queries"]
    ) -> Iterator[tuple[UserEncoder, Int[np.ndarray, " rows"]]]:
        """Return each encoder that is needed, and the full one, with the places of the queries that it answers.

        Args:
            users: of each query.
            training: which queries are for training: they are answered by the encoder that has not seen their user, all
                others by the full one.
        """
        number = np.full(len(users), FULL)
        if self.folds:
            number = np.where(training, _folds_of(users, len(self.folds), self.seed), FULL)
        for fold in np.unique(np.append(number, FULL)).tolist():
            yield (self.full if fold == FULL else self.folds[fold]), np.flatnonzero(number == fold)

    def scores_by_query(
        self, users: Sequence[str], histories: Sequence[Sequence[str]], training: Bool[np.ndarray, " queries"]
    ) -> Float[np.ndarray, "queries items"]:
        """Return the score of every item of ``full.items`` (float32), each query by the encoder that may answer it.

        ``training`` says which queries are for training, as in ``by_encoder``.
        """
        scores = np.empty((len(users), len(self.full.items)), dtype=np.float32)
        for encoder, rows in self.by_encoder(users, training):
            scores[rows] = encoder.score_all([histories[row] for row in rows])
        return scores

    def save(self, folder: Path) -> None:
        """Write the full encoder into ``folder``, where ``UserEncoder.load`` finds it, and folds into folders of it."""
        self.full.save(folder)
        if not self.folds:
            return
        for number, encoder in enumerate(self.folds):
            encoder.save(folder / _name(number))
        described = {"folds": len(self.folds), "seed": self.seed}
        write_atomically(folder / DESCRIPTION, json.dumps(described).encode())

    @classmethod
    def load(cls, folder: Path) -> "FoldedEncoder":
        """Read what ``save`` wrote, or ``UserEncoder.save``: then there are no folds.

        Raises:
            MissingInputError: if a file is not there.
        """
        full = UserEncoder.load(folder)
        if not (folder / DESCRIPTION).is_file():
            return cls(full)
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        folds = [UserEncoder.load(folder / _name(number)) for number in range(described["folds"])]
        return cls(full, folds, described["seed"])


def train_folded(
    sequences: pd.DataFrame,
    config: EncoderConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    histories: Histories | None = None,
) -> tuple[FoldedEncoder, pd.DataFrame]:
    """Train the encoder of all users, then one for each of ``config.folds``; give them and the first one's curve.

    Resumable as ``train_encoder`` is, and raises what it raises.
    """
    full, curve = train_encoder(sequences, config, seed, workdir, tracker, histories)
    epochs = best_epoch(curve)
    folds = train_folds(full, epochs, sequences, config, seed, workdir, tracker, histories) if config.folds else []
    return FoldedEncoder(full, folds, seed), curve


def train_folds(
    full: UserEncoder,
    epochs: int,
    sequences: pd.DataFrame,
    config: EncoderConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    histories: Histories | None = None,
) -> list[UserEncoder]:
    """Train an encoder for each of ``config.folds`` on the training rows of the users outside the fold.

    They train as many ``epochs`` as the full one took to its best: nothing that is held out is looked at again. They
    know the items of ``full``; what only the users of the fold took is never their target. Each resumes in a folder
    of its own in ``workdir``. The tracker gets their loss and speed under their folder's name.

    Raises:
        DataError: if all training users are in one fold.
        ConfigError: if the loss is no finite number.
    """
    rows = sequences[sequences[SPLIT] == TRAIN]
    count = config.folds or 0
    fold = _folds_of(rows[USER], count, seed)
    if count and len(np.unique(fold)) == 1:
        raise DataError(
            f"all {rows[USER].nunique()} training users are in one of {count} folds, so that no other is left to "
            "train an encoder without them. Unset `retrieval.encoder.folds`, or give more interactions."
        )
    as_long = config.model_copy(update={"epochs": epochs})
    encoders, nothing = [], pd.DataFrame(columns=QUERY_COLUMNS)
    for number in range(count):
        name, what = _name(number), f"user encoder fold {number + 1}/{count}"
        training = training_sequences(rows[fold != number], full.items, histories)
        own = _Named(tracker, name)
        encoder, _ = fit(training, nothing, as_long, mixed(seed, number), workdir / name, own, what)
        encoders.append(encoder)
    return encoders


class _Named:
    """Passes metrics on under a name of their own."""

    def __init__(self, tracker: Tracker, name: str) -> None:
        self._tracker, self._name = tracker, name

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Pass settings on as they are."""
        self._tracker.log_params(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Pass values on."""
        self._tracker.log_metrics({f"{self._name}/{key}": value for key, value in metrics.items()}, step)


def _folds_of(users: Sequence[str] | pd.Series, folds: int, seed: int) -> Int[np.ndarray, " users"]:
    """Return the fold of each user; each is looked up once."""
    place, distinct = pd.factorize(users if isinstance(users, pd.Series) else np.asarray(users, dtype=object))
    return np.array([fold_of(str(user), folds, seed) for user in distinct], dtype=np.int64)[place]


def _name(number: int) -> str:
    return f"fold_{number}"
