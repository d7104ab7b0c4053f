import numpy as np
import pandas as pd
import pytest
import torch

from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.config.tree import GrpoConfig, LoraSettings, SummarizationConfig
from mmsra_pipeline.summarization.tuning.measures import COLUMNS, Measures, _compared, alarms, measure_tuning
from mmsra_pipeline.summarization.tuning.rollouts import Item, Writer
from mmsra_pipeline.summarization.tuning.scorer import SummaryScorer

SUMMARIES = SummarizationConfig(max_new_tokens=40)
GRPO = GrpoConfig()


def measured(backbone, model, sentences, items):
    writer = Writer(backbone, SUMMARIES)
    scorer = SummaryScorer(backbone, model, sentences, SUMMARIES, GRPO, writer)
    return measure_tuning(backbone, model, writer, scorer, items, GRPO.weights)


@pytest.fixture
def pictured_items(items, pictures):
    return [Item(item, text, "", pictures.get(item)) for item, text in zip(items["item_id"], items["text"])]


def test_an_adapter_that_changes_nothing_has_no_effect_and_one_that_does_has(backbone, sentences, pictured_items):
    model = attach(backbone, LoraSettings(rank=4, alpha=8))
    same = measured(backbone, model, sentences, pictured_items)
    assert same.table.columns.tolist() == COLUMNS
    assert {"information", "reconstruction", "grounding", "total", "pictured", "keywords"} <= set(same.table["measure"])
    assert (same.table["difference"].fillna(0) == 0).all()
    assert (same.examples["draft"] == same.examples["tuned"]).all()
    assert same.table.set_index("measure")["items"][["information", "grounding"]].tolist() == [4, 3]  # one unpictured
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.5)
    other = measured(backbone, model, sentences, pictured_items)
    assert (other.examples["draft"] == same.examples["draft"]).all()
    assert (other.examples["draft"] != other.examples["tuned"]).any()
    assert other.table.set_index("measure").loc["total", "difference"] != 0


def test_a_difference_has_an_interval_of_its_pairs():
    before = np.array([0.0, 10.0, 20.0, np.nan])
    name, was, now, gain, low, high, items = _compared("length", before, before + 1.0, 0)
    # each pair differs by exactly one, so no resample differs by anything else, however far the items lie apart
    assert (name, was, now, gain, low, high, items) == ("length", 10.0, 11.0, 1.0, 1.0, 1.0, 3)
    *_, low, high, _ = _compared("length", np.zeros(4), np.array([0.0, 0.0, 2.0, 2.0]), 0)
    assert 0.0 <= low < 1.0 < high <= 2.0


def test_without_held_out_items_there_is_nothing_to_say():
    empty = measure_tuning(None, None, None, None, [], GRPO.weights)
    assert empty.table.empty
    assert empty.examples.columns.tolist() == ["item_id", "draft", "tuned"]
    assert alarms(pd.DataFrame(), empty) == []


def curve(**some):
    calm = {"no_spread": [0.0] * 6, "at_limit": [0.0] * 6, "entropy": [1.0] * 6}
    return pd.DataFrame(calm | some)


def pictured(before, after):
    table = pd.DataFrame([("pictured", before, after, after - before, 0, 0, 9)], columns=COLUMNS)
    return Measures(table, pd.DataFrame())


@pytest.mark.parametrize(
    ("some", "words"),
    [
        ({}, []),
        ({"no_spread": [1.0] * 6}, ["100% of the groups earned the same"]),
        ({"at_limit": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5]}, ["25% of the completions were cut"]),
        ({"entropy": [1.0, 1.0, 1.0, 0.05, 0.05, 0.05]}, ["entropy fell from 1.00 to 0.05"]),
    ],
)
def test_a_curve_that_looks_wrong_is_reported(some, words):
    found = alarms(curve(**some), pictured(1.0, 1.0))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found))


def test_pictures_that_are_passed_over_after_tuning_are_reported():
    (alarm,) = alarms(curve(), pictured(1.0, 0.5))
    assert alarm == "held-out items with keywords of their picture fell from 100% to 50%"
