"""All settings: one frozen tree. A preset gives every value; a file of overrides may change some.

Each default exists once, here. ``sec.`` and ``eq.`` in the docstrings point into the paper (arXiv 2512.20916).
"""

from typing import Any

from pydantic import NonNegativeInt

from mmsra_pipeline.config.backbone import AlignmentConfig as AlignmentConfig
from mmsra_pipeline.config.backbone import BackboneConfig as BackboneConfig
from mmsra_pipeline.config.backbone import LoraSettings as LoraSettings
from mmsra_pipeline.config.compute import ComputeConfig as ComputeConfig
from mmsra_pipeline.config.data import FetchConfig as FetchConfig
from mmsra_pipeline.config.data import InteractionsConfig as InteractionsConfig
from mmsra_pipeline.config.data import ItemsConfig as ItemsConfig
from mmsra_pipeline.config.evaluation import EvaluationConfig as EvaluationConfig
from mmsra_pipeline.config.evaluation import FusionConfig as FusionConfig
from mmsra_pipeline.config.evaluation import RecommendationsConfig as RecommendationsConfig
from mmsra_pipeline.config.evaluation import ReportConfig as ReportConfig
from mmsra_pipeline.config.operation import AutomationConfig, LimitsConfig, RetentionConfig
from mmsra_pipeline.config.recommendation import SLOTS as SLOTS
from mmsra_pipeline.config.recommendation import STATED as STATED
from mmsra_pipeline.config.recommendation import NegativeShares as NegativeShares
from mmsra_pipeline.config.recommendation import PromptConfig as PromptConfig
from mmsra_pipeline.config.recommendation import RecommendationConfig as RecommendationConfig
from mmsra_pipeline.config.recommendation import Slot as Slot
from mmsra_pipeline.config.recommendation import TaskWeights as TaskWeights
from mmsra_pipeline.config.retrieval import CooccurrenceConfig as CooccurrenceConfig
from mmsra_pipeline.config.retrieval import EncoderConfig as EncoderConfig
from mmsra_pipeline.config.retrieval import FirstStageConfig as FirstStageConfig
from mmsra_pipeline.config.retrieval import RetrievalConfig as RetrievalConfig
from mmsra_pipeline.config.retrieval import SimilarUsersConfig as SimilarUsersConfig
from mmsra_pipeline.config.section import Section as Section
from mmsra_pipeline.config.summarization import GrpoConfig as GrpoConfig
from mmsra_pipeline.config.summarization import RewardWeights as RewardWeights
from mmsra_pipeline.config.summarization import SummarizationConfig as SummarizationConfig


class Config(Section):
    """Everything that can be set."""

    seed: NonNegativeInt = 0
    """Of all random draws."""
    interactions: InteractionsConfig = InteractionsConfig()
    items: ItemsConfig = ItemsConfig()
    backbone: BackboneConfig = BackboneConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    summarization: SummarizationConfig = SummarizationConfig()
    grpo: GrpoConfig = GrpoConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    recommendation: RecommendationConfig = RecommendationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    fusion: FusionConfig = FusionConfig()
    recommendations: RecommendationsConfig = RecommendationsConfig()
    report: ReportConfig = ReportConfig()
    automation: AutomationConfig = AutomationConfig()
    retention: RetentionConfig = RetentionConfig()
    limits: LimitsConfig = LimitsConfig()
    compute: ComputeConfig = ComputeConfig()

    def section(self, path: str) -> Any:
        """Return what lies at a dotted path, such as 'retrieval.encoder'."""
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        return found
