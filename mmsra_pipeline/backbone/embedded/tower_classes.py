"""The classes of ImageNet that the embedded backbone's vision tower was trained on: what it is sure of in a picture.

The backbone has the tower's features only; this reads its classifier beside them, out of the same weights file.
"""

import json
from typing import Any, Final

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import EfficientNetModel

from mmsra_pipeline.backbone.embedded.lite0 import lite0_config, load_lite0
from mmsra_pipeline.backbone.embedded.packaged_weights import CLASSES, VISION

SIDE: Final = 224
LEAST: Final = 0.5  # probability from which the tower is sure
MOST_WORDS: Final = 3  # of a class that may be a keyword


class TowerClasses:
    """Calls pictures by the tower's classes."""

    def __init__(self) -> None:
        """Read weights and names.

        Raises:
            MissingInputError: if a package that ships them is not installed.
            DataError: if they are not the pinned ones.
        """
        original = torch.load(VISION.checked_path(), map_location="cpu", weights_only=True)
        self._weight, self._bias = original["_fc.weight"], original["_fc.bias"]
        self._tower: Any = EfficientNetModel(lite0_config()).eval()
        load_lite0(self._tower, original)
        self._names: list[str] = [name.casefold() for name in json.loads(CLASSES.checked_path().read_text())]

    def __call__(self, picture: Image.Image) -> list[str]:
        """Return the class that the tower is sure of: one name, or none."""
        probabilities = self.probabilities(picture)
        best = int(np.argmax(probabilities))
        sure = probabilities[best] >= LEAST and len(self._names[best].split()) <= MOST_WORDS
        return [self._names[best]] if sure else []

    @torch.inference_mode()
    def probabilities(self, picture: Image.Image) -> np.ndarray:
        """Return the probability of each of the 1000 classes; the picture is cut to a square about its middle."""
        square = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(square, dtype=np.float32).copy()).permute(2, 0, 1)[None] / 127.5 - 1.0
        states = self._tower(pixel_values=pixels).last_hidden_state.mean(dim=(2, 3))
        found: np.ndarray = torch.nn.functional.linear(states, self._weight, self._bias).softmax(dim=-1)[0].numpy()
        return found
