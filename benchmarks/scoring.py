"""Candidates scored behind one prefix: one by one, in a padded batch, with copies of the prefix, as a group.

    python benchmarks/scoring.py [--candidates 21] [--pictures] [--repeats 3] [--model embedded] [--autocast]

Prints candidates per second and per CPU second, the ratio to one by one, what token counts allow, and the largest
difference of a score from one by one.
"""

import contextlib

import torch
from candidates import WORDS, arguments, backbone_of, in_turns, make_prompts, print_table, token_counts
from peers.repeated_prefix import one_by_one, padded_batch, repeated_prefix

from mmsra_pipeline.backbone.groups import group_answers


def main() -> None:
    """Measure and print."""
    asked = arguments(__doc__, candidates=21)
    backbone, prompts = backbone_of(asked.model), make_prompts(asked.candidates, pictures=asked.pictures)
    with contextlib.ExitStack() as entered:
        entered.enter_context(torch.inference_mode())
        entered.enter_context(torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked.autocast))
        entered.enter_context(backbone.rounded(autocast=asked.autocast))
        ways = {
            "one by one": lambda: one_by_one(backbone, prompts, WORDS),
            "padded batch": lambda: padded_batch(backbone, prompts, WORDS),
            "repeated prefix": lambda: repeated_prefix(backbone, prompts, WORDS),
            "groups": lambda: group_answers(backbone, prompts, WORDS).margin,
        }
        exact = ways["one by one"]()
        differences = {name: float((way() - exact).abs().max()) for name, way in ways.items()}
        found = in_turns(ways, asked.repeats)
    arithmetic = "bfloat16 arithmetic" if asked.autocast else "float32"
    print(f"{asked.candidates} candidates, {'with' if asked.pictures else 'without'} pictures, {arithmetic}")
    print_table(found, asked.candidates, token_counts(backbone, prompts))
    print("largest difference of a score:", ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))


if __name__ == "__main__":
    main()
