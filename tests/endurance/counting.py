"""How often the costly steps were done, counted where they are done: a count outlives the kill of its process."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

PICTURES, KEYWORDS = "pictures decoded", "keywords generated"


def count_calls(file: Path) -> None:
    """Have this process add a line to ``file`` for each costly step that it does from now on."""
    from mmsra_pipeline.backbone.model import Backbone
    from mmsra_pipeline.items import picture_store

    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _counted(picture_store, "decode_image", lambda *_: 1, PICTURES, handle)
    _counted(Backbone, "generate", lambda _, prompts: len(prompts), KEYWORDS, handle)


def counted(file: Path) -> Counter[str]:
    """Give what was counted so far."""
    found: Counter[str] = Counter()
    for line in file.read_text().splitlines() if file.exists() else []:
        number, _, what = line.partition(" ")
        found[what] += int(number)
    return found


def _counted(owner: Any, name: str, size: Callable[..., int], what: str, handle: int) -> None:
    inner = getattr(owner, name)

    def call(*args: Any, **options: Any) -> Any:
        os.write(handle, f"{size(*args[:2])} {what}\n".encode())
        return inner(*args, **options)

    setattr(owner, name, call)
