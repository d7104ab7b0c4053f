"""The page of what each part of the method is worth: variants of the data set against it, user by user."""

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from mmsra_pipeline.evaluation.ablation import ROWS, TABLE_6, VARIANT
from mmsra_pipeline.report.charts import Point, interval_chart
from mmsra_pipeline.report.inputs import Measured
from mmsra_pipeline.report.views import OURS, Block, Table, interval, metric_name, numbered

SAID_SETTINGS: Final = 2
"""Of a variant that is no row of the table; of one with more their number."""


def ablation_page(measured: Measured) -> list[Block]:
    """Return the blocks of the page."""
    if measured.ablation.table.empty:
        return [_how(measured.dataset)]
    protocols = list(measured.ablation.table["protocol"].unique())
    return [*(_worth(measured, protocol) for protocol in protocols), _left_out(measured), _rows()]


def described(dataset: str, variant: str, settings: Mapping[str, Any]) -> str:
    """Say what a variant has otherwise: in the words of its row, or by its settings.

    >>> described("shop", "shop-no-grpo", {"grpo.steps": 0})
    'keywords without tuning by reward'
    >>> described("shop", "b", {"backbone.model": "/home/me/qwen"})
    'backbone.model="qwen"'
    >>> described("shop", "b", {"seed": 2, "grpo.steps": 0, "fusion.folds": 3})
    'b (3 other settings)'
    """
    row = ROWS.get(variant.removeprefix(f"{dataset}-")) if variant.startswith(f"{dataset}-") else None
    if row:
        return row.what
    if len(settings) > SAID_SETTINGS:
        return f"{variant} ({len(settings)} other settings)"
    return ", ".join(f"{path}={_value(value)}" for path, value in settings.items())


def _value(value: Any) -> str:
    """Write a value; of a path on this machine the name alone, for a report may be shown to others."""
    return json.dumps(PurePath(value).name if isinstance(value, str) and value.startswith("/") else value)


def _worth(measured: Measured, protocol: str) -> Block:
    table = measured.ablation.table[measured.ablation.table["protocol"] == protocol]
    judged = next((name for name in reversed(OURS) if name in set(table["row"])), str(table["row"].iloc[0]))
    metric = f"hr@{measured.cutoff}"
    own = table[(table["row"] == judged) & (table["metric"] == metric)]
    points = [
        Point(measured.variants.get(name, name), float(value), float(low), float(high))
        for name, value, low, high in own[[VARIANT, "difference", "low", "high"]].itertuples(index=False)
    ]
    users = int(table["users"].max())
    title = f"{metric_name(metric)} of {judged}, {protocol} negatives: variant less full model, points"
    words = [
        "Each variant is this data set with one thing otherwise; its difference is taken user by user. Below 0 the "
        "full model is better. Where the interval holds 0, so many users do not show which is better.",
        f"The corrected p (Holm) counts all lines of a metric. Measured on {users} test users.",
    ]
    cells = [
        [measured.variants.get(str(one[VARIANT]), str(one[VARIANT])), str(one["row"]), metric_name(str(one["metric"])),
         numbered(one["first"]), numbered(one["second"]),
         interval(one["difference"], one["low"], one["high"], sign=True), numbered(one["p_holm"], 3)]
        for one in table.to_dict("records")
    ]  # fmt: skip
    head = ["variant", "row", "metric", "full model", "variant's", "difference [95 % interval]", "p, corrected"]
    caption = f"Variants less the full model, {protocol} negatives, percent and points, paired by user"
    return Block(
        f"What each part is worth, {protocol} negatives", words, [interval_chart(points, title)],
        [Table(caption, head, cells)],
    )  # fmt: skip


def _left_out(measured: Measured) -> Block:
    compared = set(measured.ablation.table[VARIANT])
    why = {**dict.fromkeys(measured.variants, "not measured yet"), **measured.ablation.left_out}
    rows = [[name, measured.variants.get(name, ""), said] for name, said in why.items() if name not in compared]
    known = set(measured.variants.values())
    rows += [[name, row.what, "there is no such variant"] for name, row in ROWS.items() if row.what not in known]
    words = [f"`mmsra ablate --dataset {measured.dataset}` makes what can be made, and renews this page."]
    return Block("What is not in it", words, (), [Table("Rows that are missing", ["row", "what", "why"], rows)])


def _how(dataset: str) -> Block:
    words = [
        "There is no measured variant of this data set, so what a part of the method is worth was not measured here. "
        "A variant is the same data with other settings; what these leave as it is, is taken over, not computed again.",
        f"`mmsra ablate --dataset {dataset}` makes these rows and renews this page; with `--dry-run` it says what that "
        "would compute. Any two data sets are compared user by user with `mmsra compare A B`.",
    ]
    return Block("Not measured", words, (), [_settings()])


def _rows() -> Block:
    return Block("What the rows are", (), (), (), [_settings()])


def _settings() -> Table:
    rows = [
        [name, row.what, "yes" if name in TABLE_6 else "no", ", ".join(_said(row.settings))]
        for name, row in ROWS.items()
    ]
    return Table("Rows and their settings", ["row", "what", "in the paper's table 6", "setting"], rows)


def _said(settings: Mapping[str, Any], above: str = "") -> list[str]:
    found = []
    for name, value in settings.items():
        found += (
            _said(value, f"{above}{name}.") if isinstance(value, Mapping) else [f"{above}{name}={json.dumps(value)}"]
        )
    return found
