"""The page of what is served: over the whole catalogue, how varied, and whether its p can be trusted."""

import math

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.calibration import calibration, reliability
from mmsra_pipeline.recommendation.injection import IMITATIONS, PICTURE
from mmsra_pipeline.report.charts import Point, interval_chart, line_chart
from mmsra_pipeline.report.inputs import Measured
from mmsra_pipeline.report.views import OURS, ROWS, Block, Table, interval, metric_name, numbered
from mmsra_pipeline.resampling import QUANTILES, resampled_means

RESAMPLES = 1000
TRAITS = {
    "coverage": ("share of the catalogue in any list", 2),
    "gini": ("Gini: 0 all items alike, 1 only one", 2),
    "novelty": ("novelty, bits", 2),
    "popularity": ("users of an item", 1),
    "popularity_lift": ("popularity against the first stage, as a factor", 2),
    "keyword_diversity": ("diversity of keywords", 2),
}


def served_page(measured: Measured) -> list[Block]:
    """Return the blocks of the page."""
    if measured.served.empty:
        return [Block("Not measured", ["What is served was not measured. Run `mmsra refresh`."])]
    return [_quality(measured), _trust(measured.served_candidates), _traits(measured), *_injection(measured.injection)]


def _quality(measured: Measured) -> Block:
    table, hr = measured.served, "hr@5"
    every = list(table["metric"].unique())
    first = [name for name in ("hr@1", hr, "ndcg@5", "hr@20", "ndcg@20") if name in every]
    keys = list(dict.fromkeys(zip(table["row"], table["depth"])))
    points = [
        Point(_label(row, depth), float(value), float(low), float(high), strong=row in OURS)
        for row, depth, value, low, high in table.loc[
            table["metric"] == hr, ["row", "depth", "value", "low", "high"]
        ].itertuples(index=False)
    ]
    users, deepest = int(table["users"].iloc[0]), int(table["depth"].max())
    inside = float(measured.served_candidates.groupby(["user_id", "position"])["is_target"].any().mean())
    words = [
        f"The first stage takes candidates out of the whole catalogue, the model orders them. For {100 * inside:.0f} % "
        f"of {users} test users what came next is among the first {deepest} candidates: no order of these can reach "
        "more.",
        "“on 20” means: the first 20 candidates are reordered, the others stay behind them. With one item that came "
        "next HR at k is recall at k.",
    ]
    less = "less the first stage's own order, points [95 % interval, paired by user]"
    return Block(
        "Does the model make the first stage better?",
        words,
        [interval_chart(points, f"HR@5 over the whole catalogue, percent, {users} users")],
        [
            _grid(table, keys, first, "", "Over the whole catalogue, percent [95 % interval]"),
            _grid(table, keys[1:], first, "difference", f"Over the whole catalogue, {less}"),
        ],
        [_grid(table, keys, every, "", "All metrics over the whole catalogue, percent [95 % interval]")],
    )


def _grid(table: pd.DataFrame, keys: list[tuple[str, int]], names: list[str], kind: str, caption: str) -> Table:
    columns = ["difference", "difference_low", "difference_high"] if kind else ["value", "low", "high"]
    rows = []
    for row, depth in keys:
        own = table[(table["row"] == row) & (table["depth"] == depth)].set_index("metric")
        cells = [interval(*own.loc[name, columns], sign=bool(kind)) for name in names]
        rows.append([_label(row, depth), ROWS.get(row, ""), *cells])
    return Table(caption, ["row", "what it is", *map(metric_name, names)], rows, _strong(keys))


def _label(row: str, depth: int) -> str:
    return f"{row} on {depth}" if depth else str(row)


