"""Answers in words: what is asked for, what comes back, how a next token is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.backbone.prompt import Prompt

TAIL_TOKENS = 8  # a stop text of a few characters lies within that many tokens


class FormState(Protocol):
    """An answer up to a token, and what may come next."""

    done: bool
    """Whether the answer has ended."""

    def allowed(self) -> Bool[Tensor, " vocab"]:
        """Which tokens may come next; a model's tokens beyond these may not."""

    def forced(self) -> tuple[int, ...]:
        """The tokens that must come next, as far as there is no choice."""

    def advance(self, token_id: int) -> None:
        """Take the next token."""


class Form(Protocol):
    """The form that answers have, token by token; each ends with ``end`` after at most ``most_tokens`` of them."""

    end: int
    most_tokens: int

    def start(self, image: bool, text: bool) -> FormState:
        """The state before the first token of an answer, on an item with or without a picture, a text."""

    def pattern(self, image: bool, text: bool) -> str:
        """The regular expression that answers have, for a server that is given no more than this."""


class Completion(NamedTuple):
    """One answer."""

    text: str
    ids: tuple[int, ...]
    """Its tokens without padding, with the end of the turn if it was written."""


@dataclass(frozen=True)
class Asked:
    """What ``Backbone.complete`` is asked for, beside the prompts."""

    max_new_tokens: int
    """Where an answer ends at the latest."""
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    seed: int = 0
    """Of the draws. The same seed, place of the prompt in the list and number of the copy draw the same."""
    stop: str | None = None
    """Text before which an answer ends."""
    form: Form | None = None
    """What answers are held to; draws are from the distribution over the tokens that it allows."""
    lines: Sequence[tuple[bool, bool]] | None = None
    """With a form, of each prompt whether it shows a picture, and a text."""
    copies: int = 1
    """Answers to each prompt, which is run once for all of them."""

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise ValueError where a form cannot be kept."""
        if self.form is None:
            return
        if self.lines is None or len(self.lines) != len(prompts):
            raise ValueError(f"a form wants to know of each prompt what it shows: {len(prompts)} entries of `lines`")
        if self.max_new_tokens < self.form.most_tokens:
            raise ValueError(f"answers in this form have up to {self.form.most_tokens} tokens: raise max_new_tokens")
        if any(prompt.prefill for prompt in prompts):
            raise ValueError("an answer that has a form begins with its own first words: leave the prefill empty")


class Answer:
    """An answer while it is written."""

    def __init__(self, backbone: Parts, asked: Asked, prompt: int, copy: int, ends: frozenset[int]) -> None:
        self.prompt = prompt
        self.copy = copy
        self.ids: list[int] = []
        self.done = False
        self._tokenizer = backbone.tokenizer
        self._asked = asked
        self._ends = ends
        self.state = asked.form.start(*asked.lines[prompt]) if asked.form and asked.lines else None
        # Draws of its own: an answer does not depend on what else is in its batch.
        self._draws = np.random.default_rng([asked.seed, prompt, copy]).random(asked.max_new_tokens)

    @property
    def draw(self) -> float:
        """The random number in [0, 1) that chooses the next token."""
        return float(self._draws[len(self.ids)])

    def take(self, token: int) -> list[int]:
        """Take a token, and those that must follow it; give all of them."""
        before = len(self.ids)
        self.ids.append(token)
        if self.state is None:
            self.done = token in self._ends or len(self.ids) >= self._asked.max_new_tokens or self._stopped()
        else:
            self.state.advance(token)
            self.take_forced()
        return self.ids[before:]

    def take_forced(self) -> list[int]:
        """Take the tokens that must come next, without asking the model; give them."""
        before = len(self.ids)
        while self.state and not self.state.done and (forced := self.state.forced()):
            for token in forced:
                self.state.advance(token)
            self.ids.extend(forced)
        self.done = bool(self.state and self.state.done)
        return self.ids[before:]

    def completion(self) -> Completion:
        """Return what was written."""
        return completion(self._tokenizer, self.ids, self._asked.stop)

    def _stopped(self) -> bool:
        stop = self._asked.stop
        return bool(stop) and stop in self._tokenizer.decode(self.ids[-TAIL_TOKENS:], skip_special_tokens=True)


def completion(tokenizer: Any, ids: Sequence[int], stop: str | None) -> Completion:
    """Return an answer in words, up to its stop text."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Completion(cut(text, stop), tuple(ids))


def ends_of(model: Any) -> frozenset[int]:
    """Return the tokens with which a model ends its turn."""
    ends = model.generation_config.eos_token_id
    return frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends)


def restrict(
    logits: Float[Tensor, "rows tokens"], suppressed: Sequence[int], allowed: Bool[Tensor, "rows vocab"] | None
) -> Float[Tensor, "rows tokens"]:
    """Make tokens that may not come next impossible, in place."""
    logits[:, list(suppressed)] = -torch.inf
    if allowed is not None:
        known = min(allowed.shape[1], logits.shape[1])
        logits[:, known:] = -torch.inf
        logits[:, :known].masked_fill_(~allowed[:, :known].to(logits.device), -torch.inf)
    return logits


def choose(logits: Float[Tensor, "rows tokens"], temperature: float, draws: Sequence[float]) -> list[int]:
    """Return a token of each row: the likeliest at temperature 0, else the one that the row's draw falls on."""
    if temperature <= 0:
        return logits.argmax(dim=1).tolist()
    heights = torch.softmax(logits.double() / temperature, dim=1).cumsum(dim=1)
    marks = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None] * heights[:, -1:]
    found = torch.searchsorted(heights, marks, right=True)[:, 0]
    last = torch.searchsorted(heights, heights[:, -1:].contiguous())[:, 0]  # the last token that has a share
    return torch.minimum(found, last).tolist()


def cut(text: str, stop: str | None) -> str:
    """Return what stands before the stop text."""
    return text.split(stop, 1)[0] if stop else text
