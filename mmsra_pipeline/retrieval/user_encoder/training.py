"""Trains the user encoder: early stop on the full catalogue, resumable after every epoch."""

import io
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmsra_pipeline.columns import HISTORY, SPLIT, TARGET, VALIDATION
from mmsra_pipeline.config.tree import EncoderConfig
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.user_encoder.gru4rec import Gru4Rec
from mmsra_pipeline.retrieval.user_encoder.losses import effective_loss, next_item_loss
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder, build_model
from mmsra_pipeline.retrieval.user_encoder.sasrec import SasRec
from mmsra_pipeline.retrieval.user_encoder.windows import (
    TrainingSequences,
    flatten,
    shuffled_batches,
    training_sequences,
)
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import fingerprint, joined_hash
from mmsra_pipeline.telemetry.progress import Progress
from mmsra_pipeline.telemetry.tracking import Tracker

NDCG = "ndcg@10"
CUTOFF = 10
SPEED = "targets_per_second"
CHECKPOINT = "training.pt"
SCORED_TOGETHER = 1024  # validation histories whose scores over the catalogue are held at once
logger = logging.getLogger(__name__)


@dataclass
class _State:
    model: SasRec | Gru4Rec
    optimizer: torch.optim.Optimizer
    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0

    @property
    def epoch(self) -> int:
        return len(self.curve)


def train_encoder(
    sequences: pd.DataFrame,
    config: EncoderConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    histories: Histories | None = None,
) -> tuple[UserEncoder, pd.DataFrame]:
    """Train on the training rows of ``sequences``; give the encoder of the best epoch and the curve.

    The curve has ``epoch`` (from 1), ``loss`` (nats per position) and ``ndcg@10`` in [0, 1] of the validation rows, of
    a sample where they are more than ``config.validation_users``, over the full catalogue without the items of the
    history. Training ends after ``config.patience`` epochs without a better NDCG. Without validation rows it runs all
    epochs, NDCG is missing and the last epoch counts.
    The tracker gets the curve too, and the training positions per second, validation and checkpoint left out.

    A run that was stopped goes on from its last whole epoch in ``workdir``, with the result it would have had.

    Raises:
        DataError: if there is no training row.
        ConfigError: if the learning rate is so high that the loss is no finite number.
    """
    training = training_sequences(sequences, histories=histories)
    validation = sequences[sequences[SPLIT] == VALIDATION]
    some = np.random.default_rng([seed, 3]).permutation(len(validation))[: config.validation_users]
    validation = validation.iloc[np.sort(some)]
    if histories is not None:
        validation = histories.joined_to(validation)
    if validation.empty:
        logger.warning("no validation rows: the user encoder trains all %d epochs without an early stop", config.epochs)
    if effective_loss(config, len(training.items)) != config.loss:
        logger.info(
            "user encoder: %d items are more than retrieval.encoder.catalogue_items (%d), so the loss is softmax over "
            "%d sampled ones", len(training.items), config.catalogue_items, config.negatives,
        )  # fmt: skip
    return fit(training, validation, config, seed, workdir, tracker)


def fit(
    training: TrainingSequences,
    validation: pd.DataFrame,
    config: EncoderConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    what: str = "user encoder",
) -> tuple[UserEncoder, pd.DataFrame]:
    """Train as ``train_encoder`` does on what it has read; ``what`` names the training in the log.

    ``validation`` are rows of ``sequences``, maybe none.
    """
    with torch.random.fork_rng(devices=[]):  # initial weights and dropout leave the caller's random state alone
        torch.manual_seed(seed)
        model = build_model(config, len(training.items))
        # One pass over the weights a step: an epoch of MovieLens takes 14 % less than with a pass per operation.
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
        state = _State(model, optimizer)
        name = fingerprint(config.model_dump(), seed, _content(training, validation))
        _resume(state, workdir / CHECKPOINT, name, what)
        progress = Progress(what, config.epochs, "epochs")
        progress.advance(state.epoch)
        while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
            speed = _run_epoch(state, training, validation, config, seed)
            tracker.log_metrics({**_measured(state.curve[-1]), SPEED: speed}, step=state.epoch)
            write_atomically(workdir / CHECKPOINT, _packed(state, name))
            progress.advance(note=f"{_reached(state)}, {speed:,.0f} targets/s")
    model.load_state_dict(state.best)
    logger.info("%s: best epoch %d of %d, %s", what, state.best_epoch, state.epoch, state.curve[state.best_epoch - 1])
    curve = pd.DataFrame(state.curve, columns=["epoch", "loss", NDCG]).astype({"epoch": "int64"})
    return UserEncoder(model, training.items, config), curve


def best_epoch(curve: pd.DataFrame) -> int:
    """Return the epoch, from 1, whose encoder is kept: the first with the best NDCG, or without one the last."""
    reached = curve[NDCG].to_numpy(dtype=float)
    place = -1 if np.isnan(reached).all() else int(np.nanargmax(reached))
    return int(curve["epoch"].iloc[place])


