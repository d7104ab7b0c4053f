"""A listwise training step over candidates behind one prefix: one by one, in a padded batch, as a group.

    python benchmarks/training.py [--candidates 8] [--pictures] [--repeats 3] [--model embedded] [--autocast]

Forward and backward of the listwise loss with LoRA. Prints candidates per second and per CPU second, the ratio to one
prompt an example, what token counts allow, and the largest relative difference of a gradient from the padded batch's.
One by one is the paper's way: each candidate is an example with a loss of its own, so its gradients are others.
"""

import contextlib
from collections.abc import Callable

import torch
from candidates import WORDS, arguments, backbone_of, in_turns, make_prompts, print_table, token_counts
from peers.repeated_prefix import padded_batch
from torch import Tensor

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.config.tree import LoraSettings
from mmsra_pipeline.recommendation.batching import group_loss

ANSWERS = ("Yes", "No")


def main() -> None:
    """Measure and print."""
    asked = arguments(__doc__, candidates=8)
    backbone, prompts = backbone_of(asked.model), make_prompts(asked.candidates, pictures=asked.pictures)
    model = lora.attach(backbone, LoraSettings(), seed=0)
    trained = [value for value in model.parameters() if value.requires_grad]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # a fresh adapter's second half is zero, and so would be half of the gradients
        for value in trained:
            value.add_(torch.randn(value.shape, generator=generator) * 0.02)
    model.train()
    answers = [ANSWERS[0], *[ANSWERS[1]] * (asked.candidates - 1)]

    def stepped(*losses: Callable[[], Tensor]) -> list[Tensor]:
        model.zero_grad()
        for loss in losses:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked.autocast):
                value = loss()
            value.backward()  # type: ignore[no-untyped-call]
        return [value.grad.clone() for value in trained]

    def batched() -> Tensor:
        margins = padded_batch(backbone, prompts, WORDS)
        return torch.nn.functional.cross_entropy(margins[None], torch.zeros(1, dtype=torch.long))

    ways = {
        "one by one": lambda: stepped(
            *(
                lambda row=row: group_loss(backbone, [[prompts[row]]], [[answers[row]]], listwise=0.0, yes_no=1.0)
                for row in range(asked.candidates)
            )
        ),
        "padded batch": lambda: stepped(batched),
        "groups": lambda: stepped(lambda: group_loss(backbone, [prompts], [answers], listwise=1.0, yes_no=0.0)),
    }
    with contextlib.ExitStack() as entered:
        entered.enter_context(backbone.rounded(autocast=asked.autocast))
        expected, got = ways["padded batch"](), ways["groups"]()
        found = in_turns(ways, asked.repeats)
    worst = max(float((one - other).norm() / other.norm()) for one, other in zip(got, expected, strict=True))
    arithmetic = "bfloat16 arithmetic" if asked.autocast else "float32"
    print(f"{asked.candidates} candidates, {'with' if asked.pictures else 'without'} pictures, {arithmetic}")
    print_table(found, asked.candidates, token_counts(backbone, prompts))
    print(f"largest relative difference of a gradient, groups against padded batch: {worst:.1e}")


if __name__ == "__main__":
    main()
