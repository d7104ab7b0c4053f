"""The page that shows where the language model helps, and where it does not."""

import pandas as pd

from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.slices import HISTORY_LENGTH, PART, PICTURE, SLICE, TRAINING_COUNT, WHEN
from mmsra_pipeline.recommendation.fusion import FUSED
from mmsra_pipeline.report.charts import Point, interval_chart
from mmsra_pipeline.report.inputs import Measured
from mmsra_pipeline.report.views import OURS, Block, Table, interval, metric_name

COMPARED_ROWS = ("sasrec", "content", "evidence", "cf+content", *OURS)
AGAINST = ("sasrec", "cf+content", "evidence")
TITLES = {
    TRAINING_COUNT: ("How often training saw what came next", "0 is an item that nobody took before: cold."),
    HISTORY_LENGTH: ("How long the user's history is", "Interactions before the one that is to be found."),
    PICTURE: ("Whether what came next has a picture", "Of an item without one, keywords say only what its text says."),
    WHEN: ("When", "Test queries by their time, in thirds."),
}


def slices_page(measured: Measured) -> list[Block]:
    """Return the blocks of the page: first where what is served is worse than another row, then every slice."""
    hr = f"hr@{measured.cutoff}"
    rows = measured.by_slice[measured.by_slice["metric"] == hr]
    plain, minus = rows[rows["against"] == ""], rows[rows["against"] != ""]
    blocks = [_where_worse(minus, hr)]
    for name, (title, words) in TITLES.items():
        own = plain[plain[SLICE] == name]
        if own.empty:
            continue
        charts = []
        protocol = own[PROTOCOL].iloc[0]
        differences = minus[(minus[SLICE] == name) & (minus[PROTOCOL] == protocol) & (minus["row"] == FUSED)]
        for against in AGAINST[:2]:
            pairs = differences[differences["against"] == against]
            points = [
                Point(f"{part} (n={users})", value, low, high, strong=low > 0 or high < 0)
                for part, users, value, low, high in pairs[[PART, "users", "value", "low", "high"]].itertuples(
                    index=False
                )
            ]
            title_of = f"{FUSED} less {against} by part, points of {metric_name(hr)}, {protocol} negatives"
            charts.append(interval_chart(points, title_of, reference=0.0))
        tables = [_table(own[own[PROTOCOL] == one], str(one), hr) for one in own[PROTOCOL].unique()]
        coloured = "A coloured line leaves out 0: these users show the difference."
        blocks.append(Block(title, [words, coloured], charts, tables[:1], tables[1:]))
    return blocks


def _where_worse(minus: pd.DataFrame, hr: str) -> Block:
    mine = minus[(minus["row"] == FUSED) & minus["against"].isin(AGAINST)]
    worse = mine[mine["value"] < 0].sort_values("value")
    sure = worse[worse["high"] < 0]
    rows = [
        [f"{one[SLICE]}: {one[PART]}", one["against"], one[PROTOCOL], str(one["users"]),
         interval(one["value"], one["low"], one["high"], sign=True),
         "these users show it" if one["high"] < 0 else "may be chance"]
        for one in worse.to_dict("records")
    ]  # fmt: skip
    head = ["part", "worse than", "negatives", "users", "difference", "meaning"]
    caption = f"Parts in which {FUSED} is behind, {metric_name(hr)} in points [95 % interval, paired by user]"
    words = [
        f"In {len(worse)} of {len(mine)} comparisons {FUSED} is behind; in {len(sure)} of them the interval leaves out "
        "0. With so many parts some differ by chance alone."
    ]
    return Block("Where is the model worse?", words, (), [Table(caption, head, rows)] if rows else ())


def _table(own: pd.DataFrame, protocol: str, hr: str) -> Table:
    parts = list(dict.fromkeys(zip(own[PART], own["users"])))
    rows = []
    for row in [name for name in COMPARED_ROWS if (own["row"] == name).any()]:
        mine = own[own["row"] == row].set_index(PART)
        rows.append([row, *(interval(*mine.loc[part, ["value", "low", "high"]]) for part, _ in parts)])
    head = ["row", *(f"{part} (n={users})" for part, users in parts)]
    strong = frozenset(number for number, row in enumerate(rows) if row[0] in OURS)
    return Table(f"{metric_name(hr)} in percent [95 % interval], {protocol} negatives", head, rows, strong)
