"""The first page: how well all rows rank, what is served, how sure that is, and what was not measured."""

import math

import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.verdict import said, verdicts
from mmsra_pipeline.recommendation.fusion import FUSED
from mmsra_pipeline.report.charts import Chart, Point, interval_chart, line_chart
from mmsra_pipeline.report.inputs import Measured
from mmsra_pipeline.report.views import OURS, Block, Table, interval, metric_grid, metric_name, numbered

CURVES = ("random", "popularity_as_of", "sasrec", "content", "evidence", "cf+content", *OURS)
FAINT = 0.05  # of a corrected p-value: above it a difference may be chance


def overview(measured: Measured) -> list[Block]:
    """Return the blocks of the page."""
    hr = f"hr@{measured.cutoff}"
    blocks = [_verdict(measured, hr)]
    for protocol in measured.metrics[PROTOCOL].unique():
        blocks.append(_protocol(measured, str(protocol), hr))
    return [*blocks, _compared(measured, hr), _funnel(measured), _unmeasured(measured)]


def _verdict(measured: Measured, hr: str) -> Block:
    found = verdicts(measured.metrics, measured.differences)
    users = int(measured.metrics["users"].iloc[0])
    words = [
        said(found),
        f"Measured on {users} test users: the item that came next among negatives that the user never took. A scorer "
        f"that knows nothing has {metric_name(hr)} {_chance(measured)}. Intervals are 95 %, by resampling users.",
    ]
    return Block("In short", words)


def _chance(measured: Measured) -> str:
    negatives = int(measured.per_user["negatives"].iloc[0])
    return f"{100 * min(measured.cutoff / (negatives + 1), 1):.2f} %"


def _protocol(measured: Measured, protocol: str, hr: str) -> Block:
    own = measured.metrics[measured.metrics[PROTOCOL] == protocol]
    names = list(own["metric"].unique())
    points = [
        Point(str(row), float(value), float(low), float(high), strong=row in OURS)
        for row, value, low, high in own.loc[own["metric"] == hr, [ROW, "value", "low", "high"]].itertuples(index=False)
    ]
    lines = measured.curves[(measured.curves[PROTOCOL] == protocol) & (measured.curves["metric"] == "hr")]
    series = {
        row: list(lines.loc[lines[ROW] == row, ["k", "value"]].itertuples(index=False, name=None))
        for row in CURVES
        if (lines[ROW] == row).any()
    }
    charts = [
        interval_chart(points, f"{metric_name(hr)} in percent with 95 % intervals, {protocol} negatives"),
        line_chart(series, f"HR at k in percent, {protocol} negatives", "k"),
    ]
    curve = _curve_table(lines, protocol)
    table = metric_grid(own, f"All rows, {protocol} negatives, in percent [95 % interval]", names)
    return Block(f"How well all rows rank: {protocol} negatives", (), charts, [table], [curve])


def _curve_table(lines: pd.DataFrame, protocol: str) -> Table:
    ks = [k for k in (1, 3, 5, 10, 15, 20) if (lines["k"] == k).any()]
    rows = []
    for row in lines[ROW].unique():
        own = lines[lines[ROW] == row].set_index("k")["value"]
        rows.append([str(row), *(numbered(float(own.loc[k])) for k in ks)])
    return Table(f"HR at k in percent, {protocol} negatives", ["row", *(f"HR@{k}" for k in ks)], rows)


