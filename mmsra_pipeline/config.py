"""All settings: one frozen tree. A preset gives every value; a file of overrides may change some.

Each default exists once, here. ``sec.`` and ``eq.`` in the docstrings point into the paper (arXiv 2512.20916).
"""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from mmsra_pipeline.config_data import FetchConfig as FetchConfig
from mmsra_pipeline.config_data import InteractionsConfig as InteractionsConfig
from mmsra_pipeline.config_data import ItemsConfig as ItemsConfig
from mmsra_pipeline.config_operation import AutomationConfig, LimitsConfig, RetentionConfig
from mmsra_pipeline.config_server import GenerationServer
from mmsra_pipeline.section import Section as Section
from mmsra_pipeline.section import Share


class BackboneConfig(Section):
    """The multimodal language model."""

    model: str = "embedded"
    """'embedded': assembled from weights that packages ship. Else hub name or folder of an image-text-to-text model."""
    image_side: PositiveInt = 128
    """Pictures are shown to the model at this side, in pixels."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights. float32 scores are exact to 1e-5, bfloat16 ones to 0.03."""
    autocast: bool = False
    """Train in bfloat16 arithmetic over the weights above."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one."""
    batch_size: PositiveInt = 16
    """Prompts per forward pass when generating."""


class LoraSettings(Section):
    """Low-rank adapters on attention and MLP of the language model."""

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Share = 0.0


class AlignmentConfig(Section):
    """The warm start: pictures get a meaning, keywords get their form. 0 steps switch it off (hub models)."""

    steps: NonNegativeInt = 0
    batch_size: PositiveInt = 16
    projector_steps: NonNegativeInt = 100
    """Steps before these, of the projector alone, on drawings. They are cheap: the language model takes no part."""
    projector_batch_size: PositiveInt = 32
    projector_learning_rate: PositiveFloat = 1e-3
    lora_learning_rate: PositiveFloat = 3e-4
    lora: LoraSettings = LoraSettings(rank=8, alpha=16)
    drawn_share: Share = 0.8
    """Share of training examples whose picture is drawn (known colour, pattern, shape). Of the rest, most show the
    catalogue's own pictures, some no picture."""
    drawn_text_share: Share = 0.5
    """Share of the drawn pictures that are shown beside a text of the catalogue; the others stand alone."""
    text_keywords: PositiveInt = 5
    """Keywords of a text, taken out of it by TF-IDF, that an answer is trained to give."""
    picture_labels: PositiveInt = 4
    """An item's tags that count as keywords of its picture, the first ones. Without any tags: its categories."""
    checkpoint_every: PositiveInt = 20
    """Optimizer steps between resumable checkpoints."""
    measured_pictures: PositiveInt = 96
    """Held-out drawings on which the alignment is measured."""


class RewardWeights(Section):
    """Weights of the reward terms. The paper names alpha, beta and gamma without values (eq. 4)."""

    information: NonNegativeFloat = 1.0
    """alpha, of eq. 1."""
    reconstruction: NonNegativeFloat = 1.0
    """beta, of eq. 2."""
    length: NonNegativeFloat = 0.5
    """gamma, of eq. 3."""
    grounding: NonNegativeFloat = 0.0
    """Of the picture: log-likelihood of the keywords with it minus with a blank one. Not in the paper."""


class GrpoConfig(Section):
    """Tuning of the summarizer by group-relative policy optimization (sec. 3.3)."""

    steps: NonNegativeInt = 500
    group_size: Annotated[int, Field(ge=2)] = 8
    """Completions sampled per item; advantages are contrasts within this group."""
    items_per_step: PositiveInt = 2
    learning_rate: PositiveFloat = 1e-5
    temperature: PositiveFloat = 1.0
    kl_beta: NonNegativeFloat = 0.04
    """Weight of the KL term to the model before tuning."""
    aggregation: Literal["normalize_then_sum", "sum_then_normalize"] = "normalize_then_sum"
    """normalize_then_sum: each term is standardized within its group first. sum_then_normalize: eq. 4 as printed, where
    perplexity swamps the cosine."""
    weights: RewardWeights = RewardWeights()
    lora: LoraSettings = LoraSettings()


class SummarizationConfig(Section):
    """Keywords of an item: how many, how long, how written."""

    max_keywords: PositiveInt = 10
    max_keyword_words: PositiveInt = 4
    """A keyword of more words is no keyword: else a copied sentence counts as one."""
    max_new_tokens: PositiveInt = 48
    draft_items: PositiveInt = 100
    """Items whose keywords are also written by the untuned model, for comparison."""
    server: GenerationServer | None = None
    """Writes the keywords of `item_keywords` in place of this process."""


