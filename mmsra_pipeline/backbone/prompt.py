"""What is said to the model: text and pictures of one user turn, and the words its answer begins with."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

Part = str | Image.Image


@dataclass(frozen=True)
class Prompt:
    """One user turn. Parts keep their order, so a picture stands where it was put."""

    parts: tuple[Part, ...]
    prefill: str = ""
    """Words that the answer is made to begin with. Operations give back what follows them."""

    @property
    def images(self) -> list[Image.Image]:
        """The pictures, in order."""
        return [part for part in self.parts if not isinstance(part, str)]

    def messages(self) -> list[dict[str, Any]]:
        """Return the turn as a chat in the form that transformers' chat templates take."""
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part}
            for part in self.parts
        ]
        return [{"role": "user", "content": content}]