def _compared(measured: Measured, hr: str) -> Block:
    pairs = measured.pairwise[measured.pairwise["metric"] == hr]
    mine = _seen_from(pairs, FUSED)
    users = int(pairs["users"].iloc[0]) if len(pairs) else 0
    finest = float(mine.loc[mine["against"] != "random", "detectable"].median()) if len(mine) else math.nan
    need = mine.loc[mine["against"].isin(["cf+content", "evidence", "mmsrarec"]), "users_needed"]
    words = [
        f"{FUSED} less every other row, in points of {metric_name(hr)}, paired by user. p is corrected for all pairs "
        "of rows (Holm); above 0.05 the difference may be chance.",
        f"With {users} users a difference of about {numbered(finest)} points is found four times of five; to see one "
        f"of 2 points against rows that are near, it takes {_range(need)} users.",
    ]
    return Block(
        "Is the difference real?",
        words,
        [_difference_chart(mine, hr)],
        [_pair_table(mine, f"{FUSED} less other rows, {metric_name(hr)} in points [95 % interval]")],
        [_pair_table(pairs, f"All pairs of rows, {metric_name(hr)} in points [95 % interval]")],
    )


def _seen_from(pairs: pd.DataFrame, row: str) -> pd.DataFrame:
    """Return the pairs of a row, it less the other whichever stood first."""
    first, second = pairs[pairs[ROW] == row], pairs[pairs["against"] == row]
    turned = second.assign(
        row=row, against=second[ROW], value=-second["value"], low=-second["high"], high=-second["low"]
    )
    return pd.concat([turned, first])


def _difference_chart(mine: pd.DataFrame, hr: str) -> Chart:
    first = mine[mine[PROTOCOL] == (mine[PROTOCOL].iloc[0] if len(mine) else "")]
    points = [
        Point(str(against), float(value), float(low), float(high), strong=p < FAINT)
        for against, value, low, high, p in first[["against", "value", "low", "high", "p_holm"]].itertuples(index=False)
    ]
    return interval_chart(points, f"{FUSED} less other rows, points of {metric_name(hr)}", reference=0.0)


def _pair_table(pairs: pd.DataFrame, caption: str) -> Table:
    rows = []
    for one in pairs.to_dict("records"):
        p = one["p_holm"]
        rows.append(
            [
                f"{one[ROW]} - {one['against']}",
                str(one[PROTOCOL]),
                interval(one["value"], one["low"], one["high"], sign=True),
                "< 0.001" if p < 0.001 else f"{p:.3f}",
                "these users show it" if p < FAINT else "may be chance",
                numbered(one["detectable"]),
                f"{int(one['users_needed']):,}" if one["detectable"] else "-",
            ]
        )
    head = ["rows", "negatives", "difference", "p, corrected", "meaning", "detectable", "users for 2 points"]
    return Table(caption, head, rows)


def _funnel(measured: Measured) -> Block:
    rows = [
        [str(step).replace("_", " "), *(f"{int(number):,}" for number in numbers)]
        for step, *numbers in measured.funnel[["step", "users", "items", "interactions"]].itertuples(index=False)
    ]
    return Block("The data", (), (), [Table("What filtering left", ["step", "users", "items", "interactions"], rows)])


def _unmeasured(measured: Measured) -> Block:
    leak = (
        "cannot be measured, for no query has a time"
        if math.isnan(measured.leak_rate)
        else f"is {100 * measured.leak_rate:.2f} %"
    )
    words = [
        f"The leak rate {leak}: the share of similar users' next items that were not taken before the query. What came "
        f"next is among them for {100 * measured.hit_share:.1f} % of test users.",
        "The column “sees the future” says which rows count what others took after the query: all of training (yes), "
        "or by the sequential model alone (in part).",
        *_gaps(measured),
    ]
    return Block("What to know before trusting this", words)


def _gaps(measured: Measured) -> list[str]:
    found = []
    if measured.untimed:
        found.append(
            f"{100 * measured.untimed:.0f} % of test queries have no time: for them nothing shows what came before, so "
            "rows that count only that are what the order of interactions gives."
        )
    if "ceiling" not in set(measured.metrics[ROW]):
        found.append("What the best possible order would reach is not known: only a made-up shop knows why it chose.")
    if measured.served.empty:
        found.append("What is served was not measured over the whole catalogue.")
    found.append(
        "Nobody was asked whether they like what they get: all of this is about what users took next by themselves."
    )
    return found


def _range(numbers: pd.Series) -> str:
    if numbers.empty:
        return "an unknown number of"
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
