"""What summaries earn of each reward term: likelihoods and embeddings of models, joined with ``rewards.py``."""

from collections.abc import Sequence

import numpy as np
from peft import PeftModel
from PIL import Image

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.config import SummarizationConfig
from mmsra_pipeline.summarization import rewards
from mmsra_pipeline.summarization.keywords import Summary, format_summary
from mmsra_pipeline.summarization.prompts import reconstruction_prompt, summary_prompt

BLANK = 128  # grey level of the picture that shows nothing


class SummaryScorer:
    """Says what completions earn of each reward term. Likelihoods come from the model without the adapter.

    The reconstruction of eq. 2 is the base's, not the policy's: a policy that scored itself could earn by forgetting.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: PeftModel,
        sentences: SentenceEncoder,
        config: SummarizationConfig,
        items: Sequence[tuple[str, Image.Image | None]],
    ) -> None:
        self._backbone = backbone
        self._model = model
        self._sentences = sentences
        self._config = config
        self._items = items

    def information(self, summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        """Eq. 1 of each summary."""
        texts = self._sentences.encode([self._items[row][0] for row in rows])
        return rewards.information(self._sentences.encode([_said(summary) for summary in summaries]), texts)

    def reconstruction(self, summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        """Eq. 2 of each summary."""
        prompts = [reconstruction_prompt(_said(summary)) for summary in summaries]
        with self._model.disable_adapter():
            found = self._backbone.log_likelihood(prompts, [self._items[row][0] for row in rows])
        return rewards.reconstruction(found, _empty(summaries))

    def length(self, summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        """Eq. 3 of each summary."""
        del rows
        # The parser bounds each line, so no summary has more than two lines' worth.
        return rewards.length([len(summary.keywords) for summary in summaries], 2 * self._config.max_keywords)

    def grounding(self, summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        """What the picture adds to the likelihood of each summary's picture line."""
        shown = [self._items[row] for row in rows]
        targets = [format_summary(summary.image_keywords, ()).split("\n")[0] for summary in summaries]
        blanks = [None if image is None else Image.new("RGB", image.size, (BLANK,) * 3) for _, image in shown]
        with self._model.disable_adapter():
            seen = self._backbone.log_likelihood([summary_prompt(text, image) for text, image in shown], targets)
            unseen = self._backbone.log_likelihood(
                [summary_prompt(text, blank) for (text, _), blank in zip(shown, blanks)], targets
            )
        return rewards.grounding(seen, unseen, _empty(summaries), [image is not None for _, image in shown])


def _said(summary: Summary) -> str:
    return ", ".join(summary.keywords)


def _empty(summaries: Sequence[Summary]) -> list[bool]:
    return [not summary.keywords for summary in summaries]
