"""Names of tables and columns, once. A table is named as the asset that writes it."""

from typing import Final

USER: Final = "user_id"
ITEM: Final = "item_id"
TIME: Final = "timestamp"  # int64, milliseconds since 1970 UTC; null where the data have order but no times
RATING: Final = "rating"
REVIEW: Final = "review"
POSITION: Final = "position"  # 0-based place of an interaction in its user's history
SPLIT: Final = "split"
HISTORY: Final = "history"  # list of item ids, oldest first; written out where it is shown, stored nowhere
START: Final = "history_start"  # position of the first item of a query's history
TARGET: Final = "target"
TITLE: Final = "title"
DESCRIPTION: Final = "description"
CATEGORY: Final = "category"
TAGS: Final = "tags"
TEXT: Final = "text"
IMAGE: Final = "image"
IMAGE_HASH: Final = "image_sha256"
KEYWORDS: Final = "keywords"
NEIGHBOR: Final = "neighbor_id"
RANK: Final = "rank"  # 1 is best
SCORE: Final = "score"

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SERVE: Final = "serve"  # the query of a recommendation: the whole history, no target


class Tables:
    """Table names. The first word of a table's rows is what one row is."""

    RAW_REVIEWS: Final = "raw_reviews"
    RAW_ITEMS: Final = "raw_items"
    REJECTS: Final = "rejects"
    INTERACTIONS: Final = "interactions"
    FUNNEL: Final = "funnel"
    SEQUENCES: Final = "sequences"
    TRAINING_BOUNDS: Final = "training_bounds"
    TRAINING_QUERIES: Final = "training_queries"
    ITEM_TEXT: Final = "item_text"
    ITEM_TEXT_SOURCES: Final = "item_text_sources"
    ITEM_IMAGES: Final = "item_images"
    IMAGE_STATUS: Final = "image_status"
    ALIGNMENT: Final = "alignment"
    DRAFT_KEYWORDS: Final = "draft_keywords"
    SUMMARIZER: Final = "summarizer"
    TUNING_MEASURES: Final = "tuning_measures"
    ITEM_KEYWORDS: Final = "item_keywords"
    KEYWORD_QUALITY: Final = "keyword_quality"
    KEYWORD_PANEL: Final = "keyword_panel"
    USER_ENCODER: Final = "user_encoder"
    SIMILAR_USERS: Final = "similar_users"
    COOCCURRENCE_NEIGHBORS: Final = "cooccurrence_neighbors"
    SFT_DATASET: Final = "sft_dataset"
    RECOMMENDER: Final = "recommender"
    CANDIDATES: Final = "candidates"
    RANKINGS: Final = "rankings"
    FUSION: Final = "fusion"
    VALIDATION_CANDIDATES: Final = "validation_candidates"
    METRICS: Final = "metrics"
    DIFFERENCES: Final = "differences"
    METRICS_BY_COUNT: Final = "metrics_by_count"
    FIRST_STAGE_RECALL: Final = "first_stage_recall"
    RECOMMENDATIONS: Final = "recommendations"
    REFRESH_REPORT: Final = "refresh_report"
