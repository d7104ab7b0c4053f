"""The seam to the multimodal language model: everything else speaks to a ``Backbone``."""

import contextlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmsra_pipeline.backbone.checkpoints import checkpoint_fingerprint, find_checkpoint, read_config
from mmsra_pipeline.backbone.completion import Asked, Completion, Form
from mmsra_pipeline.backbone.decoding import completions
from mmsra_pipeline.backbone.devices import find_device, multiplies_bfloat16
from mmsra_pipeline.backbone.embedded.warm_start import warm_start_adapter
from mmsra_pipeline.backbone.encoding import Encoder, Side
from mmsra_pipeline.backbone.groups import Answers, group_answers
from mmsra_pipeline.backbone.likelihood import answer_log_likelihood
from mmsra_pipeline.backbone.lora import check_adapters
from mmsra_pipeline.backbone.merging import picture_tokens, prepared_processor, read_merged
from mmsra_pipeline.backbone.pictures import PictureFeatures
from mmsra_pipeline.backbone.precision import rounded_weights
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.recipe import Recipe, recipe_of
from mmsra_pipeline.config.tree import BackboneConfig
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import fingerprint, folder_hash


class Backbone:
    """A model, its processor, and three operations on prompts: answers, likelihood, scores of a group.

    ``fingerprint`` names weights, adapters, precision and picture size: equal fingerprints give equal answers. The
    weights are read when they are needed first: who finds all answers in a cache waits for none.
    """

    def __init__(
        self,
        processor: Any,
        config: BackboneConfig,
        *,
        name: str,
        fingerprint: str,
        picture_tokens: Sequence[int],
        model: Callable[[], Any],
        recipe: Recipe | None = None,
    ) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.config = config
        self.name = name
        self.fingerprint = fingerprint
        self.encoder = Encoder(processor, picture_tokens)
        self.recipe = recipe
        self._read_model = model

    @cached_property
    def model(self) -> Any:
        """The network."""
        return self._read_model()

    @cached_property
    def pictures(self) -> PictureFeatures:
        """Pictures as the language model takes them, kept by content."""
        return PictureFeatures(self)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        device: torch.device = self.model.device
        return device

    @property
    def batch_size(self) -> int:
        """Answers that are written at once."""
        return self.config.batch_size

    def encode(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str] | None = None,
        *,
        side: Side = "left",
        end: bool = True,
    ) -> dict[str, Tensor]:
        """Return model inputs on the backbone's device; with ``answers`` also ``labels``. See ``Encoder.encode``."""
        batch = self.encoder.encode(prompts, answers, side=side, end=end)
        return {key: self._moved(value) for key, value in batch.items()}

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision of training: bfloat16 arithmetic where ``backbone.autocast`` is set."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocasts(self.config.autocast))

    def autocasts(self, wanted: bool | str) -> bool:
        """Whether arithmetic is in bfloat16 under a setting: 'auto' asks the device."""
        return multiplies_bfloat16(self.device) if wanted == "auto" else bool(wanted)

    def rounded(self, *, autocast: bool) -> contextlib.AbstractContextManager[None]:
        """Prepare for many forward passes with this ``autocast``: the same answers, faster."""
        return rounded_weights(self.model, enabled=autocast)

    def complete(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: str | None = "\n\n",
        form: Form | None = None,
        lines: Sequence[tuple[bool, bool]] | None = None,
        copies: int = 1,
        autocast: bool | None = False,
    ) -> list[list[Completion]]:
        """Return ``copies`` answers to each prompt, without the prompt and without its prefill.

        Batches are of prompts of like length and of ``backbone.batch_size`` answers. ``Asked`` says what each setting
        means; with ``autocast`` arithmetic is in bfloat16, None: as ``backbone.autocast`` says.

        Raises:
            ValueError: if ``lines`` or ``max_new_tokens`` do not go with the form, or a prompt has a prefill.
        """
        asked = Asked(max_new_tokens, temperature, seed, stop, form, lines, copies)
        fast = self.autocasts(self.config.autocast) if autocast is None else autocast
        arithmetic = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=fast)
        with self._evaluating(), arithmetic, self.rounded(autocast=fast):
            return completions(self, prompts, asked)

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int, **options: Any) -> list[str]:
        """Return one answer per prompt in words; options are those of ``complete``, but for ``copies``."""
        found = self.complete(prompts, max_new_tokens=max_new_tokens, **options)
        return [own[0].text for own in found]

    def log_likelihood(self, prompts: Sequence[Prompt], targets: Sequence[str]) -> list[Float[np.ndarray, " tokens"]]:
        """Return log P of each token of each target after its prompt, in nats.

        The end of the turn is not counted. A target without tokens gives an empty array.
        """
        with self._evaluating():
            return answer_log_likelihood(self, prompts, targets)

    def score_group(
        self, prompts: Sequence[Prompt], words: tuple[str, str] = ("Yes", "No"), *, autocast: bool = False
    ) -> Answers:
        """Score prompts that share a prefix, such as the candidates of one user, by the first token of each answer.

        ``sigmoid(margin)`` is p = P(first word) / (P(first word) + P(second word)) of sec. 3.5. With ``autocast``
        arithmetic is in bfloat16: faster, and p moves by up to 0.03. See ``group_answers``, which gives margins with
        gradients too.

        Raises:
            ValueError: if both words begin with the same token, or if there is no prompt.
        """
        with self._evaluating(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=autocast):
            return group_answers(self, prompts, words)

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self.device, dtype=self.model.dtype if value.is_floating_point() else None)

    @contextlib.contextmanager
    def _evaluating(self) -> Any:
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.model.train(training)


