"""All settings: one frozen tree. A preset gives every value; a file of overrides may change some.

Each default exists once, here. ``sec.`` and ``eq.`` in the docstrings point into the paper (arXiv 2512.20916).
"""

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from mmsra_pipeline.errors import ConfigError

CONFIG_VARIABLE = "MMSRA_CONFIG"
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings that one stage reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InteractionsConfig(Section):
    """Which interactions count, and who is held out."""

    min_rating: float | None = None
    """Reviews rated lower are no interactions. Unset: all count."""
    user_core: PositiveInt = 6
    """Users with fewer interactions are dropped, repeatedly (k-core). Sec. 4: 'few interactions are dropped'."""
    item_core: PositiveInt = 5
    """Items with fewer interactions are dropped, repeatedly."""
    max_items: PositiveInt | None = None
    """Keep only this many items, those of most interactions, before the k-core. Bounds the work on a small machine."""
    max_users: PositiveInt | None = None
    """Keep a random sample of this many users, after the k-core. Bounds the work on a small machine."""
    split: Literal["by_user", "leave_last_out"] = "by_user"
    """by_user: users fall 8:1:1 into train, validation and test (sec. 4). leave_last_out: each user's last interaction
    is for test, the one before for validation."""
    history_limit: PositiveInt = 50
    """Interactions of a history that the sequential model reads; the prompt reads fewer."""


class ItemsConfig(Section):
    """What is kept of an item's text and picture."""

    max_text_chars: PositiveInt = 600
    """Text is cut at a word boundary below this length."""
    image_side: PositiveInt = 256
    """Stored pictures have no side longer than this, in pixels."""
    max_image_pixels: PositiveInt = 40_000_000
    """Larger source pictures are refused before they are decoded (decompression bombs)."""
    cold_items: bool = True
    """Keep items of the catalogue that nobody took yet."""


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
    projector_learning_rate: PositiveFloat = 1e-3
    lora_learning_rate: PositiveFloat = 3e-4
    lora: LoraSettings = LoraSettings(rank=8, alpha=16)
    drawn_share: Share = 0.8
    """Share of training pictures that are drawn (known colour, pattern, shape); the rest are the catalogue's own."""
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


class EncoderConfig(Section):
    """The sequential model whose history embedding e_u finds similar users (sec. 3.4)."""

    kind: Literal["sasrec", "gru4rec"] = "sasrec"
    dim: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 2
    dropout: Share = 0.2
    max_length: PositiveInt = 50
    epochs: PositiveInt = 200
    patience: PositiveInt = 10
    """Epochs without a better validation NDCG@10 before training ends."""
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    negatives: PositiveInt = 32
    """Negatives per positive."""


class SimilarUsersConfig(Section):
    """Whose next items become context."""

    k: PositiveInt = 3
    """Similar users per query (sec. 4: 3)."""
    rule: Literal["as_of", "training_users"] = "as_of"
    """as_of: a neighbour's next item counts only if it happened before the query. training_users: the paper's rule,
    which lets it lie in the future."""


class CooccurrenceConfig(Section):
    """Items that users take soon after each other."""

    window: PositiveInt = 5
    """Interactions that lie at most this far apart in a history co-occur."""
    neighbors_per_item: PositiveInt = 20
    min_users: PositiveInt = 2
    """Pairs joined by fewer users are noise."""


class FirstStageConfig(Section):
    """Candidates out of the whole catalogue, before the model ranks them."""

    candidates: PositiveInt = 20


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
    similar_users: bool = True
    candidate_text: bool = True
    candidate_text_chars: PositiveInt = 200
    candidate_image: bool = True
    candidate_keywords: bool = False
    evidence: bool = True
    """Popularity class, and after how many history items and by how many users the candidate was taken, in words."""


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
    epochs: PositiveInt = 1
    batch_size: PositiveInt = 16
    learning_rate: PositiveFloat = 3e-4
    lora: LoraSettings = LoraSettings()
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

    def section(self, path: str) -> Any:
        """Give what lies at a dotted path, such as 'retrieval.encoder'."""
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        return found


def presets() -> list[str]:
    """Names of the presets that ship with the package."""
    folder = resources.files("mmsra_pipeline.presets")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_preset(name: str) -> dict[str, Any]:
    """Give the settings of a preset as written in its file."""
    if name not in presets():
        raise ConfigError(f"preset {name!r} does not exist. Choose one of: {', '.join(presets())}.")
    text = (resources.files("mmsra_pipeline.presets") / f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text) or {})


def load_config(path: Path | None = None) -> Config:
    """Give the settings: those of a preset, changed by a YAML file.

    The file is ``path``, else the one that ``$MMSRA_CONFIG`` names; the variable may also name a preset. Without either
    the preset 'sample' holds. A file chooses its preset by a first-level key ``preset``.

    Raises:
        ConfigError: naming the file and every wrong setting in it.
    """
    named = str(path) if path else os.environ.get(CONFIG_VARIABLE, "")
    if not named or named in presets():
        return _checked(load_preset(named or "sample"), f"preset {named or 'sample'}")
    file = Path(named)
    if not file.is_file():
        raise ConfigError(
            f"{CONFIG_VARIABLE}={named} is neither a file nor a preset ({', '.join(presets())}). Correct the path."
        )
    overrides = read_yaml(file)
    base = load_preset(str(overrides.pop("preset", "sample")))
    return _checked(_merged(base, overrides), str(file))


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file whose first level is a mapping.

    Raises:
        ConfigError: with the line where the file cannot be read as YAML.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"{file}, line {line}: not readable as YAML: {error.problem}. Mend that line.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: holds a {type(content).__name__}, not settings. Write `name: value` lines.")
    return content


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _checked(settings: dict[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(describe_validation(error, source, Config)) from None


def describe_validation(error: ValidationError, source: str, model: type[BaseModel]) -> str:
    """Say every wrong setting of a file, one a line, with the nearest known name for a mistyped one."""
    lines = [f"{source}: {error.error_count()} invalid setting(s)"]
    for found in error.errors():
        place = ".".join(str(part) for part in found["loc"]) or "(file)"
        if found["type"] == "extra_forbidden":
            lines.append(f"  {place}: no such setting.{_suggestion(found['loc'], model)}")
        else:
            lines.append(f"  {place}: {found['msg']} (found {found['input']!r})")
    return "\n".join(lines)


def _suggestion(place: tuple[int | str, ...], model: type[BaseModel]) -> str:
    import difflib

    known: type[BaseModel] = model
    for part in place[:-1]:
        inner = known.model_fields[str(part)].annotation if str(part) in known.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        known = inner
    close = difflib.get_close_matches(str(place[-1]), known.model_fields, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known here: {', '.join(known.model_fields)}."
