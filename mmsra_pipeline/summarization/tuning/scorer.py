"""What summaries earn of each reward term: likelihoods and embeddings of models, joined with ``rewards.py``."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from peft import PeftModel
from PIL import Image

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.config.tree import GrpoConfig, SummarizationConfig
from mmsra_pipeline.summarization.keywords import Summary
from mmsra_pipeline.summarization.summary_prompts import reconstruction_prompt, summary_prompt
from mmsra_pipeline.summarization.tuning import rewards
from mmsra_pipeline.summarization.tuning.likelihoods import Said, said_of
from mmsra_pipeline.summarization.tuning.rollouts import Rollout, Writer

BLANK = 128  # grey level of the picture that shows nothing
TOKENS_AT_ONCE = 1024  # of reconstructions in one row


class SummaryScorer:
    """Says what completions earn of each reward term. Likelihoods come from the model without the adapter.

    The reconstruction of eq. 2 is the base's, not the policy's: a policy that scored itself could earn by forgetting.
    Whoever calls it sets autocast.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: PeftModel,
        sentences: SentenceEncoder,
        config: SummarizationConfig,
        grpo: GrpoConfig,
        writer: Writer,
    ) -> None:
        self._backbone = backbone
        self._model = model
        self._sentences = sentences
        self._config = config
        self._grpo = grpo
        self._writer = writer
        self._vectors: dict[str, np.ndarray] = {}

    def terms(self, rollouts: Sequence[Rollout], reference: Sequence[Said]) -> dict[str, np.ndarray]:
        """Return each term that has a weight, and ``information``, which gates; one value a completion.

        Args:
            rollouts: completions of any items.
            reference: what the base says of them; see :meth:`reference`.
        """
        summaries = [one.summary for one in rollouts]
        ways: dict[str, Callable[[], np.ndarray]] = {
            "information": lambda: self.information(rollouts),
            "reconstruction": lambda: self.reconstruction(rollouts),
            # The parser bounds each line, so no summary has more than two lines' worth.
            "length": lambda: rewards.length([len(one.keywords) for one in summaries], 2 * self._config.max_keywords),
            "grounding": lambda: self.grounding(rollouts, reference),
            "repetition": lambda: rewards.repetition(summaries),
            "title_copy": lambda: rewards.title_copy(summaries, [one.item.title for one in rollouts]),
            "cut_off": lambda: rewards.cut_off([one.ended for one in rollouts], _empty(rollouts)),
        }
        weights = self._grpo.weights
        return {name: way() for name, way in ways.items() if name == "information" or getattr(weights, name)}

    @torch.no_grad()
    def reference(self, rollouts: Sequence[Rollout], *, blank: bool = False) -> list[Said]:
        """Return what the model without the adapter says of each completion's tokens.

        Args:
            rollouts: completions; those of the same item should be neighbors, for they share a run of its prompt.
            blank: of the picture lines alone, behind a picture that shows nothing.
        """
        result: list[Said] = []
        with self._model.disable_adapter():
            for own in neighbors(rollouts):
                item = own[0].item
                prompt = summary_prompt(item.text, _blank(item.image)) if blank else item.prompt
                ids = [one.ids[: self._picture_line(one)] if blank else one.ids for one in own]
                masks = [self._writer.masks(one)[: len(tokens)] for one, tokens in zip(own, ids)]
                result += said_of(self._backbone, [prompt] * len(own), ids, masks, temperature=self._grpo.temperature)
        return result

    def information(self, rollouts: Sequence[Rollout]) -> np.ndarray:
        """Eq. 1 of each summary."""
        said, texts = [_said(one.summary) for one in rollouts], [one.item.text for one in rollouts]
        new = list(dict.fromkeys(text for text in (*said, *texts) if text not in self._vectors))
        if new:
            self._vectors |= dict(zip(new, self._sentences.encode(new), strict=True))
        return rewards.information(*(np.stack([self._vectors[text] for text in some]) for some in (said, texts)))

    @torch.no_grad()
    def reconstruction(self, rollouts: Sequence[Rollout]) -> np.ndarray:
        """Eq. 2 of each summary; summaries that say the same of the same text are asked about once."""
        asked = [(_said(one.summary), one.item.text) for one in rollouts]
        encode, most = self._backbone.encoder.answer_ids, self._grpo.reconstruction_tokens
        ids = {text: encode(text)[:most] for text in dict.fromkeys(text for _, text in asked)}
        known: dict[tuple[str, str], np.ndarray] = {}
        order = sorted(dict.fromkeys(asked), key=lambda one: len(ids[one[1]]))
        with self._model.disable_adapter():
            while order:
                count = max(1, TOKENS_AT_ONCE // max(1, len(ids[order[-1][1]])))
                some, order = order[-count:], order[:-count]
                found = said_of(
                    self._backbone,
                    [reconstruction_prompt(said) for said, _ in some],
                    [ids[text] for _, text in some],
                    exact=False,
                )
                known |= {one: answer.log_probs.cpu().numpy() for one, answer in zip(some, found)}
        return rewards.reconstruction([known[one] for one in asked], _empty(rollouts), scale=self._grpo.reconstruction)

    def grounding(self, rollouts: Sequence[Rollout], reference: Sequence[Said]) -> np.ndarray:
        """What the picture adds to the likelihood of each summary's picture line, in tokens that the form left free."""
        pictured = [one.item.image is not None for one in rollouts]
        with_picture = [one for one, there in zip(rollouts, pictured) if there]
        unseen = iter(self.reference(with_picture, blank=True))
        seen_rows, blank_rows = [], []
        for one, there, said in zip(rollouts, pictured, reference, strict=True):
            line = self._picture_line(one)
            seen_rows.append(said.log_probs[:line][said.free[:line]].cpu().numpy() if there else np.zeros(0))
            blank = next(unseen) if there else None
            blank_rows.append(np.zeros(0) if blank is None else blank.log_probs[blank.free].cpu().numpy())
        return rewards.grounding(seen_rows, blank_rows, _empty(rollouts), pictured)

    def _picture_line(self, rollout: Rollout) -> int:
        """Count the tokens before the first one with a line break."""
        tokenizer = self._backbone.tokenizer
        for place in range(len(rollout.ids)):
            if "\n" in tokenizer.decode(rollout.ids[: place + 1]):
                return place
        return len(rollout.ids)


def neighbors(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Put neighbors that are completions of the same item together."""
    result: list[list[Rollout]] = []
    for one in rollouts:
        if result and result[-1][0].item is one.item:
            result[-1].append(one)
        else:
            result.append([one])
    return result


def _blank(image: Image.Image | None) -> Image.Image | None:
    return None if image is None else Image.new("RGB", image.size, (BLANK,) * 3)


def _said(summary: Summary) -> str:
    return ", ".join(summary.keywords)


def _empty(rollouts: Sequence[Rollout]) -> list[bool]:
    return [not one.summary.keywords for one in rollouts]