def load_backbone(
    config: BackboneConfig,
    artifacts: Artifacts,
    adapters: Sequence[Path] = (),
    *,
    layers: int | None = None,
    tuned: Sequence[Path] = (),
    warm_start: bool = True,
) -> Backbone:
    """Return the backbone of the settings, with adapters merged into its weights in order.

    Args:
        config: which model, at which precision, on which device.
        artifacts: where the embedded backbone lies; it is built there when missing.
        adapters: folders that ``save_adapter`` wrote.
        layers: how many layers of the language model are kept after these adapters; see ``keep_layers``. None: all.
        tuned: adapters that were trained on what is kept.
        warm_start: whether the adapter of the warm start comes first, where the checkpoint has one.

    Raises:
        MissingInputError: if weights or an adapter are missing.
        ConfigError: if the settings name no image-text-to-text model, or no usable device or picture size.
    """
    backbone = open_backbone(config, artifacts, adapters, layers=layers, tuned=tuned, warm_start=warm_start)
    _ = backbone.model
    return backbone


def open_backbone(
    config: BackboneConfig,
    artifacts: Artifacts,
    adapters: Sequence[Path] = (),
    *,
    layers: int | None = None,
    tuned: Sequence[Path] = (),
    warm_start: bool = True,
    before_reading: Callable[[], None] = lambda: None,
) -> Backbone:
    """Return the same as ``load_backbone`` without its weights, which are read at the first use; as it otherwise.

    ``before_reading`` is called then: it may wait for the device.
    """
    place = find_checkpoint(config.model, config.image_side, artifacts)
    recipe = recipe_of(config, artifacts.root, adapters, tuned, layers=layers, warm_start=warm_start)
    settings = read_config(place)
    processor = prepared_processor(place, settings, config.image_side)
    device = find_device(config.device)
    adapters = [*(warm_start_adapter(place) if warm_start else ()), *adapters]
    check_adapters([*adapters, *tuned])
    base = checkpoint_fingerprint(place, settings)

    def read() -> Any:
        before_reading()
        return read_merged(place, getattr(torch, config.dtype), device, adapters, layers=layers, tuned=tuned)

    merged = [[folder_hash(folder) for folder in folders] for folders in (adapters, tuned)]
    parts = [base, config.image_side, config.dtype, *merged, layers]
    return Backbone(
        processor,
        config,
        name=config.model,
        fingerprint=fingerprint(*parts),
        picture_tokens=picture_tokens(settings),
        model=read,
        recipe=recipe,
    )
