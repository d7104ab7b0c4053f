import numpy as np

from mmsra_pipeline.evaluation.keyword_report import (
    format_panel,
    panel_json,
    panel_markdown,
    panel_png,
    panel_table,
    said_of,
    value_of,
)

GENERATOR = np.random.default_rng(0)
VALUES = GENERATOR.normal(0.5, 0.1, 400)
HALF = np.where(np.arange(400) < 200, VALUES, np.nan)
MEASURES = {"kept": VALUES, "half": HALF, "kept - lower": VALUES - (VALUES - 0.25), "unknown": np.full(400, np.nan)}
PANEL = panel_table(MEASURES, {"distinct_keywords": 7.0}, bootstrap=500, seed=3)


def row(measure):
    return PANEL.set_index("measure").loc[measure]


def test_a_measure_is_the_mean_over_its_items_with_the_interval_of_a_mean():
    assert row("kept")["n"] == 400
    assert row("half")["n"] == 200
    assert row("half")["value"] == HALF[:200].mean()
    width = 2 * 1.96 * VALUES.std() / np.sqrt(400)
    assert abs((row("kept")["high"] - row("kept")["low"]) / width - 1) < 0.15
    assert row("kept")["low"] < row("kept")["value"] < row("kept")["high"]


def test_differences_are_resampled_by_item():
    found = row("kept - lower")
    np.testing.assert_allclose([found["value"], found["low"], found["high"]], 0.25, atol=1e-9)  # the same in each item


def test_what_nothing_says_anything_of_is_nan_and_left_out_of_texts():
    assert row("unknown")["n"] == 0
    assert np.isnan(value_of(PANEL, "unknown"))
    assert np.isnan(value_of(PANEL, "no such measure"))
    assert said_of(PANEL, "unknown") == "unknown: nothing to measure"
    assert "unknown" not in format_panel(PANEL) + panel_markdown(PANEL)


def test_texts_have_signs_for_differences_and_no_interval_for_counts():
    assert "kept - lower      +0.250 [+0.250, +0.250]  n=400" in format_panel(PANEL)
    assert "| distinct_keywords | 7 | 400 |" in panel_markdown(PANEL)
    assert said_of(PANEL, "kept - lower") == "kept - lower +0.250 [+0.250, +0.250] of 400 items"


def test_json_has_null_where_there_is_no_number():
    found = {entry["measure"]: entry for entry in panel_json(PANEL)}
    assert found["distinct_keywords"] == {
        "measure": "distinct_keywords", "value": 7.0, "low": None, "high": None, "n": 400,
    }  # fmt: skip
    assert found["unknown"]["value"] is None


def test_the_panel_is_drawn_also_without_differences():
    assert panel_png(PANEL).startswith(b"\x89PNG")
    assert panel_png(PANEL[PANEL["measure"] == "kept"]).startswith(b"\x89PNG")
