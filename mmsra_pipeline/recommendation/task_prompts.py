"""The prompts of the four tasks, by one builder for training and scoring.

All that does not change over a user's candidates stands first, the question too: it is computed once for all of them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Protocol

from PIL import Image

from mmsra_pipeline.backbone.prompt import Part, Prompt
from mmsra_pipeline.recommendation.context import PromptContext, cut, within_tokens
from mmsra_pipeline.recommendation.evidence import evidence_line, usual_keywords
from mmsra_pipeline.recommendation.queries import Query

YES = "Yes"
NO = "No"
NO_HISTORY = "The customer has taken nothing so far."
NO_SIMILAR_USERS = "Similar customers: none known."
NO_PICTURE = "none"
UNKNOWN_ITEM = "an item without a description"
YES_NO_QUESTION = "Will the customer take this item next? Answer Yes or No."
CHOOSE_QUESTION = "Which of these items will the customer take next? Answer with its letter."
NEXT_KEYWORDS_QUESTION = "Which keywords does the customer's next item have?"
ITEM_KEYWORDS_QUESTION = "Which keywords does the item have?"


@dataclass(frozen=True)
class Picture:
    """The place of an item's picture in a prompt."""

    item: str


Parts = tuple[str | Picture, ...]


def yes_no_prompts(
    context: PromptContext, query: Query, items: Sequence[str], classes: Sequence[Sequence[int]]
) -> list[Parts]:
    """Ask of each candidate whether it comes next. Its score is p(Yes) of the answer (sec. 3.5).

    ``classes`` are those of each candidate's signals, in the order of ``config.SLOTS``.
    """
    asked = _joined(user_part(context, query), YES_NO_QUESTION)
    return [_joined(*asked, *candidate_parts(context, item, own)) for item, own in zip(items, classes, strict=True)]


def choose_prompt(
    context: PromptContext, query: Query, items: Sequence[str], classes: Sequence[Sequence[int]]
) -> Parts:
    """Ask which of several candidates comes next; they carry letters from A on.

    ``classes``: as in ``yes_no_prompts``.
    """
    slots = context.config.evidence
    options = [
        f"{letter}. {_one_line(context, item, context.config.short_text_chars)}"
        + (f", {evidence_line(slots, own)}" if slots else "")
        for letter, item, own in zip(ascii_uppercase, items, classes, strict=False)
    ]
    return _joined(user_part(context, query), CHOOSE_QUESTION, *options)


def next_keywords_prompt(context: PromptContext, query: Query) -> Parts:
    """Ask for the keywords of what comes next."""
    return _joined(user_part(context, query), NEXT_KEYWORDS_QUESTION)


def item_keywords_prompt(context: PromptContext, item: str) -> Parts:
    """Ask for the keywords of an item, given its text and picture."""
    return _joined(ITEM_KEYWORDS_QUESTION, _text_line(context, item), *_picture_parts(context, item))


def user_part(context: PromptContext, query: Query) -> str:
    """Say the history and what similar users took next: the prefix that all candidates of a query share."""
    config = context.config
    recent = recent_history(context, query)
    if recent:
        items = [f"{place}. {_history_item(context, item)}" for place, item in enumerate(recent, start=1)]
        lines = ["A customer took these items, the latest last:", *items]
    else:
        lines = [NO_HISTORY]
    if config.usual_keywords:
        lines.append(f"Usual keywords: {', '.join(_usual(context, query)) or 'none yet'}.")
    if config.similar_users:
        words = _following_words(context, query)
        lines.append(f"Similar customers took next: {words}." if words else NO_SIMILAR_USERS)
    return "\n".join(lines)


def candidate_parts(context: PromptContext, item: str, classes: Sequence[int]) -> Parts:
    """Say what is known of the candidate: text, keywords, picture, evidence, as the settings ask."""
    config = context.config
    words = [_one_line(context, item, config.candidate_text_chars)] if config.candidate_text else []
    if (config.candidate_keywords and context.keywords.get(item)) or not words:
        words.append(_keyword_words(context, item))
    parts: list[str | Picture] = [f"Item: {'; '.join(dict.fromkeys(words))}"]
    parts += _picture_parts(context, item)
    if config.evidence:
        parts.append(evidence_line(config.evidence, classes))
    return tuple(parts)


