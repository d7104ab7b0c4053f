"""What scoring.py and training.py have in common: prompts, ways, a fair clock, the table."""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import BackboneConfig
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths

WORDS = ("Yes", "No")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "purple", "orange")
KINDS = ("mug", "ball", "bag", "lamp", "shirt", "chair", "clock")


@dataclass(frozen=True)
class Timed:
    """One call of one way."""

    wall: float
    cpu: float


def arguments(description: str | None, *, candidates: int) -> argparse.Namespace:
    """What both programs may be asked for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=candidates)
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--autocast", action="store_true")
    return parser.parse_args()


def backbone_of(model: str, dtype: str = "float32") -> Backbone:
    """The backbone, ready."""
    backbone = load_backbone(BackboneConfig(model=model, dtype=dtype), Artifacts(find_paths().artifacts))
    _ = backbone.model
    return backbone


def make_prompts(count: int, *, pictures: bool, history: int = 5) -> list[Prompt]:
    """Prompts of one user as the recommender asks them: items of history, then a candidate with its evidence."""
    items = "\n".join(
        f"{place + 1}. {COLOURS[place % 8]}, striped, {KINDS[place % 7]}, glass, office, dunmore"
        for place in range(history)
    )
    asked = (
        f"A customer took these items, the latest last:\n{items}\nUsual keywords: glass, striped.\n"
        "Similar customers took next: red, plain, lamp, oak; white, dotted, bag, wool, garden.\n"
        "Will the customer take this item next? Answer Yes or No.\nItem: "
    )
    looks = [Image.new("RGB", (128, 128), colour) for colour in COLOURS]
    prompts = []
    for place in range(count):
        words = f"{COLOURS[place % 8]}, checked, {KINDS[place % 7]}, ceramic, kitchen, elsinor"
        slots = "\nseq{} co{} next0 votes2 taste{} near5 kw{} pop4".format(
            *(place * step % 10 for step in (3, 7, 9, 1))
        )
        picture_parts = ["\nPicture: ", looks[place % 8]] if pictures else []
        prompts.append(
            Prompt(
                (
                    asked + words + (picture_parts[0] if picture_parts else slots),
                    *picture_parts[1:],
                    *([slots] if picture_parts else []),
                )
            )
        )
    return prompts


def in_turns(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[Timed]]:
    """Time each way ``repeats`` times, in turns, so that other load on the machine falls on all alike."""
    found: dict[str, list[Timed]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # warm
    for _ in range(repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            found[name].append(Timed(time.perf_counter() - wall, time.process_time() - cpu))
    return found


def print_table(found: Mapping[str, list[Timed]], candidates: int, tokens: Mapping[str, float]) -> None:
    """Candidates per second and per CPU second, the ratio to the first way, and the ratio that token counts allow."""
    first = next(iter(found))
    base = statistics.median(one.cpu for one in found[first])
    print(f"{'':18}{'cand./s':>9}{'cand./CPU s':>13}{'ratio (CPU)':>13}{'tokens':>8}{'allowed':>9}{'reached':>9}")
    for name, times in found.items():
        wall, cpu = (statistics.median(getattr(one, what) for one in times) for what in ("wall", "cpu"))
        allowed = tokens[first] / tokens[name]
        print(
            f"{name:18}{candidates / wall:9.1f}{candidates / cpu:13.2f}{base / cpu:13.2f}"
            f"{tokens[name]:8.0f}{allowed:9.2f}{base / cpu / allowed:9.2f}"
        )
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def token_counts(backbone: Backbone, prompts: list[Prompt]) -> dict[str, float]:
    """Tokens that each way computes: whole prompts, padded ones, and the prefix once with the rest of each."""
    from mmsra_pipeline.backbone.shared_prefix import shared_tokens

    ids = [backbone.encode([prompt])["input_ids"][0].tolist() for prompt in prompts]
    lengths = [len(one) for one in ids]
    shared = shared_tokens(ids, stop_at=set(backbone.encoder.image_token_ids))
    return {
        "one by one": sum(lengths),
        "padded batch": max(lengths) * len(ids),
        "repeated prefix": shared + (max(lengths) - shared) * len(ids),
        "groups": shared + sum(lengths) - shared * len(ids),
    }
