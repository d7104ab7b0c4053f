"""Settings of the language model, of its warm start and of adapters."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from mmsra_pipeline.config.section import Section, Share


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
    """Rank of the two factors of each adapted matrix."""
    alpha: PositiveInt = 32
    """Scale: the product of the factors counts alpha / rank."""
    dropout: Share = 0.0
    """Share of the inputs of the adapter that training leaves out."""


class AlignmentConfig(Section):
    """The warm start on a catalogue: what its pictures show, the form of its keywords. 0 steps switch it off."""

    steps: NonNegativeInt = 0
    """Optimizer steps of the warm start; 0: none, for a backbone whose projector is trained."""
    batch_size: PositiveInt = 16
    """Examples a step."""
    projector_steps: NonNegativeInt = 0
    """Steps before these, of the projector alone, on drawings. The embedded model's projector has had them."""
    projector_batch_size: PositiveInt = 32
    """Drawings a step of the projector alone."""
    projector_learning_rate: PositiveFloat = 1e-3
    """Peak rate of the projector."""
    lora_learning_rate: PositiveFloat = 3e-4
    """Peak rate of the adapter."""
    lora: LoraSettings = LoraSettings(rank=8, alpha=16)
    drawn_share: Share = 0.0
    """Share of training examples whose picture is drawn (known colour, pattern, shape): for the built-in store alone,
    whose products look like that. The others show the catalogue's own pictures, some no picture."""
    drawn_text_share: Share = 0.5
    """Share of the drawn pictures that are shown beside a text of the catalogue; the others stand alone."""
    pictures_by: Literal["pixels", "tags"] = "pixels"
    """What is known of a picture. pixels: pseudo-labels, read off it and by the vision tower's own classes. tags: its
    item's tags, or its category if no item has tags; they must say what the picture shows."""
    verify_share: Share = 0.15
    """Share of examples that ask whether one keyword is true: what a keyword's confidence is read from."""
    text_keywords: PositiveInt = 8
    """Keywords of a text, taken out of it by TF-IDF, that an answer is trained to give."""
    picture_labels: PositiveInt = 4
    """Labels that count as keywords of a picture, the first ones."""
    held_out: NonNegativeInt = 100
    """Items, a fifth of the pictured ones at most, whose pictures no step shows: whether their pseudo-labels are named
    is measured on them."""
    checkpoint_every: PositiveInt = 20
    """Optimizer steps between resumable checkpoints."""
    measured_pictures: PositiveInt = 96
    """Held-out drawings on which the alignment is measured."""
