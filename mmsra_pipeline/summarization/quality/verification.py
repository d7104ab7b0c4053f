"""Self-verification: how sure the model is that a keyword it wrote is true of the picture, or of the text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization import summary_prompts
from mmsra_pipeline.telemetry.progress import batches

TOGETHER: Final = 64  # questions, about, between two writes of the cache
DIGITS: Final = 5  # of a probability: below them is rounding, which depends on which questions are asked together


@dataclass(frozen=True)
class Question:
    """Whether a keyword is true of an item's picture (``text`` is None), or of a text."""

    keyword: str
    item: str
    text: str | None


class Asked(NamedTuple):
    """An item and the keywords that are held against its picture and its text."""

    item: str
    text: str
    image_keywords: tuple[str, ...]
    text_keywords: tuple[str, ...]


class Confidence(NamedTuple):
    """Mean p(Yes), in [0, 1], over an item's keywords; nan where there are none, or nothing that they could be of."""

    image: float
    text: float


class Verifier:
    """Gives p(Yes) of keywords: sigmoid(log P("Yes") - log P("No")) of the first token of the answer.

    What was asked before, of the same picture or text and by the same weights, is not asked again.
    """

    def __init__(self, backbone: Backbone, images: ItemImages, cache: KeyedCache[str]) -> None:
        """``backbone``: reads its weights at the first question that is new. ``cache`` is filled now and then."""
        self._backbone = backbone
        self._images = images
        self._cache = cache

    def confidences(self, asked: Sequence[Asked]) -> list[Confidence]:
        """Return the mean p(Yes) of each item's keywords."""
        groups = [(_about_picture(one, self._images), _about_text(one)) for one in asked]
        answers = self._answers([question for pair in groups for group in pair for question in group])
        return [Confidence(*(self._mean(group, answers) for group in pair)) for pair in groups]

    def _answers(self, questions: Sequence[Question]) -> dict[str, str]:
        """Answer by key; what is known is not asked.

        Questions about one text or picture are asked as one group: what they share is read once.
        """
        answers = self._cache.find(map(self._key, questions))
        new: dict[tuple[str, str | None], dict[str, Question]] = {}
        for question in questions:
            key = self._key(question)
            if key not in answers:
                new.setdefault((question.item, question.text), {})[key] = question
        about = list(new.values())
        size = max(1, TOGETHER * len(about) // max(sum(map(len, about)), 1))
        for part in batches(about, size, "verified"):
            found: dict[str, str] = {}
            for group in part:
                prompts = [
                    summary_prompts.verification_prompt(one.keyword, self._source(one)) for one in group.values()
                ]
                margins = self._backbone.score_group(prompts, (summary_prompts.TRUE, summary_prompts.FALSE)).margin
                values = [round(value, DIGITS) for value in margins.double().sigmoid().cpu().tolist()]
                found |= {key: json.dumps(value) for key, value in zip(group, values, strict=True)}
            self._cache.put(found)
            answers |= found
        return answers

    def _mean(self, group: Sequence[Question], answers: Mapping[str, str]) -> float:
        values = [float(json.loads(answers[self._key(question)])) for question in group]
        return float(np.mean(values)) if values else float("nan")

    def _source(self, question: Question) -> str | Image.Image:
        if question.text is not None:
            return question.text
        picture = self._images.get(question.item)
        assert picture is not None  # _about_picture asks of no other
        return picture

    def _key(self, question: Question) -> str:
        about = [question.text, None] if question.text is not None else [None, self._images.image_hash(question.item)]
        return fingerprint(
            "verification", summary_prompts.VERSION, self._backbone.fingerprint, *about, question.keyword
        )


def of_others(asked: Sequence[Asked], most: int) -> list[Asked]:
    """Return each item with keywords of the next items in place of its own: what a judge must believe less.

    Args:
        asked: at least two items, or nobody is another.
        most: keywords a line, at most.

    Returns:
        The same items. A keyword that the item has itself, in either line, is passed over; so many items are gone
        through, and no more, as are needed.

    >>> one, two = Asked("a", "", ("red",), ("mug",)), Asked("b", "", ("blue",), ("mug", "tall"))
    >>> of_others([one, two], 2)[0]
    Asked(item='a', text='', image_keywords=('blue',), text_keywords=('tall',))
    """
    return [
        own._replace(
            image_keywords=_others([one.image_keywords for one in _after(asked, place)], own, most),
            text_keywords=_others([one.text_keywords for one in _after(asked, place)], own, most),
        )
        for place, own in enumerate(asked)
    ]


def _after(asked: Sequence[Asked], place: int) -> list[Asked]:
    return [*asked[place + 1 :], *asked[:place]]


def _others(lines: Sequence[Sequence[str]], own: Asked, most: int) -> tuple[str, ...]:
    mine = {*own.image_keywords, *own.text_keywords}
    found: dict[str, None] = {}
    for line in lines:
        found |= dict.fromkeys(word for word in line if word not in mine)
        if len(found) >= most:
            break
    return tuple(found)[:most]


def _about_picture(asked: Asked, images: ItemImages) -> list[Question]:
    if images.image_hash(asked.item) is None:
        return []
    return [Question(keyword, asked.item, None) for keyword in asked.image_keywords]


def _about_text(asked: Asked) -> list[Question]:
    return [Question(keyword, asked.item, asked.text) for keyword in asked.text_keywords if asked.text]
