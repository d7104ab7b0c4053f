"""The prompts of the four tasks, by one builder for training and scoring.

All that does not change over a user's candidates stands first, the question too, so that its computation is shared when
they are scored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from mmsra_pipeline.backbone.prompt import Part, Prompt
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.context import PromptContext, Query, cut, within_tokens
from mmsra_pipeline.recommendation.evidence import evidence_words, usual_keywords

YES = "Yes"
NO = "No"
NO_HISTORY = "The customer has taken nothing so far."
NO_SIMILAR_USERS = "Similar customers: none known."
NO_USUAL = "Usual keywords it has: none."
NO_PICTURE = "none"
UNKNOWN_ITEM = "an item without a description"
YES_NO_QUESTION = "Will the customer take this item next? Answer Yes or No."
YES_NO_CUE = "Yes or No?"  # the question stands before the candidate, to be shared; this reminds of it
CHOOSE_QUESTION = "Which of these items will the customer take next? Answer with its letter."
NEXT_KEYWORDS_QUESTION = "Which keywords does the customer's next item have?"
ITEM_KEYWORDS_QUESTION = "Which keywords does the item have?"


@dataclass(frozen=True)
class Picture:
    """The place of an item's picture in a prompt."""

    item: str


Parts = tuple[str | Picture, ...]


def yes_no_prompt(context: PromptContext, query: Query, item: str) -> Parts:
    """Ask whether the candidate comes next. The score of the candidate is p(Yes) of the answer (sec. 3.5)."""
    return _joined(user_part(context, query), YES_NO_QUESTION, *candidate_parts(context, query, item), YES_NO_CUE)


def choose_prompt(context: PromptContext, query: Query, items: Sequence[str]) -> Parts:
    """Ask which of several candidates comes next; they carry letters from A on."""
    options = [
        f"{letter}. {_one_line(context, item, context.config.short_text_chars)}"
        + (f" {_evidence(context, query, item)}" if context.config.evidence else "")
        for letter, item in zip(ascii_uppercase, items, strict=False)
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
    shown = shown_history(context, query)
    if shown:
        items = [f"{place}. {_history_item(context, item)}" for place, item in enumerate(shown, start=1)]
        lines = ["A customer took these items, the latest last:", *items]
    else:
        lines = [NO_HISTORY]
    if config.usual_keywords:
        lines.append(f"Usual keywords: {', '.join(_usual(context, query)) or 'none yet'}.")
    if config.similar_users:
        words = _following_words(context, query)
        lines.append(f"Similar customers took next: {words}." if words else NO_SIMILAR_USERS)
    return "\n".join(lines)


def candidate_parts(context: PromptContext, query: Query, item: str) -> Parts:
    """Say what is known of the candidate: text, keywords, evidence, picture, as the settings ask."""
    config = context.config
    parts: list[str | Picture] = []
    if config.candidate_text:
        parts.append(_text_line(context, item))
    if config.candidate_keywords or not config.candidate_text:
        parts.append(f"Keywords: {_keyword_words(context, item)}")
    parts += _picture_parts(context, item)
    if config.usual_keywords:
        parts.append(_shared_words(context, query, item))
    if config.evidence:
        parts.append(_evidence(context, query, item))
    return tuple(parts)


def shown_history(context: PromptContext, query: Query) -> tuple[str, ...]:
    """Give the items of the history that the prompt shows, the latest last."""
    return query.history[-context.config.history_length :]


def render(parts: Parts, images: ItemImages | None) -> Prompt:
    """Give the prompt for the model: pictures in their places, words where an item has none."""
    shown: list[Part] = []
    for part in parts:
        picture = images.get(part.item) if isinstance(part, Picture) and images is not None else None
        piece = part if isinstance(part, str) else (NO_PICTURE if picture is None else picture)
        last = shown[-1] if shown else None
        if isinstance(piece, str) and isinstance(last, str):
            shown[-1] = last + piece
        else:
            shown.append(piece)
    return Prompt(tuple(shown))


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
    """Give the item's keywords as an answer; empty if it has none."""
    return ", ".join(context.keywords.get(item, ()))


def _following_words(context: PromptContext, query: Query) -> str:
    """Say what similar users took next, the most similar first, each item once and within the budget."""
    following = dict.fromkeys(context.similar.get((query.user, query.position), ()))
    entries = [_keywords_or_text(context, item) for item in following]
    if context.config.context_tokens is not None:
        entries = within_tokens(entries, context.config.context_tokens)
    return "; ".join(", ".join(words) for words in entries)


def _evidence(context: PromptContext, query: Query, item: str) -> str:
    # Without the user's own events: else a training positive would count itself, which a test positive cannot.
    found = context.evidence.of(shown_history(context, query), item, before=query.before, user=query.user)
    return evidence_words(found)


def _usual(context: PromptContext, query: Query) -> tuple[str, ...]:
    return usual_keywords(query.history, context.keywords, context.shares, context.config.usual_keywords)


def _shared_words(context: PromptContext, query: Query, item: str) -> str:
    own = context.keywords.get(item, ())
    shared = [word for word in _usual(context, query) if word in own]
    return f"Usual keywords it has: {len(shared)}, {', '.join(shared)}." if shared else NO_USUAL


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
