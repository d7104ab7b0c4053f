"""Training examples as tensors with labels on the answers only, and the order in which they come."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmsra_pipeline.backbone.encoding import IGNORED
from mmsra_pipeline.backbone.likelihood import logits_of, positions
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.several_groups import states_of_groups
from mmsra_pipeline.interactions.query_sampling import KEYWORD_TASKS
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation import task_prompts


def planned_batches(lengths: Sequence[int], *, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """Return the places of the examples of every batch, over all epochs.

    Batches are random, so that each mixes the tasks; within one the examples are ordered by length, so that the parts
    of it that are computed at once hold little padding. The plan depends on its arguments alone: an interrupted
    training that begins again meets the same batches.
    """
    rng = np.random.default_rng([seed, 3])
    plan: list[list[int]] = []
    for _ in range(epochs):
        order = rng.permutation(len(lengths)).tolist()
        batches = (order[at : at + batch_size] for at in range(0, len(order), batch_size))
        plan += [sorted(batch, key=lambda place: (lengths[place], place)) for batch in batches]
    return plan


def encode_examples(backbone: Backbone, rows: Sequence[Mapping[str, Any]], images: ItemImages) -> dict[str, Tensor]:
    """Return rows of ``sft_dataset`` with one prompt each as one batch with ``labels``, padded on the right.

    Keyword answers learn to end. An answer of one token does not: a loss on the end that always follows would only
    dilute that of the token that is scored.
    """
    asked = [task_prompts.render(task_prompts.from_json(row["prompts"][0]), images) for row in rows]
    batch = backbone.encode(asked, [row["answers"][0] for row in rows], side="right")
    labels = batch["labels"]
    places = torch.arange(labels.shape[1], device=labels.device)
    last = ((labels != IGNORED) * places).argmax(dim=1)
    unended = torch.tensor([row["task"] not in KEYWORD_TASKS for row in rows], device=labels.device)
    labels[unended, last[unended]] = IGNORED
    return batch


def batch_loss(backbone: Backbone, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of a batch of :func:`encode_examples`; see :func:`answer_loss`."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    where = positions(backbone.model, inputs)
    states = backbone.model.base_model(**inputs, position_ids=where, use_cache=False).last_hidden_state
    return answer_loss(states, batch["labels"], functools.partial(logits_of, backbone.model))


def group_loss(
    backbone: Backbone,
    asked: Sequence[Sequence[Prompt]],
    answers: Sequence[Sequence[str]],
    *,
    listwise: float,
    yes_no: float,
) -> Tensor:
    r"""Return the mean loss of queries, each with its candidates, of which the first is the positive, in nats.

    $$\lambda \cdot -\log \frac{e^{s_1}}{\sum_j e^{s_j}} + \mu \cdot -\frac1n \sum_j \log P(a_j)$$

    with s = logit(Yes) - logit(No), and P(a) the probability of a candidate's own answer among all tokens, which is the
    next-token loss of the paper (sec. 3.5). ``listwise`` and ``yes_no`` are lambda and mu.
    """
    losses = [
        _query_loss(backbone, states, own, listwise=listwise, yes_no=yes_no)
        for states, own in zip(states_of_groups(backbone, asked), answers, strict=True)
    ]
    return torch.stack(losses).mean()


def _query_loss(
    backbone: Backbone, states: Tensor, answers: Sequence[str], *, listwise: float, yes_no: float
) -> Tensor:
    tokens = [backbone.encoder.first_token(answer) for answer in answers]
    loss = states.new_zeros((), dtype=torch.float32)
    if listwise:
        wanted = torch.tensor([backbone.encoder.first_token(word) for word in (task_prompts.YES, task_prompts.NO)])
        logits = logits_of(backbone.model, states, wanted.to(states.device))
        loss = loss - listwise * torch.log_softmax(logits[:, 0] - logits[:, 1], dim=0)[0]
    if yes_no:
        every = logits_of(backbone.model, states)
        loss = loss + yes_no * torch.nn.functional.cross_entropy(every, torch.tensor(tokens, device=states.device))
    return loss


def answer_loss(
    hidden: Float[Tensor, "batch length dim"], labels: Int[Tensor, "batch length"], head: Callable[[Tensor], Tensor]
) -> Float[Tensor, ""]:
    """Return the mean over examples of the mean negative log-likelihood of an answer's tokens, in nats.

    Each example weighs the same, however long its answer: else a keyword list would count as twenty yes/no answers.
    Logits are made only where there is an answer; over whole prompts they cost as much as several layers.

    Args:
        hidden: last hidden states.
        labels: token ids of the answers, ``IGNORED`` elsewhere.
        head: gives logits over the vocabulary, in float32, from states.
    """
    following = labels[:, 1:]  # the state at t predicts the token at t + 1
    answered = following != IGNORED
    logits = head(hidden[:, :-1][answered])
    losses = torch.nn.functional.cross_entropy(logits, following[answered], reduction="none")
    weights = (1.0 / answered.sum(dim=1).clamp(min=1)).unsqueeze(1).expand_as(following)[answered]
    return (losses * weights).sum() / len(labels)
