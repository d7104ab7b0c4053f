"""Candidates scored from a shared prefix, against one forward pass per candidate.

    python benchmarks/prefix_scoring.py [--candidates 21] [--history 15] [--repeats 3] [--model embedded]

Prints seconds of both, their ratio, and the largest difference of p(yes). Both ways alternate, so that other load on
the machine falls on both alike.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from mmsra_pipeline.artifacts import Artifacts
from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config import BackboneConfig
from mmsra_pipeline.paths import find_paths

COLOURS = ("red", "blue", "green", "yellow", "black", "white", "purple", "orange")
KEYWORDS = "ceramic, striped, kitchen, gift for friends"


def make_prompts(candidates: int, history: int) -> list[Prompt]:
    """One user's prompts: a common history, then each candidate's text and picture."""
    items = "; ".join(f"{place + 1}. {COLOURS[place % 8]} mug, {KEYWORDS}" for place in range(history))
    asked = f"The user's history, as keywords: {items}. Candidate: "
    pictures = [Image.new("RGB", (128, 128), colour) for colour in COLOURS]
    return [
        Prompt((asked, pictures[place % 8], f" mug number {place}. Will the user take it? Answer Yes or No."))
        for place in range(candidates)
    ]


def one_by_one(backbone: Backbone, prompts: list[Prompt]) -> np.ndarray:
    """The scores, each from a forward pass of its own."""
    return np.array([backbone.first_token_scores([prompt])[0] for prompt in prompts])


def timed(scored: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds and scores."""
    start = time.perf_counter()
    scores = scored()
    return time.perf_counter() - start, scores


def measure(backbone: Backbone, prompts: list[Prompt], repeats: int) -> dict[str, Any]:
    """Median seconds of both ways, their ratio, and the largest difference of p."""
    pairs = [
        (timed(lambda: one_by_one(backbone, prompts)), timed(lambda: backbone.first_token_scores(prompts)))
        for _ in range(repeats)
    ]
    alone, shared = (float(np.median([pair[way][0] for pair in pairs])) for way in (0, 1))
    difference = max(float(np.abs(pair[0][1] - pair[1][1]).max()) for pair in pairs)
    return {"one_by_one": alone, "shared_prefix": shared, "ratio": alone / shared, "difference": difference}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=21)
    parser.add_argument("--history", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="embedded")
    asked = parser.parse_args()
    backbone = load_backbone(BackboneConfig(model=asked.model), Artifacts(find_paths().artifacts))
    prompts = make_prompts(asked.candidates, asked.history)
    backbone.first_token_scores(prompts[:2])  # warm
    found = measure(backbone, prompts, asked.repeats)
    tokens = backbone.encode(prompts[:1])["input_ids"].shape[1]
    print(f"{asked.candidates} candidates, {tokens} tokens each, {asked.model} in {backbone.model.dtype}")
    print(f"one by one     {found['one_by_one']:8.2f} s")
    print(f"shared prefix  {found['shared_prefix']:8.2f} s")
    print(f"ratio          {found['ratio']:8.2f}")
    print(f"largest difference of p  {found['difference']:.1e}")


if __name__ == "__main__":
    main()
