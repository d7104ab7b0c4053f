"""What each token of a vocabulary does to a word that is being written.

A word is letters and numbers, with marks on letters (accents) and single joiners (hyphen, apostrophe, &) inside it.
Tokens of byte-level vocabularies may end within a character: what is missing of it must then follow.
"""

import codecs
import functools
import unicodedata
import weakref
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.summarization.keywords import JOINERS

NEVER: Final = 255  # tokens that no word goes on with
MOST: Final = 4  # tokens that a word needs at most to be whole: three bytes of a character, and one to differ by
# Letters and marks that nobody sees: fillers of Hangul and Khmer, joiners of graphemes, selectors of variants.
UNSEEN: Final = frozenset(
    map(chr, [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)])
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))


class Place(NamedTuple):
    """Where a word stands."""

    whole: bool = False
    """Whether it may end here: it has a letter, and no joiner is last."""
    pending: bytes = b""
    """The first bytes of a character that is not written yet to its end."""


class TokenTable:
    """Says of every token of a tokenizer where a word stands after it, and how many more tokens it then needs."""

    def __init__(self, tokenizer: Any) -> None:
        """Read the vocabulary; takes a second or so.

        Raises:
            ConfigError: if the vocabulary lacks what keywords are written with.
        """
        self.size = len(tokenizer)
        self.bytes = _token_bytes(tokenizer)
        single = {content for content in self.bytes if content and len(content) == 1}
        self._letters, self._marked = _beginnings(frozenset(content[0] for content in single))
        self._after: dict[Place, UInt8[np.ndarray, " vocab"]] = {}
        every = range(self.size)
        self._continuing = [token for token in every if (own := self.bytes[token]) and 0x80 <= own[0] < 0xC0]
        self._spaced = [token for token in every if (own := self.bytes[token]) and own[:1] == b" "]
        self._others = [token for token in every if (own := self.bytes[token]) and own[:1] != b" "]
        self.commas = [token for token in every if self.bytes[token] == b","][:1]
        fresh = Place()
        self._starting = np.full(self.size, NEVER, np.uint8)
        for token in self._spaced:
            self._starting[token] = self._need(self.walk(fresh, self.bytes[token][1:]))  # type: ignore[index]
        texts = {token: _text(self.bytes[token]) for token in self._others if self.after(fresh)[token] == 0}
        self.ending: dict[str, list[int]] = {}
        """By casefolded text: tokens after which a word is whole."""
        for token in self._others:
            if self.after(Place(whole=True))[token] == 0:
                self.ending.setdefault(_text(self.bytes[token]).casefold(), []).append(token)
        for token in self._spaced:
            if self._starting[token] == 0:
                self.ending.setdefault(_text(self.bytes[token]).casefold(), []).append(token)
        self.letters = len({text.casefold() for text in texts.values() if len(text) == 1})
        """Single letters and numbers that are tokens, without regard to case: so many words can differ by one token."""
        if not self.commas or self.letters < 2 or not (self._starting < NEVER).any():
            raise ConfigError("this tokenizer has no tokens for a comma, single letters and words after a blank")

    def walk(self, place: Place, content: bytes | None) -> Place | None:
        """Return where a word stands after more bytes; None if no word goes on so."""
        if content is None:
            return None
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            text = decoder.decode(place.pending + content)
        except UnicodeDecodeError:
            return None
        whole = place.whole
        for character in text:
            kind = kind_of(character)
            if not kind or (kind != "letter" and not whole):
                return None
            whole = kind != "joiner"
        pending = decoder.getstate()[0]
        if pending and pending not in (self._marked if whole else self._letters):
            return None
        return Place(whole, pending)

    def after(self, place: Place) -> UInt8[np.ndarray, " vocab"]:
        """Return how many tokens a word at ``place`` needs after each token to end; ``NEVER`` if it may not."""
        if place not in self._after:
            needs = np.full(self.size, NEVER, np.uint8)
            for token in self._continuing if place.pending else self._others:
                needs[token] = self._need(self.walk(place, self.bytes[token]))
            self._after[place] = needs
        return self._after[place]

    def starts(self, most: int) -> Bool[Tensor, " vocab"]:
        """Return the tokens that begin a word after a blank and leave it whole after at most ``most`` more tokens."""
        return torch.from_numpy(self._starting <= min(most, MOST))

    def goes_on(self, place: Place, most: int) -> Bool[Tensor, " vocab"]:
        """Return the tokens that continue a word and leave it whole after at most ``most`` more tokens."""
        return torch.from_numpy(self.after(place) <= min(most, MOST))

    def _need(self, place: Place | None) -> int:
        if place is None:
            return NEVER
        if place.pending:
            return _length(place.pending[0]) - len(place.pending) + 1  # one more, to differ from an earlier keyword
        return 0 if place.whole else 1


