"""The page of what each part of the method is worth: rows of the paper's table 6, and how to make them."""

from collections.abc import Mapping
from typing import Final

from mmsra_pipeline.report.views import Block, Table

TABLE_6: Final[Mapping[str, str]] = {
    "raw text in place of keywords": "recommendation.prompt.history: text",
    "keywords without tuning by reward": "grpo.steps: 0",
    "no similar users": "recommendation.prompt.similar_users: false",
    "GRU4Rec in place of SASRec": "retrieval.encoder.kind: gru4rec",
    "yes and no alone as task": "recommendation.tasks: {choose: 0, next_keywords: 0, item_keywords: 0}",
    "no tuning of the recommender": "recommendation.epochs: 0",
    "no evidence (the paper's prompt)": "recommendation.prompt.evidence: []",
}


def ablation_page() -> list[Block]:
    """Return the blocks of the page."""
    words = [
        "There is no variant of this data set, so what a part of the method is worth was not measured here. A variant "
        "is the same data with other settings: a root of its own with one of these settings in its mmsra.yaml, made by "
        "`mmsra refresh`; the stages that do not read the setting come out the same.",
        "Two data sets of one root, variants among them, are compared user by user with `mmsra compare A B`.",
    ]
    rows = [[name, setting] for name, setting in TABLE_6.items()]
    return [Block("Not measured", words, (), [Table("Rows of table 6 and their setting", ["row", "setting"], rows)])]
