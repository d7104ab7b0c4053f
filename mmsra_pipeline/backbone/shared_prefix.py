"""Prompts that share a prefix: it runs once, and what comes behind it runs as one row of tokens.

Scores of groups, answers and their likelihoods are made of these pieces.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from mmsra_pipeline.backbone.likelihood import positions
from mmsra_pipeline.backbone.parts import Parts, Pictures, Seen
from mmsra_pipeline.backbone.prefix_attention import NAME, Behind, behind
from mmsra_pipeline.backbone.prompt import Prompt

TOKENS_TOGETHER = 4096  # of candidates in one row; bounds what lies in memory beside the prefix


class Tokens(NamedTuple):
    """Of whole prompts, and what stands for the pictures of each."""

    ids: list[list[int]]
    pictures: list[list[Seen]]


def shares_prefixes(model: Any) -> bool:
    """Whether a model's attention is one that ``prefix_attention`` stands in for.

    It does not for windows, for pictures that see themselves both ways (their processors mark token types) or for
    pictures that enter deeper layers too. Whole prompts are run there.
    """
    text = model.config.get_text_config()
    plain = set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    vision = getattr(model.config, "vision_config", None)
    deeper = bool(getattr(vision, "deepstack_visual_indexes", None))
    both_ways = bool(getattr(text, "use_bidirectional_attention", None))
    return plain and not deeper and not both_ways and hasattr(model.base_model, "get_image_features")


def shared_tokens(ids: Sequence[Sequence[int]], *, stop_at: Collection[int] = ()) -> int:
    """Count the first tokens that all sequences have in common, up to the first one of ``stop_at``.

    Every sequence keeps its last token at least.

    >>> shared_tokens([[1, 2, 3, 7], [1, 2, 3, 8, 9]]), shared_tokens([[1, 9, 3], [1, 9, 4]], stop_at={9})
    (3, 1)
    """
    most = min(len(row) for row in ids) - 1
    for place in range(most):
        token = ids[0][place]
        if token in stop_at or any(row[place] != token for row in ids):
            return place
    return most


def row_parts(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Divide rows, in order, into parts of at most ``most`` tokens; a longer row is a part of its own."""
    parts: list[list[int]] = []
    room = 0
    for row, size in enumerate(sizes):
        if size > room or not parts:
            parts.append([])
            room = most
        parts[-1].append(row)
        room -= size
    return parts


def tokenized(backbone: Parts, prompts: Sequence[Prompt], pictures: Pictures | None = None) -> Tokens | None:
    """Return the tokens of whole prompts, as many of a picture as it has states; None if the processor gives others."""
    encoder = backbone.encoder
    source = backbone.pictures if pictures is None else pictures
    seen = iter(source.of([image for prompt in prompts for image in prompt.images]))
    by_prompt = [[next(seen) for _ in prompt.images] for prompt in prompts]
    texts = [_filled(encoder.render(prompt), own, backbone.processor) for prompt, own in zip(prompts, by_prompt)]
    ids: list[list[int]] = encoder.tokenizer(texts, add_special_tokens=False)["input_ids"]
    # A processor may write words of its own around pictures. The fullest prompt shows whether this one does.
    fullest = max(range(len(prompts)), key=lambda row: (len(by_prompt[row]), row == 0))
    if not backbone.encoder.writes_as_is(prompts[fullest], ids[fullest]):
        return None
    return Tokens(ids, by_prompt)


def _filled(text: str, pictures: Sequence[Seen], processor: Any) -> str:
    """Write a picture's token as often as it has states."""
    if not pictures:
        return text
    token: str = processor.image_token
    first, *others = text.split(token)
    return first + "".join(token * len(one.states) + piece for one, piece in zip(pictures, others, strict=True))


def token_positions(backbone: Parts, tokens: Tokens) -> Tensor:
    """Return positions of prompts, padded on the right: (prompts, tokens), or (3, prompts, tokens) for Qwen-VL."""
    longest = max(len(ids) for ids in tokens.ids)
    padded = torch.zeros(len(tokens.ids), longest, dtype=torch.long)
    mask = torch.zeros_like(padded)
    for row, ids in enumerate(tokens.ids):
        padded[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids), 1
    batch = {"input_ids": padded, "attention_mask": mask}
    grids = [one.grid for own in tokens.pictures for one in own if one.grid is not None]
    if grids:
        places = torch.tensor(sorted(backbone.encoder.image_token_ids))
        batch["mm_token_type_ids"] = torch.isin(padded, places).long() * mask
        batch["image_grid_thw"] = torch.stack(grids).cpu()
    batch = {name: value.to(backbone.device) for name, value in batch.items()}
    return positions(backbone.model, batch)


def prefix_cache(backbone: Parts, ids: list[int], where: Tensor) -> DynamicCache:
    """Run the tokens that prompts share, at their positions ``where``; return their keys and values."""
    cache = DynamicCache()
    tokens = torch.tensor([ids], device=backbone.device)
    language_model(backbone.model)(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        position_ids=where.unsqueeze(-2),
        past_key_values=cache,
        use_cache=True,
    )
    return cache


def row_states(
    backbone: Parts, tokens: Tokens, rows: Sequence[int], shared: int, where: Tensor, cache: DynamicCache | None
) -> Float[Tensor, "tokens dim"]:
    """Run candidates as one row behind the prefix; give the states of all their tokens, one candidate after another."""
    ids = [tokens.ids[row][shared:] for row in rows]
    lengths = [len(own) for own in ids]
    own_positions = [where[..., row, shared : shared + length] for row, length in zip(rows, lengths, strict=True)]
    pictures = [one for row in rows for one in tokens.pictures[row]]
    return run_row(backbone, ids, pictures, torch.cat(own_positions, dim=-1), behind(cache, lengths, backbone.device))


def run_row(
    backbone: Parts, ids: Sequence[Sequence[int]], pictures: Sequence[Seen], where: Tensor, places: Behind
) -> Float[Tensor, "tokens dim"]:
    """Run tokens of candidates, with their pictures and at their positions, as one row."""
    model, device = backbone.model, backbone.device
    flat = torch.tensor([token for own in ids for token in own], device=device)
    embedded = model.get_input_embeddings()(flat)
    if pictures:
        is_picture = torch.isin(flat, torch.tensor(backbone.encoder.image_token_ids, device=device))
        states = torch.cat([one.states for one in pictures])
        embedded = embedded.masked_scatter(is_picture[:, None], states.to(embedded.dtype))
    language = language_model(model)
    with _attention(language):
        return language(  # type: ignore[no-any-return]  # transformers is not typed here
            inputs_embeds=embedded[None],
            attention_mask=embedded.new_zeros(1, 1, 1, 1),  # unread: the attention knows who sees whom
            position_ids=where.unsqueeze(-2),
            use_cache=False,
            behind=places,
        ).last_hidden_state[0]


def language_model(model: Any) -> Any:
    """Return the part of a multimodal model that reads embedded tokens."""
    return model.base_model.language_model


@contextlib.contextmanager
def _attention(language: Any) -> Iterator[None]:
    usual = language.config._attn_implementation
    language.config._attn_implementation = NAME
    try:
        yield
    finally:
        language.config._attn_implementation = usual