_TABLES: "weakref.WeakKeyDictionary[Any, TokenTable]" = weakref.WeakKeyDictionary()


def token_table(tokenizer: Any) -> TokenTable:
    """Return the table of a tokenizer, made once for each."""
    if tokenizer not in _TABLES:
        _TABLES[tokenizer] = TokenTable(tokenizer)
    return _TABLES[tokenizer]


@functools.cache
def kind_of(character: str) -> str:
    r"""Return what a character is within a word: 'letter' (numbers too), 'mark', 'joiner', or '' if none has it.

    >>> [kind_of(one) for one in ("a", "5", "\u0301", "-", ".", "\u202e")]
    ['letter', 'letter', 'mark', 'joiner', '', '']
    """
    if character in JOINERS:
        return "joiner"
    category = unicodedata.category(character)
    if character in UNSEEN or category == "Me":
        return ""
    return {"L": "letter", "N": "letter", "M": "mark"}.get(category[0], "")


@functools.cache
def _beginnings(single: frozenset[int]) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return the first bytes of letters, and of letters or marks, whose other bytes are tokens by themselves."""
    letters: set[bytes] = set()
    marks: set[bytes] = set()
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE0200)):  # the others are unassigned
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] not in "LNM" or character in UNSEEN or category == "Me":
            continue
        whole = character.encode()
        if single.issuperset(whole[1:]):
            found = marks if category[0] == "M" else letters
            found.update(whole[:end] for end in range(1, len(whole)))
    return frozenset(letters), frozenset(letters | marks)


def _token_bytes(tokenizer: Any) -> list[bytes | None]:
    """Return what each token writes; None for control tokens and for those that write no text by themselves."""
    added = set(tokenizer.get_added_vocab().values())
    names: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    plain = [None if token in added else name for token, name in enumerate(names)]
    table = _byte_letters()
    if all(letter in table for name in plain if name for letter in name):
        return [None if name is None else bytes(table[letter] for letter in name) for name in plain]
    return [None if name is None else _decoded(tokenizer, token) for token, name in enumerate(plain)]


def _decoded(tokenizer: Any, token: int) -> bytes | None:
    """Return what a token adds to a text: many tokenizers drop the blank of the first one."""
    anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
    before, after = (tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (anchor, [*anchor, token]))
    if not after.startswith(before) or "\ufffd" in after:
        return None
    return str(after[len(before) :]).encode()


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level vocabularies (GPT-2 and after) spell bytes: printable ones as themselves."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others: Iterable[int] = (value for value in range(256) if value not in set(own))
    return {chr(value): value for value in own} | {chr(256 + place): value for place, value in enumerate(others)}


def only_token(mask: Bool[Tensor, " vocab"]) -> int | None:
    """Return the token of a mask that has but one."""
    tokens = mask.nonzero()[:2, 0].tolist()
    return int(tokens[0]) if len(tokens) == 1 else None


def tokens_behind(tokenizer: Any, before: str, piece: str) -> tuple[int, ...]:
    """Return the tokens of a piece of text as they stand behind other text.

    Raises:
        ConfigError: if a token reaches across the border.
    """
    alone: list[int] = tokenizer.encode(before, add_special_tokens=False)
    both: list[int] = tokenizer.encode(before + piece, add_special_tokens=False)
    if both[: len(alone)] != alone:
        raise ConfigError(f"this tokenizer writes {piece!r} and the words before it in one token")
    return tuple(both[len(alone) :])


def _text(content: bytes | None) -> str:
    return (content or b"").decode()


def _length(first: int) -> int:
    """Return how many bytes a character has that begins with this one."""
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4