class EncoderConfig(Section):
    """The sequential model whose history embedding e_u finds similar users (sec. 3.4)."""

    kind: Literal["sasrec", "gru4rec"] = "sasrec"
    dim: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 2
    dropout: Share = 0.2
    max_length: PositiveInt = 50
    epochs: PositiveInt = 200
    patience: PositiveInt = 20
    """Epochs without a better validation NDCG@10 before training ends."""
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 3e-3
    negatives: PositiveInt = 128
    """Negatives per window of a history; an item of the window is none."""
    loss: Literal["bce", "gbce", "softmax"] = "softmax"
    """softmax: cross-entropy over positive and negatives, the fastest to learn here. bce: SASRec's own; it stays at
    popularity for some 15 epochs first and needs patience. gbce: of gSASRec (arXiv 2308.07192)."""
    calibration: Share = 0.75
    """t of gbce: corrects the overconfidence that sampled negatives teach. 0 is bce."""

    @model_validator(mode="after")
    def _heads_share_the_dimensions(self) -> "EncoderConfig":
        if self.kind == "sasrec" and self.dim % self.heads:
            raise ValueError(f"dim={self.dim} is not a multiple of heads={self.heads}, so heads cannot share it")
        return self


class SimilarUsersConfig(Section):
    """Whose next items become context."""

    k: PositiveInt = 3
    """Similar users per query (sec. 4: 3)."""
    rule: Literal["as_of", "training_users"] = "as_of"
    """as_of: a neighbour's next item counts only if it happened before the query. training_users: the paper's rule,
    which lets it lie in the future."""


class CooccurrenceConfig(Section):
    """Items that users take soon after each other.

    Evidence and first stage read ``window`` and ``session_hours``; the other settings shape the neighbor table alone.
    """

    window: PositiveInt | None = 5
    """Interactions that lie at most this far apart in a history co-occur. Unset: however far."""
    session_hours: PositiveFloat | None = None
    """A longer time between two interactions ends a session; only interactions of one session co-occur. Unset: a
    history is one session."""
    normalization: Literal["cosine", "lift", "pmi"] = "cosine"
    """How the users of both items are allowed for. lift and pmi, its logarithm, favour rare items: raise min_users."""
    half_life_days: PositiveFloat | None = None
    """A pair counts half when it is this old. Unset: age does not matter. With it each run counts all pairs anew."""
    user_weight: Literal["none", "inverse_length"] = "none"
    """inverse_length: a user with n interactions counts 1/n, so that the busiest do not say most."""
    min_users: PositiveInt = 2
    """Pairs joined by fewer users are noise, whatever these weigh."""
    neighbors_per_item: PositiveInt = 20


class FirstStageConfig(Section):
    """Candidates out of the whole catalogue, before the model ranks them."""

    candidates: PositiveInt = 20
    cold_items: Share = 0.1
    """Share of the places for items that nobody took yet, by their keywords. Without keywords none is kept."""


class RetrievalConfig(Section):
    """Collaborative signals."""

    encoder: EncoderConfig = EncoderConfig()
    similar_users: SimilarUsersConfig = SimilarUsersConfig()
    cooccurrence: CooccurrenceConfig = CooccurrenceConfig()
    first_stage: FirstStageConfig = FirstStageConfig()


class PromptConfig(Section):
    """What the prompt of a candidate shows; each part can be switched off (table 6)."""

    history_length: PositiveInt = 5
    """History items shown (sec. 4: 5)."""
    history: Literal["keywords", "text"] = "keywords"
    """text: raw text in place of keywords (table 6)."""
    history_chars: PositiveInt = 160
    """Bound of one history item when shown as text."""
    keywords_per_item: PositiveInt = 10
    """Keywords shown of an item of the history, its first ones. Fewer make the prompt shorter."""
    short_text_chars: PositiveInt = 60
    """Bound of an item's text where it stands in a list: options of a choice, items without keywords."""
    context: Literal["similar_users", "cooccurrence", "both", "none"] = "both"
    """similar_users: keywords of what similar users took next. cooccurrence: how popular the candidate is, and by how
    many users it was taken soon after how many history items and right after the latest, in words."""
    context_tokens: Annotated[int, Field(ge=16)] | None = None
    """Tokens, about, that keywords of what similar users took next may fill, each keyword once. Unset: all are said."""
    candidate_text: bool = True
    candidate_text_chars: PositiveInt = 200
    candidate_image: bool = True
    candidate_keywords: bool = False
    usual_keywords: NonNegativeInt = 5
    """Keywords said to be usual for the user: those that the whole history has more often than the items that training
    saw. And which of them the candidate has. 0: neither is said."""

    @property
    def similar_users(self) -> bool:
        """Whether keywords of what similar users took next are said."""
        return self.context in ("similar_users", "both")

    @property
    def evidence(self) -> bool:
        """Whether co-occurrence and popularity of the candidate are said."""
        return self.context in ("cooccurrence", "both")


