"""Settings of the summarizer: its tuning, and the keywords that it writes."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from mmsra_pipeline.config.backbone import LoraSettings
from mmsra_pipeline.config.section import Section, Share
from mmsra_pipeline.config.server import GenerationServer


class RewardWeights(Section):
    """Weights of the reward terms. The paper names alpha, beta and gamma without values (eq. 4)."""

    information: NonNegativeFloat = 1.0
    """alpha, of eq. 1."""
    reconstruction: NonNegativeFloat = 1.0
    """beta, of eq. 2."""
    length: NonNegativeFloat = 0.25
    """gamma, of eq. 3."""
    grounding: NonNegativeFloat = 1.0
    """Of the picture: log-likelihood of its keywords with it minus with a blank one. Not in the paper, whose terms all
    make a keyword of the picture pure cost."""
    repetition: NonNegativeFloat = 0.5
    """What a summary loses whose words all repeat one, in standard deviations; a share of it for a share of words."""
    title_copy: NonNegativeFloat = 0.25
    """What a summary loses whose text keywords all stand in the title as they are, likewise."""
    cut_off: NonNegativeFloat = 1.0
    """What a summary loses that the token limit cut."""


class GrpoConfig(Section):
    """Tuning of the summarizer by group-relative policy optimization (sec. 3.3)."""

    steps: NonNegativeInt = 500
    """Optimizer steps; 0: the summarizer is not tuned."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Completions sampled per item; advantages are contrasts within this group."""
    items_per_step: PositiveInt = 2
    """Items, each with a group of completions, a step."""
    learning_rate: PositiveFloat = 1e-5
    """Peak rate of the adapter."""
    temperature: PositiveFloat = 1.0
    """Of sampling completions."""
    kl_beta: NonNegativeFloat = 0.04
    """Weight of the KL term to the model before tuning."""
    aggregation: Literal["normalize_then_sum", "sum_then_normalize"] = "normalize_then_sum"
    """normalize_then_sum: each term is standardized within its group first. sum_then_normalize: eq. 4 as printed, where
    perplexity swamps the cosine."""
    reconstruction: Literal["log_perplexity", "perplexity"] = "log_perplexity"
    """perplexity: eq. 2 as printed, whose scale the worst summary of a group decides."""
    reconstruction_tokens: PositiveInt | None = 64
    """Of an item's text, the first ones, whose likelihood counts; null: all. They are half of what scoring costs."""
    length_gate: Share | None = 0.5
    """Shortness counts only for summaries whose information reaches this quantile of their group; null: for all."""
    form_first: Share = 0.0
    """Share of the steps, the first ones, in which length and penalties alone count; the content's terms come after."""
    held_out: NonNegativeInt = 32
    """Items (a fifth of them at most) that are kept out of tuning, on which its effect is measured."""
    weights: RewardWeights = RewardWeights()
    lora: LoraSettings = LoraSettings()


class SummarizationConfig(Section):
    """Keywords of an item: how many, how long, how written."""

    reads: Annotated[tuple[Literal["picture", "text"], ...], Field(min_length=1)] = ("picture", "text")
    """What of an item the summarizer is shown when it is tuned and when it writes. One alone is for ablations."""
    max_keywords: PositiveInt = 10
    """Keywords a line, at most."""
    max_keyword_words: PositiveInt = 4
    """A keyword of more words is no keyword: else a copied sentence counts as one."""
    max_new_tokens: PositiveInt = 64
    """Tokens of a summary, at most."""
    draft_items: PositiveInt = 100
    """Items whose keywords are also written by the untuned model, for comparison."""
    verified_items: NonNegativeInt = 100
    """Items, chosen by a hash of their id, whose keywords the model is asked to judge. 0: none, and nothing is sampled
    twice."""
    writer: Literal["model", "extractive"] = "model"
    """model: the tuned summarizer. extractive: words of high TF-IDF out of the item's text, for a machine that is
    too small to let a model read a large catalogue; pictures then say nothing, and sec. 3.3 is not in force."""
    server: GenerationServer | None = None
    """Writes the keywords of `item_keywords` in place of this process."""
