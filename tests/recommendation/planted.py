"""Examples in which one class of evidence decides, for the tests of the training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from recommendation.shop import WORDS, context, query

from mmsra_pipeline.columns import SPLIT, TRAIN, VALIDATION
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.sft_dataset import COLUMNS

CANDIDATES = 4
PROMPT = {
    "evidence": ("sequence",), "candidate_image": False, "similar_users": False, "usual_keywords": 0,
    "history_length": 1, "candidate_keywords": False,
}  # fmt: skip


def planted_rows(count: int, *, seed: int = 0, split: str = TRAIN, reversed_: bool = False) -> list[dict[str, Any]]:
    """Lists whose positive alone has the class 9, and the others some of 1 to 5; ``reversed_``: the other way round."""
    generator = np.random.default_rng([seed, count])
    prompt_context, items, rows = context(**PROMPT), sorted(WORDS), []
    for _ in range(count):
        listed = generator.choice(items, CANDIDATES, replace=False).tolist()
        classes = np.zeros((CANDIDATES, len(SLOTS)), dtype=int)
        low = generator.integers(1, 6, CANDIDATES - 1)
        classes[:, 0] = [low[0], *[9] * (CANDIDATES - 1)] if reversed_ else [9, *low]
        asked = query((str(generator.choice(items)),))
        texts = task_prompts.yes_no_prompts(prompt_context, asked, listed, classes.tolist())
        rows.append(
            {
                "task": "yes_no",
                SPLIT: split,
                "prompts": [task_prompts.to_json(parts) for parts in texts],
                "answers": ["Yes", *["No"] * (CANDIDATES - 1)],
                "items": listed,
                "classes": classes.tolist(),
            }
        )
    return rows


def table_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def misleading(lists: int = 24) -> pd.DataFrame:
    """What training teaches is the contrary of what validation asks: its loss rises with every step."""
    return table_of(planted_rows(lists) + planted_rows(6, seed=1, split=VALIDATION, reversed_=True))
