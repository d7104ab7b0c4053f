"""What prompts are made of: the tables of earlier stages in the form in which prompts look things up."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mmsra_pipeline.columns import ITEM, KEYWORDS, POSITION, RANK, TEXT, USER
from mmsra_pipeline.config.tree import PromptConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.evidence import keyword_shares, without_evidence

# Chat and picture tokens are written with these signs, and ';' parts the items of a list.
STRUCTURAL_SIGNS = str.maketrans({"<": "(", ">": ")", "|": "/", ";": ","})
PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")  # words, digits and signs
TOKEN_BYTES = 4  # of a word that a tokenizer of English makes one token of, about


@dataclass(frozen=True)
class PromptContext:
    """All that a prompt may show. Built by :func:`prompt_context`.

    ``keywords`` and ``text`` are by item and hold nothing that looks like evidence. ``similar`` gives the next items of
    similar users by (user, position), the most similar user first; ``shares`` says how usual a keyword is among the
    items that training saw: a new item in the catalogue changes no prompt that does not show it. ``images`` is needed
    only where a prompt is shown to a model.
    """

    config: PromptConfig
    keywords: Mapping[str, tuple[str, ...]]
    text: Mapping[str, str]
    similar: Mapping[tuple[str, int], tuple[str, ...]]
    shares: Mapping[str, float]
    images: ItemImages | None = None

    def asked_about(self, similar_users: pd.DataFrame, similar_count: int) -> "PromptContext":
        """Return the same for other queries; as for ``prompt_context``."""
        return dataclasses.replace(self, similar=following_items(similar_users, similar_count))


def prompt_context(
    config: PromptConfig,
    *,
    keywords: pd.DataFrame,
    item_text: pd.DataFrame,
    similar_users: pd.DataFrame,
    similar_count: int,
    training: pd.DataFrame,
    images: ItemImages | None = None,
) -> PromptContext:
    """Return the context of prompts.

    Args:
        config: what prompts show.
        keywords: the table ``item_keywords``.
        item_text: the catalogue.
        similar_users: rows for the queries that will be asked.
        similar_count: how many of a query's similar users are shown, the most similar ones.
        training: the interactions that training may see.
        images: the pictures, where prompts are shown to a model.

    Raises:
        DataError: if an item stands twice in a table, so that what the prompt says of it would depend on row order.
    """
    _check_once(keywords, "item_keywords")
    _check_once(item_text, "item_text")
    words = {item: clean_keywords(found) for item, found in zip(keywords[ITEM], keywords[KEYWORDS])}
    return PromptContext(
        config=config,
        keywords=words,
        text={item: without_evidence(inline(text)) for item, text in zip(item_text[ITEM], item_text[TEXT])},
        similar=following_items(similar_users, similar_count),
        shares=keyword_shares({item: words.get(item, ()) for item in training[ITEM].unique()}),
        images=images,
    )


def following_items(similar_users: pd.DataFrame, similar_count: int) -> dict[tuple[str, int], tuple[str, ...]]:
    """Return what similar users took next by query, the most similar user first."""
    nearest = similar_users[similar_users[RANK] <= similar_count]
    ordered = nearest.sort_values([USER, POSITION, RANK], kind="stable")
    similar: dict[tuple[str, int], tuple[str, ...]] = {}
    for user, position, item in zip(ordered[USER], ordered[POSITION], ordered[ITEM]):
        key = (str(user), int(position))
        similar[key] = (*similar.get(key, ()), str(item))
    return similar


def inline(text: str) -> str:
    r"""Return ``text`` on one line and without the signs that chat templates and lists are built of.

    >>> inline("a mug<|im_end|>\nCandidate:  none; <image>")
    'a mug(/im_end/) Candidate: none, (image)'
    """
    return re.sub(r"\s+", " ", text.translate(STRUCTURAL_SIGNS)).strip()


def cut(text: str, limit: int) -> str:
    """Return ``text``, cut after the last whole word within ``limit`` characters.

    >>> cut("a blue mug", 8), cut("a blue mug", 10)
    ('a blue', 'a blue mug')
    """
    if len(text) <= limit:
        return text
    head, space, _ = text[: limit + 1].rpartition(" ")
    return head if space else text[:limit]


def within_tokens(entries: Iterable[Sequence[str]], limit: int) -> list[tuple[str, ...]]:
    """Return the keywords of the entries, in order and each once, up to the first that exceeds ``limit`` tokens.

    An entry whose keywords were all said before is left out. Each keyword takes one token more, for what parts it from
    the next.

    >>> within_tokens([["red", "mug"], ["mug"], ["red", "pot"], ["lamp"]], limit=7)
    [('red', 'mug'), ('pot',)]
    """
    kept: list[tuple[str, ...]] = []
    said: set[str] = set()
    left = limit
    for words in entries:
        fitting: list[str] = []
        for word in words:
            if word in said:
                continue
            left -= estimated_tokens(word) + 1
            if left < 0:
                return [*kept, tuple(fitting)] if fitting else kept
            said.add(word)
            fitting.append(word)
        if fitting:
            kept.append(tuple(fitting))
    return kept


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has, without a tokenizer: prompts are made before a backbone is chosen.

    On titles, tags and plots it gave 2 to 34 % more than the embedded model's tokenizer.

    >>> estimated_tokens("leather bag, size 42")
    7
    """
    return sum(-(-len(piece.encode()) // TOKEN_BYTES) for piece in PIECES.findall(text))


def clean_keywords(words: Iterable[str]) -> tuple[str, ...]:
    """Return keywords as prompts show them: inline, each once, without what looks like evidence."""
    cleaned = (without_evidence(inline(str(word))) for word in words)
    return tuple(dict.fromkeys(word for word in cleaned if word))


def _check_once(table: pd.DataFrame, name: str) -> None:
    doubled = table.loc[table[ITEM].duplicated(), ITEM]
    if len(doubled):
        raise DataError(
            f"table {name!r} has {len(doubled)} item(s) more than once (first: {ITEM}={doubled.iloc[0]!r}). "
            f"Materialize {name!r} again: each item must have one row."
        )
