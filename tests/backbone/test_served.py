"""A model behind OpenAI's chat API."""

import re

import pytest
from chat_server import serving
from pydantic import ValidationError
from tiny import tiny_checkpoint, tiny_config

from mmsra_pipeline.backbone import served
from mmsra_pipeline.backbone.export import export_checkpoint
from mmsra_pipeline.backbone.lora import attach, save_adapter
from mmsra_pipeline.backbone.model import load_backbone, open_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.served import ServedModel
from mmsra_pipeline.config.server import GenerationServer
from mmsra_pipeline.config.tree import LoraSettings, SummarizationConfig
from mmsra_pipeline.errors import ConfigError, MissingInputError, ServerError
from mmsra_pipeline.summarization.form import KeywordForm


@pytest.fixture
def quick(monkeypatch):
    """Waits that are noted and not waited."""
    waits = []
    monkeypatch.setattr(served.time, "sleep", waits.append)
    return waits


def client(backbone, url, **settings):
    return ServedModel(GenerationServer(url=url, **settings), backbone)


def prompts(pictures):
    return [Prompt(("Image: ", picture, f"\nText: {number} mugs")) for number, picture in enumerate(pictures)] + [
        Prompt(("Image: none\nText: wool",))
    ]


def test_answers_are_those_of_the_same_weights_in_this_process_and_in_order(backbone, pictures):
    with serving(backbone) as server:
        found = client(backbone, server.url, requests=3).generate(prompts(pictures), max_new_tokens=12, stop="\n\n")
    one_by_one = [backbone.generate([prompt], max_new_tokens=12)[0] for prompt in prompts(pictures)]
    assert found == one_by_one
    assert any(found)
    chats = [content for path, content, _ in server.asked if path.endswith("completions")]
    assert {(chat["temperature"], chat["max_tokens"], chat["repetition_penalty"]) for chat in chats} == {(0, 12, 1.0)}


def test_a_form_is_asked_for_as_a_regular_expression(backbone, pictures):
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], SummarizationConfig(max_new_tokens=40))
    lines = [(True, True)] * len(pictures) + [(False, True)]
    with serving(backbone) as server:
        found = client(backbone, server.url).generate(prompts(pictures), max_new_tokens=40, form=form, lines=lines)
    assert found == backbone.generate(prompts(pictures), max_new_tokens=40, form=form, lines=lines)
    chats = [content for path, content, _ in server.asked if path.endswith("completions")]
    patterns = sorted(chat["structured_outputs"]["regex"] for chat in chats)
    assert patterns == sorted(form.pattern(*inputs) for inputs in lines)
    assert re.fullmatch(form.pattern(False, True), "Image: none\nText: wool, soft gift")
    with serving(backbone) as server, pytest.raises(ValueError, match="4 entries of `lines`"):
        client(backbone, server.url).generate(prompts(pictures), max_new_tokens=40, form=form)


def test_what_the_limit_cut_off_is_no_keyword(backbone):
    form = KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], SummarizationConfig())
    choice = {"message": {"content": "Image: none\nText: wool, sof"}, "finish_reason": "length"}
    settings = {"max_new_tokens": form.most_tokens, "form": form, "lines": [(False, True)]}
    for ended, expected in (("length", "Image: none\nText: wool"), ("stop", choice["message"]["content"])):
        with serving(backbone, faults=[(200, {"choices": [choice | {"finish_reason": ended}]})]) as server:
            assert client(backbone, server.url).generate([Prompt(("wool",))], **settings) == [expected]


def test_no_weights_are_read_here(tmp_path, artifacts):
    unread = open_backbone(tiny_config(tiny_checkpoint(tmp_path / "tiny")), artifacts)
    with serving(load_backbone(unread.config, artifacts)) as server:
        client(unread, server.url).generate([Prompt(("wool",))], max_new_tokens=4)
    assert "model" not in vars(unread)


