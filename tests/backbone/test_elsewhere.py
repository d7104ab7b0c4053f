import pytest
import torch
from tiny import tiny_backbone, tiny_checkpoint, tiny_config

from mmsra_pipeline.backbone.elsewhere import open_elsewhere, origin_of
from mmsra_pipeline.backbone.lora import attach, save_adapter
from mmsra_pipeline.backbone.model import Backbone, load_backbone, open_backbone
from mmsra_pipeline.config.tree import LoraSettings
from mmsra_pipeline.errors import ConfigError, MissingInputError
from mmsra_pipeline.storage.artifacts import Artifacts


@pytest.fixture
def opened(machine, tmp_path):
    """A backbone with an adapter, whose root is in an object store, and its artifacts on the first machine."""
    artifacts = Artifacts.of(machine("one"))
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny"))
    tuned = attach(load_backbone(config, artifacts), LoraSettings(rank=2, alpha=4))
    with artifacts.publish("alignment", "shop") as folder:
        save_adapter(tuned, folder)
    return open_backbone(config, artifacts, [artifacts.current("alignment", "shop")], layers=1), artifacts


def test_another_machine_opens_the_same_from_the_root(opened, machine):
    backbone, artifacts = opened
    origin = origin_of(backbone, artifacts, threads=torch.get_num_threads())
    assert origin.recipe.adapters == (f"alignment/shop/{artifacts.current('alignment', 'shop').name}",)
    assert origin.root.startswith("s3://")
    other = machine("two")
    assert not other.artifacts.exists()
    found, there = open_elsewhere(origin)
    assert there.root == other.artifacts
    assert found.fingerprint == backbone.fingerprint
    assert len(found.model.base_model.language_model.layers) == 1


def test_another_backbone_is_refused(opened, tmp_path, machine):
    backbone, artifacts = opened
    origin = origin_of(backbone, artifacts, threads=torch.get_num_threads())
    tiny_checkpoint(tmp_path / "tiny", seed=1)
    with pytest.raises(ConfigError, match=rf"the run's is {backbone.fingerprint}: the weights or the versions"):
        open_elsewhere(origin)


def test_an_adapter_that_is_not_in_the_root_is_named(opened, machine):
    backbone, artifacts = opened
    origin = origin_of(backbone, artifacts, threads=torch.get_num_threads())
    recipe = origin.recipe._replace(adapters=("alignment/shop/0123",))
    machine("two")
    with pytest.raises(MissingInputError, match=r"alignment/shop/0123 is not in s3://.*MMSRA_ROOT name the same root"):
        open_elsewhere(origin._replace(recipe=recipe))


def test_a_backbone_of_parts_cannot_be_opened_elsewhere(tmp_path, artifacts):
    own = tiny_backbone(tmp_path)
    opened_backbone = Backbone(
        own.processor, own.config, name="x", fingerprint="y", picture_tokens=(), model=lambda: own.model
    )  # fmt: skip
    with pytest.raises(ConfigError, match="not opened from settings"):
        origin_of(opened_backbone, artifacts, threads=1)
