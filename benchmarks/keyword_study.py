"""What the summarizer's trainings do to the keywords of a real catalogue, and what the paper's backbone costs.

    python benchmarks/keyword_study.py prepare --root ROOT --dataset NAME --out FOLDER [--items 1200] [--seed 0]
    python benchmarks/keyword_study.py run --data FOLDER --budget SECONDS --out FOLDER [--steps 200] [...]
    python benchmarks/keyword_study.py big --out FOLDER [--small]

``prepare`` copies texts and pictures of a catalogue out of a root that has them. ``run`` needs no more than that: it
trains the warm start of the catalogue and the summarizer, each as far as the seconds reach, and measures both on items
that no training showed; then each reward by itself. ``big`` makes a backbone of the architecture and size of
Qwen2.5-VL-7B with random weights, and takes the time and memory of a training step and of scores of one list; --small
makes it tiny. Results are JSON and Parquet in --out, as soon as each is there. None needs Dagster or MLflow.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsra_pipeline.config.tree import Config


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command")
    one = commands.add_parser("prepare")
    one.add_argument("--root", type=Path, required=True)
    one.add_argument("--dataset", required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--items", type=int, default=1200)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(do=prepare)
    one = commands.add_parser("run")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--budget", type=float, required=True, help="seconds")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--items", type=int, help="a sample of the folder's items; unset, all")
    one.add_argument("--held-out", type=int, default=160)
    one.add_argument("--align-steps", type=int, default=150)
    one.add_argument("--align-share", type=float, default=0.25, help="of the seconds, at most")
    one.add_argument("--steps", type=int, default=200, help="of GRPO")
    one.add_argument("--steps-share", type=float, default=0.7, help="of the seconds that are left for them, at most")
    one.add_argument("--items-per-step", type=int, default=4)
    one.add_argument("--alone-steps", type=int, default=40)
    one.add_argument("--alone-measured", type=int, default=64, help="held-out items")
    one.add_argument("--workers", type=int, default=7, help="processes, for the rewards by themselves")
    one.add_argument("--batch", type=int, default=256, help="answers that are written at once")
    one.set_defaults(do=run)
    one = commands.add_parser("big")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--small", action="store_true")
    one.add_argument("--history", type=int, default=20, help="items in a prompt")
    one.add_argument("--candidates", type=int, default=21)
    one.add_argument("--trained", type=int, default=8, help="candidates of a training step")
    one.add_argument("--repeats", type=int, default=5)
    one.set_defaults(do=big)
    asked = parser.parse_args()
    if asked.command is None:  # among all benchmarks, which run without arguments
        parser.print_help()
        return
    asked.do(asked)


def prepare(asked: argparse.Namespace) -> None:
    """Write the folder."""
    from study.folder import write_folder

    print(write_folder(asked.root, asked.dataset, asked.out, items=asked.items, seed=asked.seed))


def run(asked: argparse.Namespace) -> None:
    """Train and measure."""
    import torch
    from study.alone import rewards_alone
    from study.budget import Budget
    from study.stages import Keywords, Study, aligned, tuned

    from mmsra_pipeline.backbone.devices import find_device

    budget, device = Budget(asked.budget, asked.out), find_device("auto")
    named = torch.cuda.get_device_name() if device == "cuda" else device
    budget.note(
        device=named,
        torch=torch.__version__,
        arguments={name: str(value) for name, value in vars(asked).items() if name != "do"},
    )
    with budget.stage("reading"):
        study = Study(asked.data, asked.items, settings(asked), asked.held_out)
        catalogue = study.catalogue
        held, trained = catalogue.parts(asked.held_out)
        budget.note(items={"all": len(catalogue.texts), "held_out": len(held), "trained": len(trained)})
    with tempfile.TemporaryDirectory() as place:
        adapter = Path(place) / "aligned"
        adapters = [adapter] if aligned(study, budget, adapter, asked.align_share) else []
        with budget.stage("loading"):
            backbone = study.backbone(adapters)
        keywords = Keywords(study, budget, Path(place) / "cache")
        keywords.extract(device)
        keywords.write("draft", backbone)
        room = asked.steps_share * (budget.left - keywords.seconds * len(catalogue.texts))
        result, seconds_a_step = tuned(study, budget, backbone, room)
        if result is not None:
            keywords.write("tuned", backbone)
        keywords.compare()
        if result is not None:
            rewards_alone(
                study,
                budget,
                adapters,
                steps=asked.alone_steps,
                measured=asked.alone_measured,
                seconds_a_step=seconds_a_step,
                workers=asked.workers,
            )


def settings(asked: argparse.Namespace) -> "Config":
    """The preset for real data on a small machine, with the changes that were asked for."""
    from mmsra_pipeline.config.loading import load_preset
    from mmsra_pipeline.config.tree import Config

    preset = load_preset("small-cpu")
    preset["backbone"] |= {"batch_size": asked.batch}
    preset["alignment"] |= {"steps": asked.align_steps}
    preset["grpo"] |= {"steps": asked.steps, "items_per_step": asked.items_per_step}
    return Config.model_validate(preset)


def big(asked: argparse.Namespace) -> None:
    """Measure the large backbone."""
    from study.large import measure

    measure(
        asked.out,
        small=asked.small,
        history=asked.history,
        candidates=asked.candidates,
        trained=asked.trained,
        repeats=asked.repeats,
    )


if __name__ == "__main__":
    sys.exit(main())
