"""Keywords that have their form by construction."""

import functools
import itertools

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tiny import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mmsra_pipeline.backbone.embedded.packaged_weights import LANGUAGE
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.summarization.form import MAX_WORD_TOKENS, KeywordForm
from mmsra_pipeline.summarization.form_tokens import Place, kind_of, token_table
from mmsra_pipeline.summarization.keywords import format_summary, parse_summary

TIGHT = SummarizationConfig(max_keywords=3, max_keyword_words=1, max_new_tokens=14)
WIDE = SummarizationConfig(max_keywords=40, max_keyword_words=2, max_new_tokens=160)
INPUTS = [(True, True), (True, False), (False, True), (False, False)]


def blank_marking_tokenizer():
    """A tokenizer that marks blanks in its tokens and falls back to bytes, as SentencePiece's do."""
    pieces = ["<unk>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), "▁", "▁Image", "▁none", "Text", ":", ","]
    pieces += ["▁red", "▁mug", *"abcdefghijklmnopqrstuvwxyz", "▁a", "é", "▁é", ".", "-", "'"]
    scores = [(piece, -float(place)) for place, piece in enumerate(pieces)]
    backend = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<unk>", unk_token="<unk>")


@functools.cache
def tokenizer_of(name):
    if name == "fastvlm":
        return tiny_tokenizer("<image>")
    if name == "qwen2_5_vl":
        return tiny_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    if name == "blank marks":
        return blank_marking_tokenizer()
    return AutoTokenizer.from_pretrained(LANGUAGE.path.parent, gguf_file=LANGUAGE.path.name)


REAL = pytest.param("SmolLM2", marks=[pytest.mark.weights, pytest.mark.slow])
NAMES = ["fastvlm", "qwen2_5_vl", "blank marks", REAL]


@functools.cache
def form_of(name, config):
    tokenizer = tokenizer_of(name)
    return KeywordForm(tokenizer, [tokenizer.eos_token_id], config)


def kinds(form, state, said):
    """The allowed tokens by what they do; rare kinds can then be preferred."""
    mask = state.allowed()
    assert mask.any(), f"no token may follow {said}"
    kept = SORTED.setdefault(form, {})
    if id(mask) not in kept:
        kept[id(mask)] = (mask, sorted_by_kind(form, mask.nonzero()[:, 0].tolist()))  # the mask is held: its id stays
    return kept[id(mask)][1]


SORTED = {}


def sorted_by_kind(form, allowed):
    table, found = form.table, {}
    for token in allowed:
        own = table.bytes[token] or b""
        kind = (own[:1] == b" ", bool(own) and own[-1] >= 0x80, token in (form.comma, form.end, form.text_ids[0]))
        found.setdefault((*kind, own in (b"-", b"'", b"&", b" "), len(own) == 1), []).append(token)
    return sorted(found.values(), key=len)


def walk(form, inputs, choices):
    """Write a summary; each choice is (how rare a kind of token, which of it)."""
    state, said = form.start(*inputs), []
    while not state.done:
        rarity, which = next(choices)
        options = kinds(form, state, said)
        tokens = options[min(rarity, len(options) - 1)] if rarity >= 0 else list(itertools.chain(*options))
        forced = state.forced()
        token = tokens[which % len(tokens)]
        if forced:
            assert state.allowed().nonzero()[:, 0].tolist() == [forced[0]]
        state.advance(token)
        said.append(token)
        assert len(said) <= form.most_tokens, said
    return said


def endless(choices):
    """The choices, then the ones that go on longest: the rarest kinds are ends and commas, so the most common."""
    yield from choices
    while True:
        yield 99, 0


def check(form, name, inputs, said):
    tokenizer = tokenizer_of(name)
    text = tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    summary = parse_summary(text, form.config)
    assert summary.well_formed, text
    assert (bool(summary.image_keywords), bool(summary.text_keywords)) == inputs, text
    assert format_summary(summary.image_keywords, summary.text_keywords) == text.casefold().replace(
        "image:", "Image:", 1
    ).replace("\ntext:", "\nText:", 1)
    assert said[-1] == tokenizer.eos_token_id


rarities = st.integers(-1, 4)
picks = st.integers(0, 100_000)


@pytest.mark.parametrize("config", [SummarizationConfig(), TIGHT, WIDE], ids=["usual", "tight", "wide"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(choices=st.lists(st.tuples(rarities, picks), max_size=160), inputs=st.sampled_from(INPUTS))
@example(choices=[(0, 0)] * 160, inputs=(True, True))
@example(choices=[(1, 0)] * 160, inputs=(True, True))
@example(choices=[(-1, 7)] * 160, inputs=(True, False))
def test_whatever_is_chosen_has_the_form_and_never_ends_in_a_dead_end(name, config, choices, inputs):
    form = form_of(name, config)
    check(form, name, inputs, walk(form, inputs, endless(choices)))


class Repeater:
    """Writes one keyword again and again wherever it can; at a forbidden end, the first token that may follow."""

    def __init__(self, form, words):
        self.form, self.words = form, words

    def write(self, inputs, tokenizer):
        state, said, at = self.form.start(*inputs), [], 0
        keyword = tokenizer.encode(f"x {self.words}", add_special_tokens=False)[1:]
        while not state.done:
            allowed = state.allowed()
            wanted = [*keyword[at : at + 1], self.form.comma, self.form.text_ids[0], self.form.end]
            token = next((one for one in wanted if allowed[one]), int(allowed.nonzero()[0, 0]))
            at = 0 if token == self.form.comma or state.forced() else at + 1
            state.advance(token)
            said.append(token)
        return said


@pytest.mark.parametrize("words", ["red", "none", "none none"])
@pytest.mark.parametrize("config", [SummarizationConfig(), TIGHT, WIDE], ids=["usual", "tight", "wide"])
@pytest.mark.parametrize("name", ["fastvlm", "blank marks"])
def test_a_repeated_keyword_must_become_another_one(name, config, words):
    form = form_of(name, config)
    said = Repeater(form, words).write((True, True), tokenizer_of(name))
    check(form, name, (True, True), said)


def written(form, inputs, text, tokenizer):
    """The state after a text; its tokens must be allowed."""
    state = form.start(*inputs)
    for token in tokenizer.encode(text, add_special_tokens=False):
        state.advance(token)
    return state


def says(form, state):
    """The texts that may come next, and '<end>'."""
    tokens = state.allowed().nonzero()[:, 0].tolist()
    texts = {token: (form.table.bytes[token] or b"").decode(errors="replace") for token in tokens}
    return {"<end>" if token == form.end else text for token, text in texts.items()}


def test_the_rules_stand_at_their_places():
    config = SummarizationConfig(max_keywords=2, max_keyword_words=2)
    tokenizer, form = tokenizer_of("fastvlm"), form_of("fastvlm", config)
    at = functools.partial(written, form, (True, True), tokenizer=tokenizer)
    assert form.start(True, True).forced() == form.image_ids
    assert all(text[:1] == " " for text in says(form, at("Image:")))
    first = says(form, at("Image: red"))
    assert {",", "\n", "s", "-", " mug", " "} <= first
    assert not {"<end>", ".", ":", "\t", ")", ";"} & first
    assert " red" not in says(form, at("Image: red,"))  # a repeat
    assert {" blue", " mug"} <= says(form, at("Image: red,"))
    assert " none" not in says(form, at("Image:"))
    assert "\n" in says(form, at("Image: red, blue"))
    assert "," not in says(form, at("Image: red, blue"))  # the second is the last
    assert " mug" not in says(form, at("Image: red mug"))  # two words at most
    assert not {",", "\n", "-"} & says(form, at("Image: red-"))
    assert at("Image: red\n").forced() == form.text_ids[1:]
    assert {"<end>", ","} <= says(form, at("Image: red\nText: red"))  # the picture's may be the text's
    assert "\n" not in says(form, at("Image: red\nText: red"))


def test_a_line_without_its_modality_is_none():
    form, tokenizer = form_of("fastvlm", SummarizationConfig()), tokenizer_of("fastvlm")
    assert tokenizer.decode(form.start(False, False).forced()) == "Image: none\nText: none<|im_end|>"
    assert tokenizer.decode(form.start(False, True).forced()) == "Image: none\nText:"
    state = written(form, (True, False), "Image: red\n", tokenizer)
    assert tokenizer.decode(state.forced()) == "Text: none<|im_end|>"


def test_a_word_ends_at_its_bound_and_none_is_begun_without_room():
    tokenizer, form = tokenizer_of("fastvlm"), form_of("fastvlm", SummarizationConfig())
    letters = "qxqxqxq"  # a token each, behind that of the blank
    state = written(form, (True, True), "Image:", tokenizer)
    blank = form.table.bytes.index(b" ")
    for token in (blank, *(form.table.bytes.index(letter.encode()) for letter in letters)):
        state.advance(token)
    assert len(letters) + 1 == MAX_WORD_TOKENS
    assert not [text for text in says(form, state) if text[0].isalnum()]
    assert {",", "\n", " "} <= says(form, state)
    shares = {
        inputs: max(len(walk(form, inputs, iter([(99, pick)] * 99))) for pick in range(40)) for inputs in INPUTS[:3]
    }
    assert all(count <= form.most_tokens for count in shares.values())


def test_the_text_has_its_share_however_long_the_picture_line_is():
    form = form_of("fastvlm", SummarizationConfig())
    state = form.start(True, True)
    line = []
    while len(line) < len(form.image_ids) or not state.forced():
        options = [token for kind in reversed(kinds(form, state, line)) for token in kind if token != form.text_ids[0]]
        if not options:
            break
        state.advance(options[len(line) % len(options)])
        line.append(options[len(line) % len(options)])
    assert len(line) <= len(form.image_ids) + form.room // 2


def test_masks_are_those_of_each_place():
    tokenizer, form = tokenizer_of("fastvlm"), form_of("fastvlm", SummarizationConfig())
    ids = [*tokenizer.encode("Image: red, mug\nText: wool", add_special_tokens=False), tokenizer.eos_token_id]
    masks = form.masks(ids, True, True)
    assert masks.shape == (len(ids), len(tokenizer))
    assert masks[torch.arange(len(ids)), torch.tensor(ids)].all()
    state = form.start(True, True)
    for token, mask in zip(ids, masks, strict=True):
        assert torch.equal(mask, state.allowed())
        state.advance(token)
    assert torch.equal(form.masks(ids[:4], True, True), masks[:4])
    assert form.masks([], True, True).shape == (0, len(tokenizer))
    with pytest.raises(ValueError, match="may not stand here"):
        form.masks(tokenizer.encode("Image: red, red\n", add_special_tokens=False), True, True)


def test_repeats_and_last_tokens_leave_shared_masks_as_they_were():
    form = form_of("fastvlm", TIGHT)
    before = [form.start(True, True).allowed().clone()]
    for pick in range(30):
        walk(form, (True, True), endless([(-1, pick * 31 + step) for step in range(40)]))
    kept = {key: mask.clone() for key, (mask, _) in form._masks.items()}
    for pick in range(30):
        walk(form, (True, True), endless([(-1, pick * 31 + step) for step in range(40)]))
    assert torch.equal(before[0], form.start(True, True).allowed())
    assert all(torch.equal(mask, form._masks[key][0]) for key, mask in kept.items())


def test_a_budget_without_room_is_a_config_error():
    tokenizer = tokenizer_of("fastvlm")
    with pytest.raises(ConfigError, match=r"max_new_tokens=8 has no room .* Set it to 12 or more"):
        KeywordForm(tokenizer, [tokenizer.eos_token_id], SummarizationConfig(max_new_tokens=8))
    KeywordForm(tokenizer, [tokenizer.eos_token_id], SummarizationConfig(max_new_tokens=12))


def test_characters_of_words_are_letters_numbers_and_marks():
    assert [kind_of(one) for one in "aß9½мक漢ー"] == ["letter"] * 8
    assert [kind_of(one) for one in "\u0301\u093f"] == ["mark"] * 2
    nobody_sees = "\u200b\u200e\u202e\u2066\ufeff\u3164\ufe0f\u00ad\x00\t\n \u00a0\u20dd"
    assert {kind_of(one) for one in nobody_sees + '.,;:!?()"/_*#<>|@%$€™😀'} == {""}


def test_characters_in_parts_are_finished_or_not_begun():
    table = token_table(tokenizer_of("fastvlm"))
    begun = table.walk(Place(), "é".encode()[:1])
    assert begun == Place(whole=False, pending=b"\xc3")
    needs = table.after(begun)
    assert needs[table.bytes.index(b"\xa9")] == 0
    for other in (b"\x97", b"a", b" "):  # the first of them would make a times sign
        assert needs[table.bytes.index(other)] == 255
    assert table.walk(Place(), "😀".encode()[:3]) is None  # no letter begins so
    assert table.walk(Place(), "\u0301".encode()) is None  # a mark stands on a letter
    assert table.walk(Place(whole=True), "\u0301".encode()) == Place(whole=True)
    after_lead = table.after(Place())[table.bytes.index(b"\xe6")]
    assert after_lead == 3  # two bytes, and one token to differ by


def test_what_would_repeat_a_keyword_is_not_begun_rather_than_gone_on_with():
    tokenizer, form = tokenizer_of("fastvlm"), form_of("fastvlm", SummarizationConfig())
    wool = tokenizer.encode(" wool", add_special_tokens=False)
    state = written(form, (False, True), "Image: none\nText: wool,", tokenizer)
    for token in wool[:-1]:
        state.advance(token)
    assert not state.allowed()[wool[-1]]
    assert state.allowed().sum() > 20
