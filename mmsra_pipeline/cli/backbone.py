"""The commands `mmsra backbone ...`."""

from pathlib import Path
from typing import Annotated

import typer

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.telemetry.terminal import log_to_stderr, print_json

backbone_commands = typer.Typer(help="The model: what it is made of, and as a checkpoint.", no_args_is_help=True)


@backbone_commands.command("build")
def build() -> None:
    """Assemble the embedded backbone from the weights that packages ship; nothing to do where it is built."""
    from mmsra_pipeline.backbone.embedded.build import backbone_info, embedded_folder
    from mmsra_pipeline.config.loading import load_config
    from mmsra_pipeline.storage.artifacts import Artifacts

    artifacts = Artifacts.of(find_paths())
    with log_to_stderr():
        embedded_folder(artifacts, load_config().backbone.image_side)
    print_json(backbone_info(artifacts))


@backbone_commands.command("info")
def info() -> None:
    """Say what the embedded backbone is made of and where it lies."""
    from mmsra_pipeline.backbone.embedded.build import KIND, NAME, backbone_info
    from mmsra_pipeline.storage.artifacts import Artifacts

    artifacts = Artifacts.of(find_paths())
    if not artifacts.has(KIND, NAME):
        raise DataError("the embedded backbone is not built yet. Run `mmsra backbone build`.")
    print_json(backbone_info(artifacts))


@backbone_commands.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set.")],
) -> None:
    """Write the summarizer of a data set as one checkpoint, and say how to serve it (`summarization.server`)."""
    from mmsra_pipeline.backbone.export import export_checkpoint
    from mmsra_pipeline.backbone.model import open_backbone
    from mmsra_pipeline.backbone.served import served_name
    from mmsra_pipeline.cli.reading import adapters
    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.orchestration.settings_read import dataset_config
    from mmsra_pipeline.storage.artifacts import Artifacts

    paths = find_paths()
    stored = adapters(paths, dataset, Tables.ALIGNMENT, Tables.SUMMARIZER)
    with log_to_stderr():
        backbone = open_backbone(dataset_config(paths, dataset).backbone, Artifacts.of(paths), stored)
        export_checkpoint(backbone, folder)
    name = served_name(backbone)
    serve = f"vllm serve {folder.absolute()} --served-model-name {name}"
    print_json({"folder": str(folder.absolute()), "served_name": name, "serve": serve})
