"""The data dictionary: what one row of each table is, who writes it, and what its columns hold."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import SLOTS

USER, ITEM = "id of the user", "id of the item"
TIME = "milliseconds since 1970 UTC; null where unknown"
POSITION = "0-based place in the user's history"
INTERVAL = {"low": "lower end of the 95 % interval", "high": "upper end of the 95 % interval"}
OF_TEXT = {
    "title": "title",
    "description": "description",
    "category": "category",
    "tags": "tags, joined by commas",
}


class Described(NamedTuple):
    """A table."""

    row: str
    """What one row is."""
    writer: str
    """The asset that writes it."""
    columns: Mapping[str, str]
    """Meaning, unit and range, by column."""


_LISTS = {
    "protocol": "how the list was drawn: uniform, popularity, existing, served",
    "user_id": USER,
    "position": POSITION,
    "item_id": ITEM,
    "is_target": "whether it came next",
}
_ANSWERED = {
    **_LISTS,
    "first_stage_rank": "rank in the first stage, from 1; null: not ranked there",
    **{f"signal_{slot}": f"signal '{slot}', higher speaks for the item; null: unknown" for slot in SLOTS},
    **{f"class_{slot}": f"its class, 9 best of the catalogue to 1, 0 unknown ('{slot}')" for slot in SLOTS},
    "logit": "logit(Yes) - logit(No) of the recommender",
    "mass": "P(Yes) + P(No), in [0, 1]",
    "p": "P(Yes) / (P(Yes) + P(No)), in [0, 1] (sec. 3.5)",
}
_KEYWORDS = {
    "item_id": ITEM,
    "keywords": "keywords of picture and text",
    "image_keywords": "those of the picture",
    "text_keywords": "those of the text",
    "completion": "the model's answer; empty where no model wrote",
    "well_formed": "whether the answer had the form",
    "copied": "share of text keywords that stand in the text as they are, in [0, 1]",
    "information": "cosine of the embeddings of keywords and text, in [-1, 1] (eq. 1)",
    "source": "who wrote them: model, extractive, none",
}
_MEASURED = {"users": "users", "metric": "metric, in percent", "value": "its value", **INTERVAL}

TABLES: Final[Mapping[str, Described]] = {
    Tables.RAW_REVIEWS: Described("a review as it stands in the source", "raw_reviews", {
        "user_id": USER, "item_id": ITEM, "timestamp": TIME, "rating": "as given; null: none", "review": "its text",
        "order": "place in the source", "line_hash": "checksum of the line, where lines may repeat",
    }),
    Tables.RAW_ITEMS: Described("an item as its metadata describe it", "raw_reviews", {
        "item_id": ITEM, **OF_TEXT, "image": "file below the picture folder, or URLs with blanks between them",
        "image_sha256": "hash of the picture file; null: none or by URL",
    }),
    Tables.REJECTS: Described("a row of the source that cannot be used", "raw_reviews", {
        "file": "below the data set's folder", "line": "1-based line, or row of a Parquet file",
        "reason": "why, and how to fix it", "text": "the row, at most 300 characters",
    }),
    Tables.INTERACTIONS: Described("a user and an item taken, after filtering", "interactions", {
        "user_id": USER, "item_id": ITEM, "timestamp": TIME, "rating": "as given; null: none", "position": POSITION,
    }),
    Tables.FUNNEL: Described("a step of filtering", "interactions", {
        "step": "what was filtered", "users": "users left", "items": "items left",
        "interactions": "interactions left",
    }),
    Tables.SEQUENCES: Described("a query: a user at a moment", "sequences", {
        "user_id": USER, "split": "train, validation, test, or serve: the query of a recommendation",
        "position": "of the target", "target": "item that came next", "timestamp": TIME,
        "history_start": "position of the first item of its history, whose items stand in interactions",
    }),
    Tables.TRAINING_BOUNDS: Described("a user", "sequences", {
        "user_id": USER, "bound": "positions below it are training",
    }),
    Tables.TRAINING_QUERIES: Described("a query drawn for the recommender", "training_queries", {
        "split": "train: examples are made of it; validation: it chooses the best step of the training",
        "user_id": USER, "position": POSITION,
    }),
    Tables.ITEM_TEXT: Described("an item of the catalogue", "item_text", {
        "item_id": ITEM, **OF_TEXT, "text": "title, description and category, cleaned and bounded",
    }),
    Tables.ITEM_TEXT_SOURCES: Described("an item of the catalogue", "item_text", {
        "item_id": ITEM, **OF_TEXT, "text": "as in item_text", "source_key": "hash of what the text was made of",
    }),
    Tables.ITEM_IMAGES: Described("an item of the catalogue", "item_images", {
        "item_id": ITEM, "image_sha256": "hash of the stored picture; null: none", "status": "ok, missing, refused, …",
        "reason": "why there is none", "width": "pixels", "height": "pixels",
        "perceptual_hash": "alike for pictures that look alike", "mean_color": "mean colour, as hex",
        "source_key": "hash of what it was made of",
    }),
    Tables.IMAGE_STATUS: Described("an item of the metadata that names a picture", "item_images", {
        "item_id": ITEM, "image": "file or URL", "status": "as in item_images", "reason": "as in item_images",
    }),
    Tables.ALIGNMENT: Described("a step of the warm start, or a measure of it", "alignment", {
        "step": "optimizer step; null in measures", "loss": "nats per token of the answers",
        "pictures": "which pictures were measured; null in steps", "attribute": "what was to be named",
        "accuracy": "share named, in [0, 1]", "n": "pictures", **INTERVAL,
    }),
    Tables.DRAFT_KEYWORDS: Described("an item of the draft sample, before tuning", "draft_keywords", _KEYWORDS),
    Tables.SUMMARIZER: Described("a step of GRPO; means over its completions", "summarizer", {
        "step": "optimizer step", "reward": "weighted sum of the terms", "information": "eq. 1",
        "reconstruction": "eq. 2", "length": "eq. 3", "grounding": "nats that the picture adds to its keywords",
        "repetition": "share of words that repeat", "title_copy": "share of keywords out of the title",
        "cut_off": "share cut by the token limit", "loss": "of the policy", "kl": "nats to the model before",
        "entropy": "nats per token", "tokens": "tokens of a completion", "keywords": "keywords of a completion",
        "at_limit": "share at the limit", "no_spread": "share of groups whose rewards do not differ",
        "advantage_spread": "standard deviation of advantages",
    }),
    Tables.TUNING_MEASURES: Described("a measure of held-out items before and after tuning", "summarizer", {
        "measure": "what", "before": "mean before", "after": "mean after", "difference": "paired", **INTERVAL,
        "items": "held-out items",
    }),
    Tables.ITEM_KEYWORDS: Described("an item of the catalogue", "item_keywords", _KEYWORDS),
    Tables.KEYWORD_QUALITY: Described("an item of the catalogue", "keyword_quality", {
        "item_id": ITEM, "source": "as in item_keywords", "well_formed": "as in item_keywords",
        "image_keywords": "those of the picture", "text_keywords": "those of the text",
        "confidence_image": "mean p(Yes) that a keyword is true of the picture; null: not asked",
        "confidence_text": "the same of the text", "retrieval_rank": "place of the own text among all, from 1",
        "copied": "as in item_keywords", "suspicious": "why the text looks like an attack; null: it does not",
    }),
    Tables.KEYWORD_PANEL: Described("a measure over the catalogue", "keyword_quality", {
        "measure": "what", "value": "its value", **INTERVAL, "n": "items",
    }),
    Tables.USER_ENCODER: Described("an epoch of the user encoder", "user_encoder", {
        "epoch": "from 1", "loss": "nats", "ndcg@10": "of validation users over the whole catalogue, in [0, 1]",
    }),
    Tables.SIMILAR_USERS: Described("a similar user of a query and what they took next", "similar_users", {
        "user_id": USER, "position": POSITION, "rank": "1 is most similar", "neighbor_id": "the similar user",
        "neighbor_position": "of what they took next", "item_id": "what they took next", "timestamp": TIME,
        "score": "cosine, in [-1, 1]",
    }),
    Tables.COOCCURRENCE_NEIGHBORS: Described("an item and one taken soon after it", "cooccurrence_neighbors", {
        "item_id": ITEM, "neighbor_id": "the item taken soon after", "rank": "1 is best",
        "score": "by the setting normalization", "users": "users who did so",
    }),
    Tables.SFT_DATASET: Described("an example; of the task yes_no a query with its candidates", "sft_dataset", {
        "example_id": "number", "task": "yes_no, choose, next_keywords, item_keywords", "split": "train or validation",
        "user_id": USER, "position": POSITION, "prompts": "JSON lists of parts, one a candidate",
        "answers": "one a prompt", "items": "candidates, the positive first", "classes": "of each candidate's signals",
    }),
    Tables.RECOMMENDER: Described("a step of the recommender's tuning", "recommender", {
        "step": "optimizer step", "loss": "nats", "validation_loss": "nats; null where not looked at",
        "best": "whether the adapter is that of this step",
    }),
    Tables.CANDIDATES: Described("a candidate of a test query", "rankings", _ANSWERED),
    Tables.RANKINGS: Described("a candidate of a test query under one row", "rankings", {
        **_LISTS, "row": "who ranks", "score": "higher is better", "p": "probability, where the row gives one",
    }),
    Tables.FUSION: Described("a coefficient", "fusion", {
        "kind": "which fusion", "feature": "what it weighs", "value": "its weight", **INTERVAL,
    }),
    Tables.VALIDATION_CANDIDATES: Described("a candidate of a validation query", "fusion", _ANSWERED),
    Tables.METRICS: Described("a metric of a row", "metrics", {
        "row": "who ranks", "protocol": "how lists were drawn", **_MEASURED,
    }),
    Tables.DIFFERENCES: Described("a metric of a row less that of another, paired by user", "metrics", {
        "protocol": "how lists were drawn", "row": "who ranks", "against": "the other row", **_MEASURED,
    }),
    Tables.METRICS_BY_COUNT: Described("a metric of a row by how often training saw the target", "metrics", {
        "protocol": "how lists were drawn", "row": "who ranks", "count_bin": "training interactions of the target",
        **_MEASURED,
    }),
    Tables.METRICS_BY_SLICE: Described("a metric of a row by part of the queries", "metrics", {
        "protocol": "how lists were drawn", "row": "who ranks", "against": "the other row of a difference; else empty",
        "slice": "training count of the target, history length, picture of the target, time",
        "part": "which part of it", **_MEASURED,
    }),
    Tables.PAIRWISE: Described("a metric of a row less that of another, of all pairs", "metrics", {
        "protocol": "how lists were drawn", "row": "who ranks", "against": "the other row", **_MEASURED,
        "p_value": "of the paired t-test, two-sided", "p_holm": "the same, corrected for all pairs of this metric",
        "detectable": "smallest difference that so many users show 4 times of 5 at 5 %, points",
        "users_needed": "users who show a difference of 2 points so",
    }),
    Tables.USER_METRICS: Described("a list under one row", "metrics", {
        "protocol": "how lists were drawn", "row": "who ranks", "user_id": USER, "position": POSITION,
        "higher": "negatives that score higher than what came next", "equal": "negatives that score the same",
        "negatives": "negatives of the list",
        **{f"{name}@{k}": f"{name.upper()}@{k}, in [0, 1]" for k in (1, 5, 10) for name in ("hr", "ndcg", "mrr")},
        "auc_user": "AUC of the list, in [0, 1]",
    }),
    Tables.SERVED_QUALITY: Described("a metric of a row over the whole catalogue", "served_quality", {
        "row": "who orders", "depth": "candidates of the first stage that it reorders; 0: it orders the catalogue",
        **_MEASURED, "difference": "from the first stage's own order, points",
        "difference_low": "lower end of its 95 % interval", "difference_high": "upper end of its 95 % interval",
    }),
    Tables.SERVED_CANDIDATES: Described("a candidate of a test query's served list", "served_quality", {
        **_ANSWERED, "p_served": "calibrated probability of the fusion, as lists are served, in [0, 1]",
    }),
    Tables.SERVED_TRAITS: Described("a trait of the lists that a row gives", "served_quality", {
        "row": "who orders", "depth": "as in served_quality", "users": "users", "k": "items of a list",
        "trait": "coverage, gini, novelty (bits), popularity (users), popularity_lift, keyword_diversity",
        "value": "its value",
    }),
    Tables.SERVED_OVERLAP: Described("two rows and what their lists have in common", "served_quality", {
        "row": "who orders, with its depth", "against": "the other row", "k": "items of a list",
        "value": "share of the items that both give, in [0, 1]",
    }),
    Tables.FIRST_STAGE_RECALL: Described("a view of the first stage at one size", "first_stage_recall", {
        "row": "the view", "k": "candidates", "recall": "share of targets among them, percent", **INTERVAL,
        "n": "queries",
    }),
    Tables.RECOMMENDATIONS: Described("a place of a user's list", "recommendations", {
        "user_id": USER, "rank": "1 is best", "item_id": ITEM, "title": "its title",
        "p": "calibrated probability that it is next, in [0, 1]; null: not asked about",
        "p_model": "the recommender's own p; null: as p",
        "first_stage_rank": "from 1", "shared_keywords": "keywords that the item shares with the history",
        "ranked_by": "fusion: of the recommender's answer with signals; first_stage: its order, of users not active",
    }),
    Tables.REPORT: Described("a user whom the report shows", "report", {
        "case": "number under which pages show the user", "user_id": USER, "position": POSITION,
        "kind": "good, median, bad: chosen by rule; test: others; served: has recommendations only",
        "explained": "whether it was computed what leaving out a part does",
    }),
    Tables.EXPLANATIONS: Described("a candidate and a part of the prompt that was left out", "report", {
        "user_id": USER, "position": POSITION, "item_id": "the candidate", "part": "kind of what was left out",
        "left_out": "the history item; else empty", "logit": "logit(Yes) - logit(No) without it",
        "p": "P(Yes) / (P(Yes) + P(No)) without it, in [0, 1]", "change": "p without it less p with all, in [-1, 1]",
    }),
    Tables.INJECTION_PROBE: Described("a candidate with an imitation of the prompt in its title or picture", "report", {
        "user_id": USER, "position": POSITION, "item_id": "the middle candidate of the user's served list",
        "imitation": "instruction, evidence: imitate lines of the prompt; praise: imitates none",
        "place": "title, or picture: the words are drawn over its top, where prompts show pictures",
        "cleaned": "whether the title was cleaned, as items' texts are", "p": "p(Yes) with those words, in [0, 1]",
        "p_rise": "p less p without them, in [-1, 1]", "rank": "among the candidates of the list, from 1",
        "rank_rise": "places up by them; negative: down",
    }),
    Tables.REFRESH_REPORT: Described("an asset of a refresh", "refresh_report", {
        "at": "when it ended, UTC", "asset": "its name", "outcome": "materialized, unchanged, skipped, failed, …",
        "reasons": "why it was stale", "seconds": "it took", "rows": "it wrote",
        "peak_memory_gb": "most memory of its process meanwhile, GB; null: not computed",
        "seconds_saved": "that it took last time, where it was left out", "run_id": "of Dagster",
    }),
}  # fmt: skip
