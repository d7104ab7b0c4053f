"""Writes a backbone with its adapters as one checkpoint, to be served or used elsewhere."""

from pathlib import Path

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.files import sync_folder, temporary_folder


def export_checkpoint(backbone: Backbone, folder: Path) -> None:
    """Write model and processor into a new ``folder``, as a whole or not at all.

    Any program that reads checkpoints of transformers takes it; `backbone.model: FOLDER` does too.

    Raises:
        ConfigError: if the folder is there and holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already, and is not overwritten. Name a new folder.")
    with temporary_folder(folder.absolute().parent) as building:
        backbone.model.save_pretrained(building)
        backbone.processor.save_pretrained(building)
        as_usual = (building / "config.json").stat().st_mode
        for file in building.iterdir():
            file.chmod(as_usual)  # weights come readable for their owner alone, and a server may be another user
        building.replace(folder)
        sync_folder(folder.absolute().parent)
