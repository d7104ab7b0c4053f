import re
from xml.etree import ElementTree

from mmsra_pipeline.report.charts import Point, interval_chart, line_chart

NAN = float("nan")
HOSTILE = '"><script>alert(1)</script>'


def parsed(chart):
    return ElementTree.fromstring(re.match(r"<svg.*?</svg>", str(chart.drawing), re.DOTALL)[0])


def test_dots_stand_where_their_values_are_and_ours_are_set_off():
    chart = interval_chart([Point("a", 0, -10, 10), Point("b", 50, 40, 60, strong=True), Point("c", 100, 90, 110)], "t")
    dots = parsed(chart).findall("circle")
    a, b, c = (float(dot.get("cx")) for dot in dots)
    assert abs((b - a) - (c - b)) < 0.2
    assert [dot.get("class") for dot in dots] == ["dot other", "dot ours", "dot other"]
    assert [line.get("class") for line in parsed(chart).findall("line")].count("interval ours") == 1


def test_names_are_text_and_the_title_is_said_to_screen_readers():
    chart = interval_chart([Point(HOSTILE, 1, 0, 2)], HOSTILE)
    assert parsed(chart).get("aria-label") == HOSTILE
    assert HOSTILE in [text.text for text in parsed(chart).findall("text")]
    assert parsed(chart).find("script") is None


def test_without_a_number_nothing_is_drawn():
    assert not interval_chart([Point("a", NAN, NAN, NAN)], "t").drawing
    assert not line_chart({"a": []}, "t", "k").drawing


def test_a_value_without_an_interval_is_a_dot_alone():
    chart = interval_chart([Point("a", 3, NAN, NAN), Point("b", 3, 3, 3)], "t", reference=3.0)
    assert len(parsed(chart).findall("circle")) == 2


def test_lines_rise_with_their_values_and_missing_points_are_left_out():
    chart = line_chart({"a": [(1, 10), (2, 20), (3, NAN)], "b": [(1, 5)]}, "t", "k", diagonal=True)
    first, second = parsed(chart).findall("polyline")
    points = [tuple(map(float, at.split(","))) for at in first.get("points").split()]
    assert len(points) == 2
    assert points[0][0] < points[1][0]
    assert points[0][1] > points[1][1]  # up is smaller in SVG
    assert (first.get("class"), second.get("class")) == ("series c0", "series c1")
    assert '<li class="c1">b</li>' in chart.drawing
