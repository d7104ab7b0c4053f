import pandas as pd
import pytest

from mmsra_pipeline.backbone.model import open_backbone
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization.writing import (
    COLUMNS,
    cache_key,
    copy_rate,
    draft_sample,
    extractive_keywords,
    keyword_table,
    write_keywords,
)

CONFIG = SummarizationConfig(max_new_tokens=24)


class Answering:
    """Gives set answers, as a server does that heeds no form."""

    batch_size = 2

    def __init__(self, tokenizer, *answers):
        self.tokenizer, self.answers, self.asked = tokenizer, list(answers), []

    def generate(self, prompts, *, lines, **settings):
        self.asked.append((lines, settings))
        return [self.answers.pop(0) for _ in prompts]


def write(backbone, items, pictures, sentences, folder, summarizer="s1"):
    return write_keywords(backbone, items, pictures, CONFIG, sentences, KeyedCache(folder / "c.sqlite"), summarizer)


def test_every_item_gets_a_row_in_order(backbone, items, pictures, sentences, tmp_path):
    table, computed = write(backbone, items, pictures, sentences, tmp_path / "cache")
    assert list(table.columns) == COLUMNS
    assert table["item_id"].tolist() == ["a", "b", "c", "d"]
    assert computed == 4


def test_every_answer_has_the_form(backbone, items, pictures, sentences, tmp_path):
    more = pd.concat([items, pd.DataFrame({"item_id": ["e", "f"], "text": ["", "!"]})], ignore_index=True)
    table, _ = write(backbone, more, pictures, sentences, tmp_path / "cache")
    assert table["well_formed"].all()
    assert table["source"].tolist() == ["model"] * 4 + ["none", "model"]
    assert table["image_keywords"].str.len().gt(0).tolist() == [True, True, True, False, False, False]
    assert table["text_keywords"].str.len().gt(0).tolist() == [True] * 4 + [False, True]


def test_words_of_the_text_stand_in_where_nothing_was_written(backbone, items, pictures, sentences, tmp_path):
    answers = ["no form", "Image: blue\nText: wool", "Image: a, a", ""]  # sorted by length of the text
    writer = Answering(backbone.tokenizer, *answers)
    texts = items.assign(text=["ceramic gift", "wool", "a toy of the kitchen", ""])
    table, _ = write(writer, texts, pictures, sentences, tmp_path / "cache")
    assert writer.asked[0][0] == [(False, False), (True, True)]
    assert writer.asked[0][1]["max_new_tokens"] == 24
    of = table.set_index("item_id")
    assert of["completion"].to_dict() == {"d": "no form", "b": answers[1], "a": "Image: a, a", "c": ""}
    assert of["source"].to_dict() == {"a": "model", "b": "model", "c": "extractive", "d": "none"}
    assert of.loc["c", "keywords"] == of.loc["c", "text_keywords"] == ["toy", "kitchen"]
    assert of.loc["c", "image_keywords"] == of.loc["d", "keywords"] == []
    assert of["well_formed"].to_dict() == {"a": False, "b": True, "c": False, "d": False}
    assert of.loc["c", "copied"] == 1.0
    assert of.loc["c", "information"] > 0.5


@pytest.mark.parametrize(
    ("reads", "lines", "hidden"),
    [(("text",), [(False, True)] * 3 + [(False, False)], "image_keywords"),
     (("picture",), [(True, False)] * 3 + [(False, False)], "text_keywords")],
)  # fmt: skip
def test_what_the_summarizer_does_not_read_is_not_in_its_prompt_nor_in_its_answer(
    backbone, items, pictures, sentences, tmp_path, reads, lines, hidden
):
    texts = items.assign(text=["ceramic gift", "wool", "a toy of the kitchen", ""])
    assert [pictures.get(item) is not None for item in texts["item_id"]] == [True, True, True, False]
    config = CONFIG.model_copy(update={"reads": reads})
    writer = Answering(backbone.tokenizer, *["Image: blue\nText: none"] * 4)
    cache = KeyedCache(tmp_path / "c.sqlite")
    write_keywords(writer, texts, pictures, config, sentences, cache, "s1")
    assert sorted(line for inputs, _ in writer.asked for line in inputs) == sorted(lines)
    table, computed = write_keywords(backbone, texts, pictures, config, sentences, cache, "s2")
    assert computed == 4
    assert table[hidden].str.len().tolist() == [0] * 4
    assert set(table["source"]) == {"model", "none"}  # no word of a text stands in where none is read
    assert table["information"].notna().tolist() == [True, True, True, False]  # of the item's own text, shown or not


def test_a_cache_that_keeps_nothing_costs_no_keyword(backbone, items, pictures, sentences, tmp_path, monkeypatch):
    whole, _ = write(backbone, items, pictures, sentences, tmp_path / "cache")
    monkeypatch.setattr(KeyedCache, "put", lambda cache, entries: None)  # as on a full disk
    table, computed = write(backbone, items, pictures, sentences, tmp_path / "other")
    assert computed == 4
    pd.testing.assert_frame_equal(table, whole)


