"""Many answers at once: prompts run without padding behind what they share, and only what is not done goes on.

Each prompt runs once for all its copies; a picture is looked at once; tokens that a form forces are read together with
the token before them. In float32 the likeliest answers are those of transformers' ``generate``.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mmsra_pipeline.backbone import row_attention, shared_prefix
from mmsra_pipeline.backbone.completion import Answer, Asked, Completion, choose, ends_of, restrict
from mmsra_pipeline.backbone.likelihood import logits_of
from mmsra_pipeline.backbone.padded_generation import padded_completions
from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.backbone.prefix_attention import behind
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.row_attention import Rows


def completions(backbone: Parts, prompts: Sequence[Prompt], asked: Asked) -> list[list[Completion]]:
    """Return ``asked.copies`` answers to each prompt; see ``Backbone.complete``. The model must be in eval mode."""
    asked.check(prompts)
    ends = ends_of(backbone.model)
    if not prompts:
        return []
    tokens = shared_prefix.tokenized(backbone, prompts) if shared_prefix.shares_prefixes(backbone.model) else None
    if tokens is None:
        return padded_completions(backbone, prompts, asked, ends)
    answers = [
        [Answer(backbone, asked, row, copy, ends) for copy in range(asked.copies)] for row in range(len(prompts))
    ]
    run = _Run(backbone, tokens, asked)
    for rows in _batches([len(ids) for ids in tokens.ids], max(1, backbone.config.batch_size // asked.copies)):
        run.write([answers[row] for row in rows])
    return [[answer.completion() for answer in own] for own in answers]


class _Run:
    """Prompts behind the prefix that all of them share."""

    def __init__(self, backbone: Parts, tokens: shared_prefix.Tokens, asked: Asked) -> None:
        self._backbone = backbone
        self._language = shared_prefix.language_model(backbone.model)
        self._tokens = tokens
        self._asked = asked
        self._where = shared_prefix.token_positions(backbone, tokens)
        several = len(tokens.ids) > 1
        pictures = set(backbone.encoder.image_token_ids)
        self._shared = shared_prefix.shared_tokens(tokens.ids, stop_at=pictures) if several else 0
        first = tokens.ids[0][: self._shared]
        self._prefix = (
            shared_prefix.prefix_cache(backbone, first, self._where[..., 0, : self._shared]) if first else None
        )

    def write(self, answers: Sequence[Sequence[Answer]]) -> None:
        """Write the answers to some prompts to their ends."""
        openings = [[answer.take_forced() for answer in own] for own in answers]  # those of copies are the same
        opened = [(own, opening[0]) for own, opening in zip(answers, openings, strict=True) if not own[0].done]
        if not opened:
            return
        live = [answer for own, _ in opened for answer in own]
        rows, states, following = self._read_prompts([(own[0].prompt, opening) for own, opening in opened])
        places = list(range(len(live)))  # of the live answers among the rows
        while True:
            tokens = self._chosen(states, live)
            written = [answer.take(token) for answer, token in zip(live, tokens, strict=True)]
            going = [number for number, answer in enumerate(live) if not answer.done]
            if not going:
                return
            live, places = [live[number] for number in going], [places[number] for number in going]
            written = [written[number] for number in going]
            if 2 * len(live) <= len(rows.lengths):  # rows that are done cost little; leaving them behind costs a copy
                rows.select(places, self._backbone.device)
                following = following[..., places]
                places = list(range(len(live)))
            states, following = self._read(rows, places, written, following)

    def _read_prompts(self, opened: Sequence[tuple[int, list[int]]]) -> tuple[Rows, Tensor, Tensor]:
        """Run prompts with the first tokens of their answers.

        Returns:
            Their rows; the state of each row's last token; and the position of its next one, (rows) or (3, rows).
        """
        backbone, device, shared = self._backbone, self._backbone.device, self._shared
        ids = [[*self._tokens.ids[row][shared:], *opening] for row, opening in opened]
        lengths = [len(own) for own in ids]
        rows = Rows(self._prefix, lengths, copies=self._asked.copies, room=self._asked.max_new_tokens)
        flat = torch.tensor([token for own in ids for token in own], device=device)
        embedded = backbone.model.get_input_embeddings()(flat)
        pictures = [one.states for row, _ in opened for one in self._tokens.pictures[row]]
        if pictures:
            is_picture = torch.isin(flat, torch.tensor(backbone.encoder.image_token_ids, device=device))
            embedded = embedded.masked_scatter(is_picture[:, None], torch.cat(pictures).to(embedded.dtype))
        where, following = [], []
        for row, opening in opened:
            own = self._where[..., row, : len(self._tokens.ids[row])]
            after = own.max() + 1 + torch.arange(len(opening) + 1, device=device)
            after = after.expand(*own.shape[:-1], -1)
            where += [own[..., shared:], after[..., :-1]]
            following += [after[..., -1]] * self._asked.copies
        keeping = {"behind": behind(self._prefix, lengths, device), "keep_in": rows}
        hidden = self._forward(row_attention.PROMPTS, embedded, torch.cat(where, dim=-1), keeping)
        last = torch.tensor(lengths, device=device).cumsum(0) - 1
        return rows, hidden[last].repeat_interleave(self._asked.copies, dim=0), torch.stack(following, dim=-1)

    def _read(
        self, rows: Rows, places: Sequence[int], written: Sequence[Sequence[int]], following: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run what was written last; give the states of the last tokens and the positions of the next ones."""
        device = self._backbone.device
        counts = [0] * len(rows.lengths)
        for place, own in zip(places, written, strict=True):
            counts[place] = len(own)
        rows.place(counts, device)
        flat = torch.tensor([token for own in written for token in own], device=device)
        steps = torch.tensor([step for own in written for step in range(len(own))], device=device)
        embedded = self._backbone.model.get_input_embeddings()(flat)
        hidden = self._forward(row_attention.ROWS, embedded, following[..., rows.row] + steps, {"rows": rows})
        last = torch.tensor([len(own) for own in written], device=device).cumsum(0) - 1
        return hidden[last], following + torch.tensor(counts, device=device)

    def _forward(self, attention: str, embedded: Tensor, where: Tensor, beside: dict[str, Any]) -> Tensor:
        with _attention(self._language, attention):
            hidden: Tensor = self._language(
                inputs_embeds=embedded[None],
                attention_mask=embedded.new_zeros(1, 1, 1, 1),  # unread: the attention knows who sees whom
                position_ids=where.unsqueeze(-2),
                use_cache=False,
                **beside,
            ).last_hidden_state[0]
        return hidden

    def _chosen(self, states: Float[Tensor, "rows dim"], live: Sequence[Answer]) -> list[int]:
        with torch.autocast(states.device.type, enabled=False):  # in bfloat16 likely tokens would tie
            logits = logits_of(self._backbone.model, states.to(self._backbone.model.dtype))
        allowed = [answer.state.allowed() for answer in live if answer.state is not None]
        restrict(logits, self._backbone.encoder.image_token_ids, torch.stack(allowed) if allowed else None)
        temperature = self._asked.temperature
        return choose(logits, temperature, [answer.draw for answer in live] if temperature > 0 else [])


def _batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Divide prompts into batches of like length."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    return [order[start : start + size] for start in range(0, len(order), size)]


@contextlib.contextmanager
def _attention(language: Any, name: str) -> Iterator[None]:
    usual = language.config._attn_implementation
    language.config._attn_implementation = name
    try:
        yield
    finally:
        language.config._attn_implementation = usual
