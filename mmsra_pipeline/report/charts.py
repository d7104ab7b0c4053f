"""Charts as inline SVG: they follow the page's colours, and each stands beside a table of the same numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, RIGHT = 440, 14  # units of the view box, about pixels on a phone
SIGN, MOST_LABELS = 7.2, 220  # width of a sign, and of the longest label
LINE, TOP, BOTTOM = 20, 8, 30
HEIGHT, LEFT = 220, 40
COLOURS = 8  # classes c0 to c7 of report.css; later series repeat them


class Point(NamedTuple):
    """A value with its interval."""

    label: str
    value: float
    low: float
    high: float
    strong: bool = False
    """Whether it is drawn as one of ours."""


class Chart(NamedTuple):
    """A drawing with its title; without a number to draw it is empty."""

    title: str
    drawing: Markup


def interval_chart(points: Sequence[Point], title: str, *, reference: float | None = None) -> Chart:
    """Draw one line a value: a dot with its interval. ``reference`` is a line to compare with."""
    finite = [point for point in points if math.isfinite(point.value)]
    if not finite:
        return Chart(title, Markup(""))
    edges = [edge for point in finite for edge in (point.low, point.high, point.value) if math.isfinite(edge)]
    low, high, ticks = _scale(min([*edges, *([reference] if reference is not None else [])]), max(edges))
    height = TOP + LINE * len(finite) + BOTTOM
    labels = round(min(16 + SIGN * max(len(point.label) for point in finite), MOST_LABELS))

    def x(value: float) -> float:
        return round(labels + (WIDTH - labels - RIGHT) * (value - low) / (high - low), 1)

    parts = [_line(x(tick), TOP, x(tick), height - BOTTOM, "grid") for tick in ticks]
    parts += [_text(x(tick), height - BOTTOM + 14, _number(tick), "middle") for tick in ticks]
    if reference is not None:
        parts.append(_line(x(reference), TOP, x(reference), height - BOTTOM, "reference"))
    for number, point in enumerate(finite):
        y = TOP + LINE * number + LINE / 2
        name = "ours" if point.strong else "other"
        parts.append(_text(labels - 8, y + 4, point.label, "end"))
        if math.isfinite(point.low) and math.isfinite(point.high):
            parts.append(_line(x(point.low), y, x(point.high), y, f"interval {name}"))
        parts.append(Markup('<circle class="dot {}" cx="{}" cy="{}" r="4"/>').format(name, x(point.value), y))
    return Chart(title, _svg(height, title, parts))


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]], title: str, x_title: str, *, diagonal: bool = False
) -> Chart:
    """Draw one line a series over numbers; ``diagonal`` adds the line where both are equal."""
    drawn = {name: [at for at in points if all(map(math.isfinite, at))] for name, points in series.items()}
    every = [at for points in drawn.values() for at in points]
    if not every:
        return Chart(title, Markup(""))
    x_low, x_high, x_ticks = _scale(min(x for x, _ in every), max(x for x, _ in every))
    y_low, y_high, y_ticks = _scale(min(0.0, *(y for _, y in every)), max(y for _, y in every))

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (x - x_low) / (x_high - x_low)
        return round(across, 1), round(TOP + (HEIGHT - TOP - BOTTOM - 12) * (1 - (y - y_low) / (y_high - y_low)), 1)

    bottom = place(x_low, y_low)[1]
    parts = [_line(LEFT, place(x_low, tick)[1], WIDTH - RIGHT, place(x_low, tick)[1], "grid") for tick in y_ticks]
    parts += [_text(LEFT - 6, place(x_low, tick)[1] + 4, _number(tick), "end") for tick in y_ticks]
    parts += [_text(place(tick, y_low)[0], bottom + 15, _number(tick), "middle") for tick in x_ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 31, x_title, "middle"))
    if diagonal:
        top = min(x_high, y_high)
        parts.append(_line(*place(max(x_low, y_low), max(x_low, y_low)), *place(top, top), "reference"))
    for number, (name, points) in enumerate(drawn.items()):
        path = " ".join(f"{x},{y}" for x, y in (place(*at) for at in points))
        parts.append(Markup('<polyline class="series c{}" points="{}"/>').format(number % COLOURS, path))
        parts += [
            Markup('<circle class="mark c{}" cx="{}" cy="{}" r="2.5"><title>{}: {}</title></circle>').format(
                number % COLOURS, *place(*at), name, _number(at[1])
            )
            for at in points
        ]
    legend = Markup("").join(
        Markup('<li class="c{}">{}</li>').format(number % COLOURS, name) for number, name in enumerate(drawn)
    )
    drawing = _svg(HEIGHT, title, parts) + Markup('<ul class="legend" aria-hidden="true">{}</ul>').format(legend)
    return Chart(title, drawing)


def _svg(height: float, title: str, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" aria-label="{}">').format(WIDTH, height, title)
    return head + Markup("").join(parts) + Markup("</svg>")


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(name, x1, y1, x2, y2)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Return round ends of an axis and its ticks."""
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(step * number, 10) for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
