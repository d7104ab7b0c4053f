"""Variants of a data set that have one part of the method less: the rows of the paper's table 6, and six more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import ITEM, KEYWORDS, TEXT, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.baselines import OURS, ROW
from mmsra_pipeline.evaluation.compare import COLUMNS, compare
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.pairwise import holm
from mmsra_pipeline.recommendation.context import cut, estimated_tokens
from mmsra_pipeline.recommendation.fusion import FUSED

VARIANT: Final = "variant"
COMPARED_ROWS: Final = (OURS, FUSED)
"""Rows of metrics in which a variant is compared: what the others change in them is in the variant's own table."""
EQUAL_TOKENS: Final = "raw-titles"


class AblationRow(NamedTuple):
    """A row of the table: its settings in place of the data set's own."""

    what: str
    settings: Mapping[str, Any]
    """Section by section, as a data set's file has them."""


def _prompt(**changes: Any) -> dict[str, Any]:
    return {"recommendation": {"prompt": changes}}


TABLE_6: Final[Mapping[str, AblationRow]] = {
    "raw-text": AblationRow("raw text in place of keywords", _prompt(history="text")),
    "no-grpo": AblationRow("keywords without tuning by reward", {"grpo": {"steps": 0}}),
    "no-similar-users": AblationRow("no similar users", _prompt(similar_users=False)),
    "gru4rec": AblationRow("GRU4Rec in place of SASRec", {"retrieval": {"encoder": {"kind": "gru4rec"}}}),
    "yes-no-only": AblationRow(
        "yes and no alone as task", {"recommendation": {"tasks": {"choose": 0, "next_keywords": 0, "item_keywords": 0}}}
    ),
    "no-sft": AblationRow("no tuning of the recommender", {"recommendation": {"epochs": 0}}),
}
"""Rows of the paper's table 6."""
MORE: Final[Mapping[str, AblationRow]] = {
    EQUAL_TOKENS: AblationRow("raw titles for keywords, at equal tokens", _prompt(history="text")),
    "no-evidence": AblationRow("no evidence (the paper's prompt)", _prompt(evidence=[])),
    "no-picture": AblationRow(
        "the summarizer sees no picture, nor does the recommender",
        {"summarization": {"reads": ["text"]}, **_prompt(candidate_image=False)},
    ),
    "no-text": AblationRow(
        "the summarizer reads no text (and is not tuned: rewards need texts), nor does the recommender",
        {"summarization": {"reads": ["picture"]}, "grpo": {"steps": 0}, **_prompt(candidate_text=False)},
    ),
    "no-candidate-picture": AblationRow("the recommender sees no picture", _prompt(candidate_image=False)),
    "no-candidate-text": AblationRow("the recommender reads no text of the candidate", _prompt(candidate_text=False)),
}
"""Rows that the paper does not have. ``EQUAL_TOKENS`` is bounded by ``equal_chars`` too."""
ROWS: Final[Mapping[str, AblationRow]] = {**TABLE_6, **MORE}


@dataclass(frozen=True)
class Ablation:
    """What the variants of a data set came to."""

    table: pd.DataFrame
    """Columns ``variant`` and those of ``compare``: variant less full model, points; p_holm over variants and rows."""
    left_out: Mapping[str, str]
    """Variants that cannot be compared, and why."""


def ablation(
    full: pd.DataFrame, variants: Mapping[str, pd.DataFrame], cutoff: int, bootstrap: int, seed: int
) -> Ablation:
    """Compare variants with the full model, user by user, in HR@k and NDCG@k of the rows ``COMPARED_ROWS``.

    Args:
        full: the table ``user_metrics`` of the data set.
        variants: that of each variant.
        cutoff: k.
        bootstrap: resamples of users for the 95 % intervals.
        seed: of the resamples.
    """
    metrics = [f"hr@{cutoff}", f"ndcg@{cutoff}"]
    tables, left_out = [], {}
    own = full[full[ROW].isin(COMPARED_ROWS)]
    for name, measured in variants.items():
        missing = [metric for metric in metrics if metric not in measured or metric not in full]
        if missing:
            left_out[name] = f"{missing[0]} was not measured by user"
            continue
        try:
            found = compare(own, measured, metrics, bootstrap, seed)
        except DataError:
            left_out[name] = f"no test query in common ({measured[USER].nunique()} users)"
            continue
        tables.append(found.assign(**{VARIANT: name}))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*COLUMNS, VARIANT])
    for metric in metrics:
        of_metric = table["metric"] == metric
        table.loc[of_metric, "p_holm"] = holm(table.loc[of_metric, "p_value"].to_numpy(dtype=np.float64))
    table = table[[VARIANT, *COLUMNS]].sort_values([PROTOCOL, ROW], kind="stable", ignore_index=True)
    return Ablation(table, left_out)


def equal_chars(item_keywords: pd.DataFrame, item_text: pd.DataFrame, most: int) -> int:
    """Return the bound, in characters, at which texts have about as many tokens as the keywords that a prompt shows.

    A text begins with its title, so at so few characters it is the title. The mean over items that have both counts.

    Args:
        item_keywords: item_id and keywords.
        item_text: item_id and text.
        most: keywords of an item that prompts show, at most.
    """
    words = {item: ", ".join(map(str, own[:most])) for item, own in zip(item_keywords[ITEM], item_keywords[KEYWORDS])}
    both = [(words[item], text) for item, text in zip(item_text[ITEM], item_text[TEXT]) if text and words.get(item)]
    wanted = sum(estimated_tokens(said) for said, _ in both)
    low, high = 1, max((len(text) for _, text in both), default=1)
    while low < high:
        middle = (low + high) // 2
        if sum(estimated_tokens(cut(text, middle)) for _, text in both) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low
