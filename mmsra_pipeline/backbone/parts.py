"""What the operations on a backbone may use of it, so that they need not know the class that offers them."""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mmsra_pipeline.backbone.encoding import Encoder, Side
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.backbone import BackboneConfig


class Seen(NamedTuple):
    """A picture as the language model takes it."""

    states: Float[Tensor, "tokens dim"]
    grid: Tensor | None
    """Its rows and columns of patches, (3,), where the model's positions depend on them."""


class Pictures(Protocol):
    """Gives pictures as the language model takes them."""

    def of(self, images: Sequence[Image.Image]) -> list[Seen]:
        """Return each picture, in order."""


class Parts(Protocol):
    """A model with its processor, as ``model.Backbone`` holds them."""

    @property
    def processor(self) -> Any:
        """What makes tensors of text and pixels."""

    @property
    def tokenizer(self) -> Any:
        """That of the processor."""

    @property
    def config(self) -> BackboneConfig:
        """Its settings."""

    @property
    def fingerprint(self) -> str:
        """Names weights, adapters, precision and picture size."""

    @property
    def encoder(self) -> Encoder:
        """From prompts to token ids."""

    @property
    def model(self) -> Any:
        """The network."""

    @property
    def pictures(self) -> Pictures:
        """Pictures as the language model takes them, kept by content."""

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""

    @property
    def batch_size(self) -> int:
        """Answers that are written at once."""

    def encode(
        self, prompts: Sequence[Prompt], answers: Sequence[str] | None = None, *, side: Side = "left", end: bool = True
    ) -> dict[str, Tensor]:
        """Return model inputs on the device."""

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision of training."""