def _trust(candidates: pd.DataFrame) -> Block:
    happened = candidates["is_target"].to_numpy(dtype=bool)
    charts, rows, bins = [], [], []
    for name, column in (("served p (fusion, calibrated)", "p_served"), ("p(Yes) of the language model", "p")):
        p = candidates[column].to_numpy(dtype="float64")
        found = calibration(p, happened)
        cells = (found.ece, found.brier, found.mean_p, found.share)
        rows.append([name, *(numbered(number, 3) for number in cells), str(found.n)])
        table = reliability(p, happened)
        points = list(zip(table["mean_p"].tolist(), table["share"].tolist()))
        charts.append(line_chart({name: points}, f"{name}: share that came next by p", "p", diagonal=True))
        bins += [
            [name, f"{one['mean_p']:.3f}", interval(one["share"], one["low"], one["high"], 3), str(int(one["n"]))]
            for one in table.to_dict("records")
        ]
    highest = float(candidates["p_served"].max())
    words = [
        "On the line p is what happens: of candidates with p = 0.2 every fifth came next. The served p is calibrated "
        "on validation users; that of the language model alone compares candidates, and says more than happens.",
        f"The highest served p here is {highest:.2f}; nothing is shown about higher ones.",
    ]
    head = ["p", "expected calibration error", "Brier", "mean p", "share that came next", "candidates"]
    return Block(
        "Can I trust p?",
        words,
        charts,
        [Table("How far p is from what happened, test users", head, rows)],
        [
            Table(
                "Tenths of the candidates", ["p", "mean p", "share that came next [95 % interval]", "candidates"], bins
            )
        ],
    )


def _traits(measured: Measured) -> Block:
    traits = measured.traits
    rows, keys = [], list(dict.fromkeys(zip(traits["row"], traits["depth"])))
    for row, depth in keys:
        own = traits[(traits["row"] == row) & (traits["depth"] == depth)].set_index("trait")["value"]
        rows.append(
            [
                _label(row, depth),
                *(numbered(float(own.get(name, math.nan)), digits) for name, (_, digits) in TRAITS.items()),
            ]
        )
    k = int(traits["k"].iloc[0])
    names = list(dict.fromkeys([*measured.overlap["row"], *measured.overlap["against"]]))
    shared = {(a, b): v for a, b, v in measured.overlap[["row", "against", "value"]].itertuples(index=False)}
    overlap = [
        [
            one,
            *(
                "-" if one == other else f"{shared.get((one, other), shared.get((other, one), math.nan)):.2f}"
                for other in names
            ),
        ]
        for one in names
    ]
    return Block(
        f"What the first {k} are like",
        (),
        (),
        [Table(f"Lists of {k} items", ["row", *(words for words, _ in TRAITS.values())], rows, _strong(keys))],
        [Table(f"Share of the first {k} that two rows have in common", ["row", *names], overlap)],
    )


def _injection(probe: pd.DataFrame) -> list[Block]:
    """Say what words do that imitate the prompt, in titles before and after cleaning, in pictures; with intervals."""
    if probe.empty:
        return []
    rows, users = [], probe["user_id"].nunique()
    for (place, name, cleaned), own in probe.groupby(["place", "imitation", "cleaned"], sort=False):
        values = own[["p_rise", "rank_rise"]].to_numpy(dtype="float64")
        low, high = np.percentile(resampled_means(values, RESAMPLES, 0), QUANTILES, axis=0)
        p, rank = values.mean(axis=0).tolist()
        cells = [interval(p, low[0], high[0], 3, sign=True), interval(rank, low[1], high[1], sign=True)]
        worst = numbered(float(values[:, 0].max()), 3, sign=True)
        done = "cannot be" if place == PICTURE else "yes" if cleaned else "no"
        rows.append([IMITATIONS.get(str(name), str(name)), str(place), done, *cells, worst])
    drawn = (
        "Words were also drawn over the top of its picture, where it has one: nothing cleans those."
        if (probe["place"] == PICTURE).any()
        else "Prompts show no picture, so words drawn into one reach the model only if the keyword writer reads them."
    )
    words = [
        f"For {users} test users the middle candidate got a title that begins with the words below, also among its "
        "keywords. Titles are cleaned of what imitates lines of the prompt before anything reads them; the lines that "
        "are not cleaned show what that prevents. The last title imitates nothing: it is what a seller may do.",
        drawn,
    ]
    head = [
        "words",
        "in its",
        "cleaned",
        "rise of p [95 % interval]",
        "rise of rank, places [95 % interval]",
        "largest rise of p",
    ]
    table = Table("What words that imitate the prompt do to their candidate", head, rows)
    return [Block("Can a title or a picture talk the model into it?", words, (), [table])]


def _strong(keys: list[tuple[str, int]]) -> frozenset[int]:
    return frozenset(number for number, (row, _) in enumerate(keys) if row in OURS)