def mixed(seed: int, number: int) -> int:
    """Return another seed for each number."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _run_epoch(
    state: _State, training: TrainingSequences, validation: pd.DataFrame, config: EncoderConfig, seed: int
) -> float:
    """Train and validate once; give the training positions per second."""
    epoch = state.epoch + 1
    torch.manual_seed(mixed(seed, epoch))  # each epoch has its own, so a resumed run is the run not stopped
    start = time.perf_counter()
    loss = _train_epoch(state, training, config, np.random.default_rng([seed, epoch]))
    speed = training.targets / (time.perf_counter() - start)
    if not math.isfinite(loss):
        raise ConfigError(
            f"the user encoder's loss is {loss} in epoch {epoch}: the weights have grown without bound. Lower "
            f"`retrieval.encoder.learning_rate` ({config.learning_rate})."
        )
    encoder = UserEncoder(state.model, training.items, config)
    reached = catalogue_ndcg(encoder, validation[HISTORY].tolist(), validation[TARGET].tolist())
    known = [row[NDCG] for row in state.curve]
    if math.isnan(reached) or not known or reached > max(known):
        state.best_epoch = epoch
        state.best = {name: value.detach().clone() for name, value in state.model.state_dict().items()}
    state.curve.append({"epoch": epoch, "loss": loss, NDCG: reached})
    return speed


def _train_epoch(
    state: _State, training: TrainingSequences, config: EncoderConfig, generator: np.random.Generator
) -> float:
    state.model.train()
    windows = training.windows(config.max_length, generator)
    lengths = (windows > 0).sum(axis=1)
    codes = torch.from_numpy(windows)
    loss_of = next_item_loss(config, len(training.items))
    total = 0.0
    for rows in shuffled_batches(lengths, config.batch_size, generator):
        batch = codes[torch.from_numpy(rows), : int(lengths[rows].max())]
        loss = loss_of(state.model(batch[:, :-1]), batch, state.model.items.weight)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        state.optimizer.step()
        total += loss.item() * int((lengths[rows] - 1).sum())
    return total / training.targets


def catalogue_ndcg(encoder: UserEncoder, histories: Sequence[Sequence[str]], targets: Sequence[str]) -> float:
    """Mean NDCG@10 in [0, 1] of the targets among all known items that are not in the history; nan without a query.

    A target that the encoder does not know earns 0. Of items that score alike the target is ranked last.
    """
    gains: list[np.ndarray] = []
    for start in range(0, len(histories), SCORED_TOGETHER):
        part = histories[start : start + SCORED_TOGETHER]
        scores = encoder.score_all(part)
        codes, row = encoder.codes(part)
        scores[row[codes > 0], codes[codes > 0] - 1] = -np.inf
        wanted, _ = encoder.codes([targets[start : start + SCORED_TOGETHER]])
        reached = scores[np.arange(len(part)), wanted - 1]
        rank = (~(scores < reached[:, None])).sum(axis=1)  # so put, a score that is no number ranks last
        gains.append(np.where((wanted > 0) & (rank <= CUTOFF), 1 / np.log2(rank + 1.0), 0.0))
    return float(np.concatenate(gains).mean()) if gains else math.nan


def _content(training: TrainingSequences, validation: pd.DataFrame) -> str:
    """Hash of all that a training reads."""
    asked, sizes = flatten(validation[HISTORY].tolist())
    numbers = [
        f"{len(one)};".encode() + np.ascontiguousarray(one, dtype=np.int64).tobytes()
        for one in (training.codes, training.sizes, sizes)
    ]
    return joined_hash([*numbers, repr([training.items, asked.to_pylist(), validation[TARGET].tolist()]).encode()])


def _reached(state: _State) -> str:
    last = state.curve[-1]
    if math.isnan(last[NDCG]):
        return f"loss {last['loss']:.3f}"
    return f"{NDCG} {last[NDCG]:.3f}, best in epoch {state.best_epoch}"


def _measured(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "epoch" and not math.isnan(value)}


def _packed(state: _State, name: str) -> bytes:
    content = io.BytesIO()
    torch.save(
        {
            "name": name,
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "curve": state.curve,
            "best": state.best,
            "best_epoch": state.best_epoch,
        },
        content,
    )
    return content.getvalue()


def _resume(state: _State, file: Path, name: str, what: str) -> None:
    if not file.is_file():
        return
    saved: dict[str, Any] = torch.load(file, weights_only=True)
    if saved["name"] != name:
        logger.info("%s: %s is of other settings or sequences: training begins anew", what, file.name)
        return
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.curve, state.best, state.best_epoch = saved["curve"], saved["best"], saved["best_epoch"]
    logger.info("%s: going on after epoch %d", what, state.epoch)
