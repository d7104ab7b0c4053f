"""Settings of the language model, of its warm start and of adapters."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from mmsra_pipeline.section import Section, Share


class BackboneConfig(Section):
    """The multimodal language model."""

    model: str = "embedded"
    """'embedded': assembled from weights that packages ship. Else hub name or folder of an image-text-to-text model."""
    image_side: PositiveInt = 128
    """Pictures are shown to the model at this side, in pixels."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights. float32 scores are exact to 1e-5, bfloat16 ones to 0.03."""
    autocast: bool | Literal["auto"] = False
    """Train in bfloat16 arithmetic over the weights above. auto: where the device multiplies bfloat16 by itself."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one."""
    batch_size: PositiveInt = 16
    """Prompts per forward pass when generating."""


class LoraSettings(Section):
    """Low-rank adapters on attention and MLP of the language model."""

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Share = 0.0


class AlignmentConfig(Section):
    """The warm start: pictures get a meaning, keywords get their form. 0 steps switch it off (hub models)."""

    steps: NonNegativeInt = 0
    batch_size: PositiveInt = 16
    projector_steps: NonNegativeInt = 100
    """Steps before these, of the projector alone, on drawings. They are cheap: the language model takes no part."""
    projector_batch_size: PositiveInt = 32
    projector_learning_rate: PositiveFloat = 1e-3
    lora_learning_rate: PositiveFloat = 3e-4
    lora: LoraSettings = LoraSettings(rank=8, alpha=16)
    drawn_share: Share = 0.8
    """Share of training examples whose picture is drawn (known colour, pattern, shape). Of the rest, most show the
    catalogue's own pictures, some no picture."""
    drawn_text_share: Share = 0.5
    """Share of the drawn pictures that are shown beside a text of the catalogue; the others stand alone."""
    text_keywords: PositiveInt = 5
    """Keywords of a text, taken out of it by TF-IDF, that an answer is trained to give."""
    picture_labels: PositiveInt = 4
    """An item's tags that count as keywords of its picture, the first ones. Without any tags: its categories."""
    checkpoint_every: PositiveInt = 20
    """Optimizer steps between resumable checkpoints."""
    measured_pictures: PositiveInt = 96
    """Held-out drawings on which the alignment is measured."""
