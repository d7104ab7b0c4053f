"""What a picture becomes for the language model, computed once and kept by content."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from PIL import Image

from mmsra_pipeline.backbone.parts import Parts, Seen
from mmsra_pipeline.storage.hashing import short_hash

KEPT_BYTES = 256 * 2**20


class PictureFeatures:
    """Gives pictures behind the vision tower and the projector, in the precision of the weights, without gradient.

    The pictures used last are kept, up to ``KEPT_BYTES``. Not for a projector in training.
    """

    def __init__(self, backbone: Parts, kept_bytes: int = KEPT_BYTES) -> None:
        self._backbone = backbone
        self._room = kept_bytes
        self._kept: OrderedDict[bytes, Seen] = OrderedDict()

    def of(self, images: Sequence[Image.Image]) -> list[Seen]:
        """Return each picture, in order."""
        keys = [_content(image) for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self._kept}
        seen = {key: self._kept[key] for key in keys if key in self._kept}
        for key, image in new.items():  # one by one: together they would round otherwise
            seen[key] = self._look(image)
        for key in dict.fromkeys(keys):
            self._kept[key] = seen[key]
            self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(_size(one) for one in self._kept.values()) > self._room:
            self._kept.popitem(last=False)
        return [seen[key] for key in keys]

    def _look(self, image: Image.Image) -> Seen:
        with torch.no_grad():
            return _seen(self._backbone, [image])[0]


class TrainedPictures:
    """Gives pictures with the gradient of the projector, all together and anew each time."""

    def __init__(self, backbone: Parts) -> None:
        self._backbone = backbone

    def of(self, images: Sequence[Image.Image]) -> list[Seen]:
        """Return each picture, in order."""
        return _seen(self._backbone, images) if images else []


def _seen(backbone: Parts, images: Sequence[Image.Image]) -> list[Seen]:
    model = backbone.model
    pixels = dict(backbone.processor.image_processor(images=list(images), return_tensors="pt"))
    grids = pixels.get("image_grid_thw")
    beside = {} if grids is None else {"image_grid_thw": grids.to(model.device)}
    with torch.autocast(model.device.type, enabled=False):
        values = pixels["pixel_values"].to(model.device, dtype=model.dtype)
        found = model.base_model.get_image_features(pixel_values=values, return_dict=True, **beside).pooler_output
    return [
        Seen(states.reshape(-1, states.shape[-1]), None if grids is None else grids[row])
        for row, states in enumerate(found)
    ]


def _content(image: Image.Image) -> bytes:
    named = f"{image.mode} {image.size}".encode()
    return short_hash(named + image.tobytes(), 16)


def _size(seen: Seen) -> int:
    return seen.states.numel() * seen.states.element_size()
