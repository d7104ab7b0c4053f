"""Trains the warm start that the embedded backbone ships: `make warm-start` (about an hour on two cores).

A projector and an adapter of rank 8, trained on drawings, made-up scenes, texts of made-up shops and English prose
(``summarization/warm_start/general_examples.py``). A run that was stopped goes on. The file's hash goes into
``backbone/embedded/warm_start.py``, which refuses any other.
"""

import argparse
import json
import logging
from pathlib import Path

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.embedded.build import build_embedded
from mmsra_pipeline.backbone.embedded.warm_start import FILE, write_warm_start
from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.config.tree import AlignmentConfig, BackboneConfig, LoraSettings, SummarizationConfig
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import file_hash
from mmsra_pipeline.summarization.warm_start.general_examples import GeneralExamples
from mmsra_pipeline.summarization.warm_start.measures import measure_drawings
from mmsra_pipeline.summarization.warm_start.training import train
from mmsra_pipeline.telemetry.terminal import log_to_stderr
from mmsra_pipeline.telemetry.tracking import NullTracker

SIDE = 128


def main() -> None:
    """Train, write the file, print what it sees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=480)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--projector-steps", type=int, default=200)
    parser.add_argument("--workdir", type=Path, default=Path("data/warm_start"), help="for the checkpoint")
    parser.add_argument("--out", type=Path, default=FILE)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    base = asked.workdir / "base"
    if not (base / "config.json").is_file():
        base.mkdir(parents=True, exist_ok=True)
        build_embedded(base, SIDE, warm=False)
    settings = AlignmentConfig(
        steps=asked.steps,
        batch_size=asked.batch,
        projector_steps=asked.projector_steps,
        lora=LoraSettings(rank=8, alpha=16),
        checkpoint_every=25,
    )
    config = SummarizationConfig()
    backbone = load_backbone(
        BackboneConfig(model=str(base.resolve()), image_side=SIDE, autocast="auto"), Artifacts(asked.workdir)
    )
    examples = GeneralExamples(
        config, side=SIDE, seed=asked.seed, batch_size=settings.batch_size, part_size=settings.batch_size
    )
    with log_to_stderr():
        model = lora.attach(backbone, settings.lora, train_projector=True, seed=asked.seed)
        curve = train(backbone, model, examples, settings, asked.seed, asked.workdir / "checkpoint.pt", NullTracker())
        model.eval()
        curve.to_csv(asked.workdir / "curve.csv", index=False)
        recipe = {"steps": asked.steps, "batch": asked.batch, "seed": asked.seed, "side": SIDE}
        write_warm_start(model, asked.out, recipe | {"command": "make warm-start", "rank": 8, "alpha": 16})
        measured = measure_drawings(backbone, config, count=192, seed=asked.seed)
    print(measured.to_string(index=False))
    print(json.dumps({"file": str(asked.out), "bytes": asked.out.stat().st_size, "sha256": file_hash(asked.out)}))


if __name__ == "__main__":
    main()
