"""A Trainer of transformers whose step is one of GRPO: sample, score, compare within groups, push.

transformers' Trainer rather than TRL's GRPOTrainer, whose loss this is (``test_grpo.py`` compares the two): TRL runs
the prompt anew for every completion, policy and reference each, sees every token of the vocabulary where the form
allows a few, and holds all groups of a step in one batch. All of that would have to be overridden but the ten lines
of the loss.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.config.tree import GrpoConfig
from mmsra_pipeline.summarization.tuning.advantages import advantages, weights_at
from mmsra_pipeline.summarization.tuning.likelihoods import Said, said_of
from mmsra_pipeline.summarization.tuning.rollouts import Item, Rollout, Writer
from mmsra_pipeline.summarization.tuning.scorer import SummaryScorer


def planned_items(count: int, *, steps: int, per_step: int, seed: int) -> list[list[int]]:
    """Return the places of the items of every step: all items in a random order, then all in another, and so on.

    The plan depends on its arguments alone, so a tuning that goes on after a stop meets the same items.
    """
    rng = np.random.default_rng([seed, 5])
    epochs = itertools.chain.from_iterable(rng.permutation(count).tolist() for _ in itertools.count())
    order = list(itertools.islice(epochs, steps * per_step))
    return [order[at : at + per_step] for at in range(0, len(order), per_step)]


def grpo_loss(said: Said, reference: Float[Tensor, " tokens"], advantage: float, beta: float) -> Float[Tensor, ""]:
    r"""Return the loss of one completion, a mean over its free tokens.

    $$\frac1n \sum_t -\rho_t A + \beta\, \rho_t\, (e^{r_t - \pi_t} - (r_t - \pi_t) - 1),$$

    with the log-probabilities pi of the policy and r of the reference, and rho = exp(pi - stopgrad pi), which is 1 and
    carries the gradient: each sample is used once, so there is nothing to clip. As TRL's ``loss_type="grpo"``.
    """
    policy = said.log_probs[said.free]
    if not len(policy):
        return said.log_probs.sum() * 0.0
    ratio = torch.exp(policy - policy.detach())
    gap = reference[said.free] - policy
    return (-ratio * advantage + beta * ratio * (torch.exp(gap) - gap - 1)).mean()


class SummaryTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """Tunes the adapter of a backbone on planned items. What it samples depends on seed and step alone."""

    def __init__(
        self,
        backbone: Backbone,
        writer: Writer,
        scorer: SummaryScorer,
        grpo: GrpoConfig,
        plan: list[list[int]],
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._backbone = backbone
        self._writer = writer
        self._scorer = scorer
        self._grpo = grpo
        self._plan = plan
        self._measured: dict[str, float] = {}

    def get_train_dataloader(self) -> DataLoader:
        """Return the planned items in their order."""
        loader = DataLoader(self.train_dataset, batch_sampler=self._plan, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]  # accelerate is not typed here

    def training_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """Add up the gradients of a step, one item's group at a time, so that memory holds one."""
        items: Sequence[Item] = inputs["items"]
        step, size = int(self.state.global_step), self._grpo.group_size
        model.train()
        seed = int(np.random.SeedSequence([self.args.seed, step]).generate_state(1)[0])
        groups = self._writer.write(items, copies=size, temperature=self._grpo.temperature, seed=seed)
        rollouts = [one for group in groups for one in group]
        with self._backbone.autocast():
            reference = self._scorer.reference(rollouts)
            terms = self._scorer.terms(rollouts, reference)
        empty = np.array([not one.summary.keywords for one in rollouts]).reshape(-1, size)
        weights = weights_at(step, self._grpo)
        shaped = {name: values.reshape(-1, size) for name, values in terms.items()}
        earned, flat = advantages(shaped, empty, weights, self._grpo)
        known = [reference[at : at + size] for at in range(0, len(reference), size)]
        total = torch.zeros((), device=self._backbone.device)
        said: list[Said] = []
        for group, base, own in zip(groups, known, earned, strict=True):
            loss, found = self._group(group, base, own, len(rollouts))
            said += found
            total += loss
        self._measured = _measures(rollouts, terms, weights.model_dump(), said, reference)
        self._measured |= {"no_spread": float(flat.mean()), "advantage_spread": float(earned.std())}
        return total

    def log(self, logs: dict[str, float], *others: Any) -> None:
        """Note a step with what was measured in it."""
        super().log(logs | self._measured, *others)
        self._measured = {}

    def _group(
        self, group: Sequence[Rollout], reference: Sequence[Said], earned: np.ndarray, count: int
    ) -> tuple[Tensor, list[Said]]:
        with self._backbone.autocast():
            said = said_of(
                self._backbone,
                [group[0].item.prompt] * len(group),
                [one.ids for one in group],
                [self._writer.masks(one) for one in group],
                temperature=self._grpo.temperature,
            )
        losses = [
            grpo_loss(one, base.log_probs, float(own), self._grpo.kl_beta)
            for one, base, own in zip(said, reference, earned, strict=True)
        ]
        loss = torch.stack(losses).sum() / count
        self.accelerator.backward(loss)
        return loss.detach(), [Said(one.log_probs.detach(), one.entropy, one.free) for one in said]


def _measures(
    rollouts: Sequence[Rollout],
    terms: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    said: Sequence[Said],
    reference: Sequence[Said],
) -> dict[str, float]:
    """Say how a step went: ``reward`` is the weighted sum of eq. 4, whatever was made of it."""
    policy, base = (torch.cat([one.log_probs[one.free] for one in some]) for some in (said, reference))
    entropy = torch.cat([one.entropy[one.free] for one in said])
    gap = base - policy
    return {
        "reward": float(sum(weights[name] * values.mean() for name, values in terms.items())),
        **{name: float(values.mean()) for name, values in terms.items()},
        "kl": float((torch.exp(gap) - gap - 1).mean()) if len(gap) else 0.0,
        "entropy": float(entropy.mean()) if len(entropy) else 0.0,
        "tokens": float(np.mean([len(one.ids) for one in rollouts])),
        "keywords": float(np.mean([len(one.summary.keywords) for one in rollouts])),
        "at_limit": float(np.mean([not one.ended for one in rollouts])),
    }