def test_settings_of_the_form_are_part_of_the_key(backbone, items, pictures, sentences, tmp_path):
    cache = tmp_path / "cache"
    write(backbone, items, pictures, sentences, cache)
    for name in ("max_keywords", "max_keyword_words", "max_new_tokens"):
        other = CONFIG.model_copy(update={name: getattr(CONFIG, name) - 1})
        again = write_keywords(backbone, items, pictures, other, sentences, KeyedCache(cache / "c.sqlite"), "s1")
        assert again[1] == 4


def test_extractive_keywords_say_so(sentences, items):
    table = extractive_keywords(items.assign(text=["ceramic gift", "", "toy", "and the"]), CONFIG, sentences)
    assert table["source"].tolist() == ["extractive", "none", "extractive", "none"]


def test_only_what_is_new_is_written(backbone, items, pictures, sentences, tmp_path):
    first, _ = write(backbone, items.head(3), pictures, sentences, tmp_path / "cache")
    again, computed = write(backbone, items, pictures, sentences, tmp_path / "cache")
    assert computed == 1
    assert again["completion"].tolist()[:3] == first["completion"].tolist()
    changed = items.assign(text=["ceramic gift", "wool", "toy kitchen", "leather gift"])
    assert write(backbone, changed, pictures, sentences, tmp_path / "cache")[1] == 1
    assert write(backbone, items, pictures, sentences, tmp_path / "cache", summarizer="s2")[1] == 4


def test_weights_are_read_only_for_what_is_new(backbone, items, pictures, sentences, tmp_path, artifacts):
    first, _ = write(backbone, items.head(3), pictures, sentences, tmp_path / "cache")
    unread = open_backbone(backbone.config, artifacts)
    again, _ = write(unread, items.head(3), pictures, sentences, tmp_path / "cache")
    assert again["completion"].tolist() == first["completion"].tolist()
    assert "model" not in vars(unread)
    write(unread, items, pictures, sentences, tmp_path / "cache")
    assert "model" in vars(unread)


def test_items_that_are_alike_in_all_are_written_once(backbone, items, pictures, sentences, tmp_path):
    twins = items.assign(item_id=["x", "y", "z", "w"], text="ceramic gift")  # without pictures, all of them
    table, computed = write(backbone, twins, pictures, sentences, tmp_path / "cache")
    assert computed == 1
    assert table["completion"].nunique() == 1


def test_a_run_that_was_stopped_keeps_its_batches(backbone, items, pictures, sentences, tmp_path, monkeypatch):
    class Stop(BaseException): ...

    real, calls = backbone.generate, []

    def stopping(prompts, **settings):
        calls.append(len(prompts))
        if len(calls) == 2:
            raise Stop
        return real(prompts, **settings)

    monkeypatch.setattr(backbone, "generate", stopping)
    with pytest.raises(Stop):
        write(backbone, items, pictures, sentences, tmp_path / "cache")
    monkeypatch.setattr(backbone, "generate", real)
    assert write(backbone, items, pictures, sentences, tmp_path / "cache")[1] == 1


def test_the_table_measures_copying_and_information(sentences):
    completions = ["Image: red\nText: mug", "no form"]
    table = keyword_table(["a", "b"], ["a red cup", ""], completions, CONFIG, sentences)
    assert table["keywords"].tolist() == [["red", "mug"], []]
    assert table["well_formed"].tolist() == [True, False]
    assert table["copied"].tolist() == [0.5, 0.0]
    assert 0 < table["information"][0] < 1
    assert table["information"].isna().tolist() == [False, True]


def test_copying_counts_words_not_letters():
    assert copy_rate(["red mugs"], "a red mug") == 0.5
    assert copy_rate([], "a red mug") == 0.0


def test_a_new_item_changes_the_sample_by_one_at_most():
    items = pd.DataFrame({"item_id": [f"i{number}" for number in range(40)]})
    before = draft_sample(items, 10, seed=0)
    assert len(before) == 10
    assert before.index.is_monotonic_increasing
    assert draft_sample(items, 10, seed=1)["item_id"].tolist() != before["item_id"].tolist()
    assert len(draft_sample(items, 99, seed=0)) == 40
    for number in range(40, 60):
        more = pd.concat([pd.DataFrame({"item_id": [f"i{number}"]}), items], ignore_index=True)
        assert len(set(before["item_id"]) - set(draft_sample(more, 10, seed=0)["item_id"])) <= 1


KEY = {"image_sha256": "a", "text": "mug", "prompt_version": 1, "settings": 48, "summarizer": "s"}


def test_every_part_of_the_key_counts():
    keys = [cache_key(**KEY)]
    for name, other in [
        ("image_sha256", None),
        ("text", "mugs"),
        ("prompt_version", 2),
        ("settings", 9),
        ("summarizer", "t"),
    ]:
        keys.append(cache_key(**(KEY | {name: other})))
    assert len(set(keys)) == len(keys)
