"""Keywords that have their form by construction: which tokens may come next at each place of a summary.

The form is ``Image: k(, k)*``, a line break, ``Text: k(, k)*`` and the end of the turn, as ``parse_summary`` reads it.

The budget of ``config.max_new_tokens`` is divided so that nothing is ever cut off. Where both lines are written, the
picture's has half of what the fixed parts leave, and the text's has the rest. A word has at most ``MAX_WORD_TOKENS``
tokens (fewer if the budget is small) and is begun only where its line has room for so many. A word that reaches this
bound ends there, as it stands.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from jaxtyping import Bool
from torch import Tensor

from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.summarization.form_tokens import MOST, Place, TokenTable, only_token, token_table, tokens_behind
from mmsra_pipeline.summarization.keywords import IMAGE_LINE, NONE, TEXT_LINE, summary_pattern

VERSION: Final = 1  # raised when the form changes: cached keywords then count no more
MAX_WORD_TOKENS: Final = 8
FRESH: Final = Place()


class KeywordForm:
    """The form of summaries for one tokenizer. Masks are made once and shared: change none of them."""

    def __init__(self, tokenizer: Any, eos_ids: Sequence[int], config: SummarizationConfig) -> None:
        """Prepare the form.

        Args:
            tokenizer: of the model that writes.
            eos_ids: tokens that end a turn; the tokenizer's own one is taken if it is among them, else the first.
            config: ``max_keywords`` a line, ``max_keyword_words`` a keyword, ``max_new_tokens`` in all.

        Raises:
            ConfigError: if the budget has no room for a keyword in each line, or the vocabulary cannot write the form.
        """
        self.config = config
        self.most_tokens = config.max_new_tokens
        self.end: int = tokenizer.eos_token_id if tokenizer.eos_token_id in eos_ids else eos_ids[0]
        self.table: TokenTable = token_table(tokenizer)
        self.comma: int = self.table.commas[0]
        self.image_ids = tuple(tokenizer.encode(IMAGE_LINE, add_special_tokens=False))
        self.text_ids = tokens_behind(tokenizer, "x", f"\n{TEXT_LINE}")
        self.none_ids = tokens_behind(tokenizer, IMAGE_LINE, f" {NONE}")
        written = [*self.image_ids, *self.none_ids, *self.text_ids, *self.none_ids]
        said = tokenizer.decode(written, clean_up_tokenization_spaces=False)
        if said != f"{IMAGE_LINE} {NONE}\n{TEXT_LINE} {NONE}":
            raise ConfigError(f"this tokenizer cannot write the form of keywords token by token: it reads {said!r}")
        self.room = config.max_new_tokens - len(self.image_ids) - len(self.text_ids) - 1
        self.word_tokens = min(MAX_WORD_TOKENS, self.room // 2)
        least = config.max_new_tokens - self.room + 2 * max(3, len(self.none_ids))
        if config.max_new_tokens < least:
            raise ConfigError(
                f"summarization.max_new_tokens={config.max_new_tokens} has no room for a keyword in each line. "
                f"Set it to {least} or more; 48 holds some five keywords a line."
            )
        # Ending a keyword that an earlier one equals is forbidden, so some letter must always make another one of it.
        self.most = min(config.max_keywords, self.table.letters - 1)
        self._masks: dict[tuple[object, ...], tuple[Bool[Tensor, " vocab"], int | None]] = {}

    def start(self, image: bool, text: bool) -> "FormState":
        """Return the state before the first token. ``image``, ``text``: is there one? Else the line is 'none'."""
        return FormState(self, image, text)

    def pattern(self, image: bool, text: bool) -> str:
        """Return the form as a regular expression; see ``summary_pattern``."""
        return summary_pattern(self.config, image=image, text=text)

    def masks(self, ids: Sequence[int], image: bool, text: bool) -> Bool[Tensor, "tokens vocab"]:
        """Return the mask in force at each token of a completion, whether or not it ends with the end of the turn.

        Raises:
            ValueError: if the completion has not the form.
        """
        state = self.start(image, text)
        found = []
        for token in ids:
            found.append(state.allowed())
            state.advance(token)
        return torch.stack(found) if found else torch.zeros(0, self.table.size, dtype=torch.bool)

    def mask(self, key: tuple[object, ...], tokens: Sequence[int]) -> tuple[Bool[Tensor, " vocab"], int | None]:
        """Return the mask of these tokens alone, and the token if it is but one."""
        if key not in self._masks:
            mask = torch.zeros(self.table.size, dtype=torch.bool)
            mask[list(tokens)] = True
            self._masks[key] = mask, only_token(mask)
        return self._masks[key]

    def word_mask(
        self, place: Place, left: int, *, begins: bool, ends: tuple[int, ...]
    ) -> tuple[Bool[Tensor, " vocab"], int | None]:
        """Return the mask within a keyword, and its token if it has but one.

        Args:
            place: where the word stands.
            left: how many tokens it may still have.
            begins: whether another word may follow a blank.
            ends: tokens that may follow a whole word.
        """
        most = min(left - 1, MOST)
        key = ("word", place, most, begins, ends)
        if key not in self._masks:
            mask = self.table.goes_on(place, most) if most >= 0 else torch.zeros(self.table.size, dtype=torch.bool)
            if begins:
                mask = mask | self.table.starts(self.word_tokens - 1)
            mask[list(ends)] = True
            self._masks[key] = mask, only_token(mask)
        return self._masks[key]


class FormState:
    """A summary up to a token, and what may come next. There always is a token that may."""

    def __init__(self, form: KeywordForm, image: bool, text: bool) -> None:
        self._form = form
        self._lines = (image, text)
        self._fixed = [*form.image_ids]
        self._line = 0
        self._left = form.room // 2 if image and text else form.room - len(form.none_ids)
        """Tokens that the line may still have, its last one included."""
        self.done = False
        """Whether the end of the turn was written."""
        self._open_line()

    def allowed(self) -> Bool[Tensor, " vocab"]:
        """Return the tokens that may come next, over the tokenizer's vocabulary. After the end: the end again.

        A model may have more logits than its tokenizer has tokens; none of those further ones is allowed.
        """
        return self._allowed()[0]

    def forced(self) -> tuple[int, ...]:
        """Return the tokens that must come next, as far as there is no choice: they need no model."""
        if self._fixed:
            return tuple(self._fixed)
        only = self._allowed()[1]
        return () if only is None or self.done else (only,)

    def advance(self, token_id: int) -> None:
        """Take the next token.

        Raises:
            ValueError: if it may not come next.
        """
        form = self._form
        if not (0 <= token_id < form.table.size and self._allowed()[0][token_id]):
            raise ValueError(f"token {token_id} may not stand here: the completion has not the form of keywords")
        if self._fixed:
            self._fixed.pop(0)
            self.done = token_id == form.end
        elif token_id == form.end:
            self.done = True
        elif token_id == form.comma:
            self._left -= 1
            self._close_keyword()
        elif self._line == 0 and token_id == form.text_ids[0] and self._may_end():
            self._begin_text_line()
            self._fixed.pop(0)
        else:
            self._write(form.table.bytes[token_id] or b"")

    def _open_line(self) -> None:
        """Begin a line: of keywords, or 'none' and what follows it."""
        self._used = {NONE}  # 'none' is no keyword
        self._count = 0
        self._open_keyword()
        if self._lines[self._line]:
            return
        self._fixed += self._form.none_ids
        if self._line == 0:
            self._begin_text_line()
        else:
            self._fixed.append(self._form.end)

    def _begin_text_line(self) -> None:
        self._line = 1
        if self._lines == (True, True):
            self._left += self._form.room - self._form.room // 2  # what the picture's line left over is the text's
        self._fixed += self._form.text_ids
        self._open_line()

    def _open_keyword(self) -> None:
        self._place, self._text, self._words, self._word_left = FRESH, "", 0, 0

    def _close_keyword(self) -> None:
        self._used.add(self._text)
        self._count += 1
        self._open_keyword()

    def _write(self, content: bytes) -> None:
        begins = content[:1] == b" "
        if begins:
            self._words += 1
            self._word_left = self._form.word_tokens
            self._text += " " if self._words > 1 else ""
            self._place, content = FRESH, content[1:]
        whole = self._place.pending + content
        after = self._form.table.walk(self._place, content)
        assert after is not None, "an allowed token goes on with the word"
        self._text += whole[: len(whole) - len(after.pending)].decode().casefold()
        self._place = after
        self._left -= 1
        self._word_left -= 1

    def _may_end(self) -> bool:
        """Whether a keyword may end here: its word is whole, and no earlier keyword of the line is the same."""
        return self._words > 0 and self._place == Place(whole=True) and self._text not in self._used

    def _allowed(self) -> tuple[Bool[Tensor, " vocab"], int | None]:
        form = self._form
        if self.done:
            return form.mask(("one", form.end), [form.end])
        if self._fixed:
            return form.mask(("one", self._fixed[0]), self._fixed[:1])
        if not self._words:
            return self._without_repeats(form.word_mask(FRESH, 0, begins=True, ends=()))
        room = form.word_tokens  # a word is begun only where it has room to be written
        whole = self._place == Place(whole=True)
        begins = whole and self._words < form.config.max_keyword_words and self._left >= room
        ends: tuple[int, ...] = ()
        if self._may_end():
            ends = (form.text_ids[0] if self._line == 0 else form.end,)
            if self._count + 1 < form.most and self._left > room:
                ends = (form.comma, *ends)
        found = form.word_mask(self._place, self._word_left, begins=begins, ends=ends)
        return self._without_repeats(found)

    def _without_repeats(
        self, found: tuple[Bool[Tensor, " vocab"], int | None]
    ) -> tuple[Bool[Tensor, " vocab"], int | None]:
        """Leave out tokens that would make the keyword an earlier one.

        It could not end then: of a second "finished" a model that was through made "finishedortunately".
        """
        begun = [other[len(self._text) :] for other in self._used if other.startswith(self._text)]
        if not self._words:
            begun = [f" {other}" for other in begun]
        closed = [token for rest in begun for token in self._form.table.ending.get(rest, ())]
        if not closed:
            return found
        mask = found[0].clone()
        mask[closed] = False
        return mask, only_token(mask)