class TaskWeights(Section):
    """Shares of the four instruction types among training examples (sec. 3.5; only yes/no is named there)."""

    yes_no: NonNegativeFloat = 0.7
    """Will the user take this candidate?"""
    choose: NonNegativeFloat = 0.1
    """Which of several candidates comes next?"""
    next_keywords: NonNegativeFloat = 0.1
    """Which keywords does the next item have?"""
    item_keywords: NonNegativeFloat = 0.1
    """Which keywords does this item have?"""

    @model_validator(mode="after")
    def _scored_task_is_trained(self) -> "TaskWeights":
        if self.yes_no <= 0:
            raise ValueError("yes_no=0: the score of a candidate is p(yes), so this task cannot be left out")
        return self


class RecommendationConfig(Section):
    """The recommender: its examples and its tuning."""

    prompt: PromptConfig = PromptConfig()
    tasks: TaskWeights = TaskWeights()
    training_users: PositiveInt | None = None
    """Users whose training positions make examples. Unset: all."""
    examples: PositiveInt = 20_000
    """Training examples over all tasks; positives and negatives of yes/no are half and half."""
    epochs: NonNegativeInt = 1
    """Passes over the examples. 0: no tuning; the aligned model scores (table 6, no SFT)."""
    batch_size: PositiveInt = 16
    micro_batch: PositiveInt = 8
    """Examples of a batch that are computed at once. Bounds memory; the optimizer's steps stay the same."""
    learning_rate: PositiveFloat = 3e-4
    lora: LoraSettings = LoraSettings()
    min_history: PositiveInt = 3
    """Training positions with a shorter history are used only where there are too few others."""
    early_share: Share = 0.2
    """Training positions among the earliest are used only where there are too few others: as of their time next to
    nothing was known of other users, unlike at any time that is asked about later. Without times
    none is early."""
    popularity_negatives: Share = 0.5
    """Share of negatives drawn by popularity; the others are drawn uniformly over the catalogue."""
    options: Annotated[int, Field(ge=2, le=26)] = 4
    """Items to choose from in the task 'choose'."""
    scoring_autocast: bool = False
    """Score in bfloat16 arithmetic: over twice as fast on CPUs that have it; p moves by up to 0.03."""
    checkpoint_every: PositiveInt = 20
    """Optimizer steps between resumable checkpoints."""


class EvaluationConfig(Section):
    """How rankings are measured."""

    negatives: PositiveInt = 20
    """Random items per positive (sec. 4: 20)."""
    protocols: tuple[Literal["uniform", "popularity"], ...] = ("uniform", "popularity")
    """How negatives are drawn."""
    users: PositiveInt | None = None
    """Test users that are scored, a random sample. Unset: all."""
    cutoff: PositiveInt = 5
    """k of HR@k, NDCG@k, MRR@k."""
    bootstrap: PositiveInt = 1000
    """Resamples of users for the 95 % intervals."""


class RecommendationsConfig(Section):
    """Top-N lists."""

    top_n: PositiveInt = 5
    users: PositiveInt | None = None
    """Users who get a list, a random sample. Unset: all."""


class Config(Section):
    """Everything that can be set."""

    seed: NonNegativeInt = 0
    interactions: InteractionsConfig = InteractionsConfig()
    items: ItemsConfig = ItemsConfig()
    backbone: BackboneConfig = BackboneConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    summarization: SummarizationConfig = SummarizationConfig()
    grpo: GrpoConfig = GrpoConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    recommendation: RecommendationConfig = RecommendationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    recommendations: RecommendationsConfig = RecommendationsConfig()
    automation: AutomationConfig = AutomationConfig()
    retention: RetentionConfig = RetentionConfig()
    limits: LimitsConfig = LimitsConfig()

    def section(self, path: str) -> Any:
        """Give what lies at a dotted path, such as 'retrieval.encoder'."""
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        return found
