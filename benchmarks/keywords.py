"""Keywords of items: transformers' generate one by one and in padded batches, our loop, with the form, in bfloat16.

    python benchmarks/keywords.py [--items 16] [--batch 16] [--repeats 1] [--tokens 48] [--model embedded]
        [--adapter FOLDER ...]

Prints items and keywords per second and per CPU second, the ratio of items per CPU second to one by one, and the share
of answers that have the form. Items are made up: a picture and a text of 20 to 60 words. Without ``--adapter`` (such as
that of the asset ``alignment``) the model does not know the form, so that free answers may reach the token limit.
"""

import argparse
import resource
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from candidates import COLOURS, KINDS, Timed, in_turns
from peers.whole_generation import padded_batches
from PIL import Image

from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import BackboneConfig, SummarizationConfig
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.summarization.form import KeywordForm
from mmsra_pipeline.summarization.keywords import Summary, parse_summary
from mmsra_pipeline.summarization.summary_prompts import summary_prompt


def main() -> None:
    """Measure and print."""
    asked = arguments()
    config = SummarizationConfig(max_new_tokens=asked.tokens)
    settings = BackboneConfig(model=asked.model, batch_size=asked.batch)
    backbone = load_backbone(settings, Artifacts(find_paths().artifacts), asked.adapter)
    said: dict[str, Sequence[str]] = {}
    ways = {
        name: _keeping(said, name, way) for name, way in ways_of(backbone, made_up(asked.items), config, asked).items()
    }
    with torch.inference_mode():
        found = in_turns(ways, asked.repeats)
    print(
        f"{asked.items} items, batches of {asked.batch}, up to {asked.tokens} tokens, {torch.get_num_threads()} threads"
    )
    summaries = {name: [parse_summary(text, config) for text in texts] for name, texts in said.items()}
    print_table(found, summaries)


def arguments() -> argparse.Namespace:
    """What the program may be asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--adapter", type=Path, nargs="*", default=[])
    return parser.parse_args()


def made_up(count: int) -> list[Prompt]:
    """Prompts that ask for the keywords of items."""
    more = "Made by hand in small numbers, with a striped lid and a box to give it away in. "
    return [
        summary_prompt(
            f"{KINDS[row % 7]} dunmore {row}. A {KINDS[row % 7]} of glass for the kitchen. {more * (1 + row % 3)}",
            Image.new("RGB", (128, 128), COLOURS[row % len(COLOURS)]),
        )
        for row in range(count)
    ]


def ways_of(
    backbone: Backbone, prompts: list[Prompt], config: SummarizationConfig, asked: argparse.Namespace
) -> dict[str, Callable[[], Sequence[str]]]:
    """The ways to be compared. Ours look at each picture in every call, as the others do."""
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], config)
    lines = [(True, True)] * len(prompts)

    def ours(*, formed: bool, autocast: bool = False) -> Sequence[str]:
        vars(backbone).pop("pictures", None)  # what was seen before
        held = {"form": form, "lines": lines} if formed else {}
        return backbone.generate(prompts, max_new_tokens=asked.tokens, autocast=autocast, **held)

    return {
        "one by one": lambda: padded_batches(backbone, prompts, asked.tokens, 1),
        "padded batches": lambda: padded_batches(backbone, prompts, asked.tokens, asked.batch),
        "ours, free": lambda: ours(formed=False),
        "ours, in the form": lambda: ours(formed=True),
        "form, bfloat16": lambda: ours(formed=True, autocast=True),
    }


def print_table(found: dict[str, list[Timed]], summaries: dict[str, list[Summary]]) -> None:
    """One line a way."""
    first = next(iter(found))
    base = statistics.median(one.cpu for one in found[first])
    print(f"{'':18}{'items/s':>9}{'items/CPU s':>13}{'keyw./s':>9}{'keyw./CPU s':>13}{'ratio (CPU)':>13}{'form':>7}")
    for name, times in found.items():
        wall, cpu = (statistics.median(getattr(one, what) for one in times) for what in ("wall", "cpu"))
        own = summaries[name]
        keywords = sum(len(summary.image_keywords) + len(summary.text_keywords) for summary in own)
        formed = sum(summary.well_formed for summary in own) / len(own)
        print(
            f"{name:18}{len(own) / wall:9.2f}{len(own) / cpu:13.2f}{keywords / wall:9.1f}{keywords / cpu:13.1f}"
            f"{base / cpu:13.2f}{formed:7.0%}"
        )
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def _keeping(said: dict[str, Sequence[str]], name: str, way: Callable[[], Sequence[str]]) -> Callable[[], None]:
    def call() -> None:
        said[name] = way()

    return call


if __name__ == "__main__":
    main()
