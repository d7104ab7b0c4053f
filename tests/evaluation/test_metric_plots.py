import io
import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmsra_pipeline.evaluation.baselines import ORDER
from mmsra_pipeline.evaluation.calibration import reliability
from mmsra_pipeline.evaluation.metric_plots import fusion_png, metrics_png
from mmsra_pipeline.telemetry.plots import curve_png


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


def metrics_of(names):
    kinds = itertools.product(names, ("uniform", "popularity"), ("hr@5", "ndcg@5"))
    rows = [(row, protocol, 9, metric, 40.0, 30.0, 50.0) for row, protocol, metric in kinds]
    return pd.DataFrame(rows, columns=["row", "protocol", "users", "metric", "value", "low", "high"])


def test_metrics_are_drawn_with_a_panel_per_metric_and_protocol():
    metrics = metrics_of(("random", "sasrec"))
    whole = Image.open(io.BytesIO(metrics_png(metrics)))
    half = Image.open(io.BytesIO(metrics_png(metrics[metrics["protocol"] == "uniform"])))
    assert whole.width == half.width
    assert whole.height == 2 * half.height


def test_many_rows_make_the_picture_higher_so_that_they_stay_readable():
    few, many = (Image.open(io.BytesIO(metrics_png(metrics_of(ORDER[:count])))) for count in (2, 13))
    assert many.width == few.width
    assert many.height / 2 > 13 * 22  # pixels


def test_the_fusion_is_drawn_with_a_panel_per_kind_and_also_without_served_lists():
    rows = [(kind, feature, 0.5, 0.2, 0.9) for kind in ("cf+content", "mmsrarec+cf") for feature in ("a", "b")]
    coefficients = pd.DataFrame(rows, columns=["kind", "feature", "value", "low", "high"])
    p, happened = np.linspace(0, 0.3, 200), np.arange(200) % 7 == 0
    one = Image.open(io.BytesIO(fusion_png(reliability(p, happened), coefficients[:2])))
    two = Image.open(io.BytesIO(fusion_png(reliability(p, happened), coefficients)))
    assert two.width == 1.5 * one.width
    assert two.convert("RGB").getpixel((1, 1)) == (255, 255, 255)  # readable also on a dark page
    assert fusion_png(reliability(p[:0], happened[:0]), coefficients).startswith(b"\x89PNG")