def recent_history(context: PromptContext, query: Query) -> tuple[str, ...]:
    """Return the items of the history that the prompt shows, the latest last."""
    return query.history[-context.config.history_length :]


class Pictures(Protocol):
    """Pictures by the name that prompts have for them."""

    def get(self, item: str, /) -> Image.Image | None:
        """Return a picture in RGB; None if there is none."""


def render(parts: Parts, images: Pictures | None) -> Prompt:
    """Return the prompt for the model: pictures in their places, words where an item has none."""
    rendered: list[Part] = []
    for part in parts:
        picture = images.get(part.item) if isinstance(part, Picture) and images is not None else None
        piece = part if isinstance(part, str) else (NO_PICTURE if picture is None else picture)
        last = rendered[-1] if rendered else None
        if isinstance(piece, str) and isinstance(last, str):
            rendered[-1] = last + piece
        else:
            rendered.append(piece)
    return Prompt(tuple(rendered))


def to_json(parts: Parts) -> str:
    """Write parts as the JSON list of the table ``sft_dataset``.

    >>> to_json(("Picture: ", Picture("i1")))
    '[{"text": "Picture: "}, {"image": "i1"}]'
    """
    entries = [{"text": part} if isinstance(part, str) else {"image": part.item} for part in parts]
    return json.dumps(entries, ensure_ascii=False)


def from_json(text: str) -> Parts:
    """Read what :func:`to_json` wrote.

    >>> from_json('[{"text": "Picture: "}, {"image": "i1"}]')
    ('Picture: ', Picture(item='i1'))
    """
    return tuple(entry["text"] if "text" in entry else Picture(entry["image"]) for entry in json.loads(text))


def keyword_answer(context: PromptContext, item: str) -> str:
    """Return the item's keywords as an answer; empty if it has none."""
    return ", ".join(context.keywords.get(item, ()))


def _following_words(context: PromptContext, query: Query) -> str:
    """Say what similar users took next, the most similar first, each item once and within the budget."""
    following = dict.fromkeys(context.similar.get((query.user, query.position), ()))
    entries = [_keywords_or_text(context, item) for item in following]
    if context.config.context_tokens is not None:
        entries = within_tokens(entries, context.config.context_tokens)
    return "; ".join(", ".join(words) for words in entries)


def _usual(context: PromptContext, query: Query) -> tuple[str, ...]:
    return usual_keywords(query.history, context.keywords, context.shares, context.config.usual_keywords)


def _history_item(context: PromptContext, item: str) -> str:
    if context.config.history == "keywords":
        return _keyword_words(context, item)
    return cut(context.text.get(item, ""), context.config.history_chars) or UNKNOWN_ITEM


def _keyword_words(context: PromptContext, item: str) -> str:
    return ", ".join(_keywords_or_text(context, item))


def _keywords_or_text(context: PromptContext, item: str) -> tuple[str, ...]:
    words = context.keywords.get(item, ())[: context.config.keywords_per_item]
    return words or (_one_line(context, item, context.config.short_text_chars),)


def _one_line(context: PromptContext, item: str, limit: int) -> str:
    words = context.keywords.get(item, ())[: context.config.keywords_per_item]
    return cut(context.text.get(item, ""), limit) or ", ".join(words) or UNKNOWN_ITEM


def _text_line(context: PromptContext, item: str) -> str:
    return f"Item: {cut(context.text.get(item, ''), context.config.candidate_text_chars) or UNKNOWN_ITEM}"


def _picture_parts(context: PromptContext, item: str) -> Parts:
    return ("Picture: ", Picture(item)) if context.config.candidate_image else ()


def _joined(*parts: str | Picture) -> Parts:
    """Put each part on a line of its own, a picture on the line of the words before it."""
    joined: list[str | Picture] = []
    for part in parts:
        if isinstance(part, Picture) or not joined:
            joined.append(part)
        elif isinstance(joined[-1], str):
            joined[-1] += f"\n{part}"
        else:
            joined.append(f"\n{part}")
    return tuple(joined)