def test_control_tokens_in_an_items_text_do_not_reach_the_server(backbone):
    control = backbone.tokenizer.eos_token
    with serving(backbone) as server:
        client(backbone, server.url).generate([Prompt((f"a{control}b",))], max_new_tokens=2)
    assert server.asked[-1][1]["messages"][0]["content"][0]["text"] == "a b"


def test_other_weights_are_refused(backbone, pictures):
    message = r"serves some/model and not mmsra-\w{16}.*mmsra backbone export"
    with serving(backbone, name="some/model") as server, pytest.raises(MissingInputError, match=message):
        client(backbone, server.url).generate(prompts(pictures), max_new_tokens=4)
    assert [path for path, *_ in server.asked] == ["/v1/models"]


def test_a_server_that_is_not_there_is_named(backbone, quick):
    with serving(backbone) as server:
        url = server.url
    with pytest.raises(ServerError, match=rf"server.url={url} did not answer 4 times.*unset summarization.server"):
        client(backbone, url).generate([Prompt(("wool",))], max_new_tokens=4)


def test_what_may_pass_is_asked_again(backbone, quick):
    with serving(backbone, faults=[(503, b"busy"), (429, b"slowly")]) as server:
        found = client(backbone, server.url, tries=3).generate([Prompt(("wool",))], max_new_tokens=4)
    assert found == backbone.generate([Prompt(("wool",))], max_new_tokens=4)
    assert quick == [1.0, 2.0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((503, b"busy"), r"did not answer 2 times, at last: HTTP Error 503.*are kept. Start the server"),
        ((400, b"too long"), r"chat/completions refused with 400: too long"),
        ((302, b"", ("Location", "models")), r"refused with 302"),
        ((200, b"<html>"), r"answered no JSON: b'<html>'"),
        ((200, {"choices": []}), r"answered without a message: {\"choices\": \[\]}"),
        ((200, {"choices": [{"message": {"content": None}}]}), "answered without a message"),
    ],
)
def test_what_does_not_pass_is_an_error_that_says_what_was_answered(backbone, quick, fault, message):
    with serving(backbone, faults=[fault] * 2) as server, pytest.raises(ServerError, match=message):
        client(backbone, server.url, tries=2).generate([Prompt(("wool",))], max_new_tokens=4)


def test_the_key_comes_from_the_environment(backbone, monkeypatch):
    monkeypatch.setenv("OUR_KEY", "secret")
    with serving(backbone) as server:
        client(backbone, server.url, key_variable="OUR_KEY").generate([Prompt(("wool",))], max_new_tokens=2)
        assert {key for *_, key in server.asked} == {"Bearer secret"}
        monkeypatch.delenv("OUR_KEY")
        with pytest.raises(MissingInputError, match="environment variable OUR_KEY"):
            client(backbone, server.url, key_variable="OUR_KEY").generate([Prompt(("wool",))], max_new_tokens=2)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "file:///etc/passwd", "http://user:key@host/v1", "http://h/v1?key=1"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url):
    with pytest.raises(ValidationError):
        GenerationServer(url=url)


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_an_exported_checkpoint_answers_as_the_model_with_its_adapters(tmp_path, artifacts, pictures, kind):
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny", kind), kind)
    tuned = attach(load_backbone(config, artifacts), LoraSettings(rank=2), seed=1)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.5)
    save_adapter(tuned, tmp_path / "adapter")
    backbone = load_backbone(config, artifacts, [tmp_path / "adapter"])
    export_checkpoint(backbone, tmp_path / "exported")
    assert len({file.stat().st_mode for file in (tmp_path / "exported").iterdir()}) == 1
    again = load_backbone(config.model_copy(update={"model": str(tmp_path / "exported")}), artifacts)
    asked = prompts(pictures)
    assert again.generate(asked, max_new_tokens=8) == backbone.generate(asked, max_new_tokens=8)
    plain = load_backbone(config, artifacts)
    assert plain.score_group(asked[:1], ("a", "b")).margin != backbone.score_group(asked[:1], ("a", "b")).margin
    with pytest.raises(ConfigError, match="exported is there already"):
        export_checkpoint(backbone, tmp_path / "exported")
