"""Several groups of candidates at once, each behind a prefix of its own: what keeps a GPU busy.

A group alone is some hundred tokens, for which a GPU waits longer than it computes. Results equal those of the groups
one by one within rounding.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from mmsra_pipeline.backbone import groups, shared_prefix
from mmsra_pipeline.backbone.groups import Answers
from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.backbone.prefix_attention import behind
from mmsra_pipeline.backbone.prompt import Prompt


def answers_of_groups(backbone: Parts, several: Sequence[Sequence[Prompt]], words: tuple[str, str]) -> list[Answers]:
    """Score the prompts of several groups; see ``group_answers``. Who calls bounds the tokens that lie in memory.

    Raises:
        ValueError: if both words begin with the same token, or if a group has no prompt.
    """
    if not all(several):
        raise ValueError("a group has at least one prompt")
    states = states_of_groups(backbone, several)
    found = groups.answers_of(backbone, torch.cat(states), words)
    sizes = [len(own) for own in states]
    parts = zip(torch.split(found.margin, sizes), torch.split(found.mass, sizes), strict=True)
    return [Answers(margin, mass) for margin, mass in parts]


def states_of_groups(backbone: Parts, several: Sequence[Sequence[Prompt]]) -> list[Float[Tensor, "prompts dim"]]:
    """Return the hidden state of the last token of each prompt, by group.

    Groups run one by one where one of them shares no prefix, and where the model cannot share any.
    """
    if len(several) == 1 or not shared_prefix.shares_prefixes(backbone.model):
        return [groups.last_states(backbone, own) for own in several]
    tokens = [shared_prefix.tokenized(backbone, own) for own in several]
    found = [own for own in tokens if own is not None]
    stop_at = set(backbone.encoder.image_token_ids)
    shared = [shared_prefix.shared_tokens(own.ids, stop_at=stop_at) for own in found]
    if len(found) < len(several) or not all(shared):
        return [groups.last_states(backbone, own) for own in several]
    where = [shared_prefix.token_positions(backbone, own) for own in found]
    prefixes = [own.ids[0][:size] for own, size in zip(found, shared)]
    cache = _prefixes(backbone, prefixes, [at[..., 0, :size] for at, size in zip(where, shared)])
    ids = [row[size:] for own, size in zip(found, shared) for row in own.ids]
    at = [
        places[..., row, size : len(own.ids[row])]
        for own, size, places in zip(found, shared, where)
        for row in range(len(own.ids))
    ]
    counts, lengths = [len(own.ids) for own in found], [len(row) for row in ids]
    pictures = [one for own in found for of_prompt in own.pictures for one in of_prompt]
    places = behind(cache, lengths, backbone.device, counts=counts, prefixes=shared)
    states = shared_prefix.run_row(backbone, ids, pictures, torch.cat(at, dim=-1), places)
    ends = torch.tensor(lengths, device=states.device).cumsum(0)
    return list(torch.split(states[ends - 1], counts))


def _prefixes(backbone: Parts, ids: Sequence[Sequence[int]], where: Sequence[Tensor]) -> DynamicCache:
    """Run prefixes padded on the right; give their keys and values. Nothing real sees the padding."""
    longest = max(len(own) for own in ids)
    tokens = torch.zeros(len(ids), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for row, own in enumerate(ids):
        tokens[row, : len(own)], mask[row, : len(own)] = torch.tensor(own), 1
    padded = [torch.nn.functional.pad(own, (0, longest - own.shape[-1])) for own in where]
    cache = DynamicCache()
    shared_prefix.language_model(backbone.model)(
        input_ids=tokens.to(backbone.device),
        attention_mask=mask.to(backbone.device),
        position_ids=torch.stack(padded, dim=-2),
        past_key_values=cache,
        use_cache=True,
    )
    return cache
