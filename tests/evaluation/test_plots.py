import io
import itertools

import pandas as pd
import pytest
from PIL import Image

from mmsra_pipeline.evaluation.plots import metrics_png
from mmsra_pipeline.plots import curve_png


def test_a_curve_is_a_picture_with_one_panel_per_column():
    curve = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "ndcg@10": [0.1, None, 0.3]})
    one = Image.open(io.BytesIO(curve_png(curve, "epoch", ["loss"], "user encoder")))
    two = Image.open(io.BytesIO(curve_png(curve, "epoch", ["loss", "ndcg@10"], "user encoder")))
    assert one.format == "PNG"
    assert two.width == 2 * one.width
    assert len(set(two.convert("L").getdata())) > 10  # something is drawn


def test_a_curve_of_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"cannot draw \['reward'\]: the columns are \['step'\]"):
        curve_png(pd.DataFrame({"step": [1]}), "step", ["reward"], "x")


def test_metrics_are_drawn_as_bars_with_a_panel_per_metric_and_protocol():
    kinds = itertools.product(("random", "sasrec"), ("uniform", "popularity"), ("hr@5", "ndcg@5"))
    rows = [(row, protocol, 9, metric, 40.0, 30.0, 50.0) for row, protocol, metric in kinds]
    metrics = pd.DataFrame(rows, columns=["row", "protocol", "users", "metric", "value", "low", "high"])
    whole = Image.open(io.BytesIO(metrics_png(metrics)))
    half = Image.open(io.BytesIO(metrics_png(metrics[metrics["protocol"] == "uniform"])))
    assert whole.width == half.width
    assert whole.height == 2 * half.height
