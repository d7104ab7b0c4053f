"""Settings of the recommender: its prompt, its examples, its tuning and scoring."""

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mmsra_pipeline.config.backbone import LoraSettings
from mmsra_pipeline.config.section import Section, Share

Slot = Literal["sequence", "cooccurrence", "next", "votes", "taste", "nearest", "keywords", "popularity", "all"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
STATED: tuple[Slot, ...] = SLOTS[:-1]
"""The slots but for 'all', which sums them up."""


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
    similar_users: bool = True
    """Whether keywords of what similar users took next are shown (sec. 3.4)."""
    evidence: tuple[Slot, ...] = SLOTS
    """What is said of each candidate in classes from 0 to 9, by its place in the catalogue. sequence: score of the
    sequential model. cooccurrence: taken soon after the last 20 items. next: taken right after the latest. votes:
    similar users who took it next. taste, nearest: likeness of its text and keywords to the last items, on average and
    to the nearest. keywords: keywords that the user has more often than others. popularity: users who took it. all: a
    regression of the others, fitted on training queries: a small model need not learn to weigh them. None: the paper's
    prompt."""
    context_tokens: Annotated[int, Field(ge=16)] | None = None
    """Tokens, about, that keywords of what similar users took next may fill, each keyword once. Unset: all are said."""
    candidate_text: bool = True
    """Whether the candidate's text is shown."""
    candidate_text_chars: PositiveInt = 60
    """Bound of that text."""
    candidate_image: bool = True
    """Whether the candidate's picture is shown."""
    candidate_keywords: bool = True
    """Whether the candidate's keywords are shown."""
    usual_keywords: NonNegativeInt = 5
    """Keywords said to be usual for the user: those that the whole history has more often than the items that training
    saw. 0: none is said."""


class TaskWeights(Section):
    """Shares of the four instruction types among training examples (sec. 3.5; only yes/no is named there)."""

    yes_no: NonNegativeFloat = 0.7
    """Will the user take this candidate? One example is one query with its candidates."""
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


class NegativeShares(Section):
    """Where the negatives of training queries come from; shares of their sum."""

    uniform: NonNegativeFloat = 0.6
    """Any item that training saw."""
    popularity: NonNegativeFloat = 0.3
    """By how many users took it."""
    first_stage: NonNegativeFloat = 0.1
    """At random among the best of the first stage, which is what is ranked when lists are served."""
    first_stage_top: PositiveInt = 50
    """How many of the best of the first stage are drawn from. The hardest alone would be what the user takes later."""
    near_duplicate: Share = 0.95
    """An item whose text and keywords are as like the positive's as this (cosine) is no negative."""

    @model_validator(mode="after")
    def _some_are_drawn(self) -> "NegativeShares":
        if self.uniform + self.popularity + self.first_stage <= 0:
            raise ValueError("uniform, popularity and first_stage are all 0, so no negative can be drawn")
        return self


class RecommendationConfig(Section):
    """The recommender: its examples and its tuning."""

    prompt: PromptConfig = PromptConfig()
    tasks: TaskWeights = TaskWeights()
    training_users: PositiveInt | None = None
    """Users whose training positions make examples. Unset: all."""
    examples: PositiveInt = 20_000
    """Training examples over all tasks. A query with all its candidates is one."""
    objective: Literal["listwise", "pointwise"] = "listwise"
    """listwise: the positive of a query against its negatives, by a softmax over logit(Yes) - logit(No). pointwise: the
    paper's next-token loss on Yes or No, one positive and one negative a query."""
    list_negatives: PositiveInt = 7
    """Negatives of a query under the listwise objective."""
    yes_no_weight: NonNegativeFloat = 0.1
    """Weight of the next-token loss on Yes and No beside the listwise one: it keeps p a probability."""
    negatives: NegativeShares = NegativeShares()
    evidence_dropout: Share = 0.1
    """Share of the classes of evidence that training leaves blank, at random, so that content keeps its part."""
    start: Literal["aligned", "language_model"] = "aligned"
    """What tuning starts from. aligned: the backbone with the warm start that taught it pictures and keywords.
    language_model: without it, as the language model was published. Learning to write keywords costs it some of its
    English, so this is better where no prompt shows a picture. Without a warm start both are the same."""
    layers: PositiveInt | None = None
    """Layers of the language model that the recommender keeps: the first ones and the last. Unset: all, and all are
    kept too where ``epochs`` is 0."""
    validation_lists: NonNegativeInt = 60
    """Validation queries, with negatives as in training, by whose loss the best step is chosen. 0: the last step."""
    validate_every: PositiveInt = 10
    """Optimizer steps between looks at the validation queries; the best of them is kept."""
    patience: PositiveInt = 4
    """Looks without a lower loss before training ends."""
    epochs: NonNegativeInt = 1
    """Passes over the examples. 0: no tuning; the aligned model scores (table 6, no SFT)."""
    batch_size: PositiveInt = 16
    """Examples an optimizer step; a query with its candidates is one."""
    micro_batch: PositiveInt = 8
    """Examples of a batch that are computed at once. Bounds memory; the optimizer's steps stay the same."""
    queries_together: PositiveInt = 1
    """Queries of a batch that are computed at once, each with its candidates. On a CPU one is fastest and smallest; a
    GPU wants 8 or more. The optimizer's steps stay the same."""
    learning_rate: PositiveFloat = 3e-4
    """Peak rate of the adapter."""
    lora: LoraSettings = LoraSettings()
    min_history: PositiveInt = 3
    """Training positions with a shorter history are used only where there are too few others."""
    early_share: Share = 0.2
    """Training positions among the earliest are used only where there are too few others: as of their time next to
    nothing was known of other users, unlike at any time that is asked about later. Without times
    none is early."""
    options: Annotated[int, Field(ge=2, le=26)] = 4
    """Items to choose from in the task 'choose'."""
    scoring_autocast: bool | Literal["auto"] = False
    """Score in bfloat16 arithmetic: over twice as fast on CPUs that have it; p moves by up to 0.03. auto: where the
    device multiplies bfloat16 by itself."""
