"""Cases as data for the script of the page: users, what they took, candidates under several rows, explanations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, RANK, SCORE, TIME, USER
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.evaluation.baselines import ORDER, ROW
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
from mmsra_pipeline.recommendation.columns import class_column
from mmsra_pipeline.recommendation.evidence import WORDS
from mmsra_pipeline.recommendation.explaining import NOTHING
from mmsra_pipeline.recommendation.fusion import FUSED
from mmsra_pipeline.recommendation.top_n import shared_keywords
from mmsra_pipeline.report.cases import CASE, EXPLAINED, KIND, SERVED

COMPARED_ROWS = (
    "popularity_as_of", "cooccurrence_as_of", "sasrec", "content", "evidence", "cf+content", "mmsrarec", FUSED
)  # fmt: skip
MOST_HISTORY = 12
DIGITS = 4
MODEL = "mmsrarec"


@dataclass(frozen=True)
class CaseTables:
    """What cases are looked up in."""

    cases: pd.DataFrame
    queries: pd.DataFrame
    """Rows of ``sequences`` of all cases, with the split."""
    rankings: pd.DataFrame
    candidates: pd.DataFrame
    similar: pd.DataFrame
    """Rows of ``similar_users`` that prompts show."""
    recommendations: pd.DataFrame
    explanations: pd.DataFrame
    keywords: Mapping[str, Sequence[str]]


class ItemNumbers:
    """Numbers items in the order in which pages first name them."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def __call__(self, item: str) -> int:
        """Return the number of an item, from 0."""
        return self.number.setdefault(str(item), len(self.number))


def case_entries(tables: CaseTables, items: ItemNumbers, *, user_ids: bool) -> list[dict[str, Any]]:
    """Return one entry per case, as JSON content; items are said by their number.

    ``candidates``: item, whether it came next, rank under each of :func:`compared_rows`, p of the language model, p
    of the fusion, classes of evidence, shared keywords. ``list``: the stored recommendations, in place of candidates.
    """
    rows = compared_rows(tables.rankings)
    found = _groups(tables.queries)
    ranked = _ranked(tables, rows)
    similar, lists = _groups(tables.similar), _groups_of(tables.recommendations, [USER])
    explained = _groups(tables.explanations)
    entries = []
    for case in tables.cases.to_dict("records"):
        key = (case[USER], int(case[POSITION]))
        query = found[key].iloc[0]
        history = [str(item) for item in query[HISTORY]]
        entry: dict[str, Any] = {
            "case": int(case[CASE]),
            "label": str(case[USER]) if user_ids else f"User {case[CASE]}",
            "kind": str(case[KIND]),
            "history_length": len(history),
            "at": None if pd.isna(query[TIME]) else pd.Timestamp(int(query[TIME]), unit="ms").strftime("%Y-%m-%d"),
            "history": [items(item) for item in history[-MOST_HISTORY:]],
            "similar": [
                [items(item), round(float(score), 3)]
                for item, score in zip(*(similar[key][name] for name in (ITEM, SCORE)))
            ]
            if key in similar
            else [],
        }
        if case[KIND] == SERVED:
            entry["list"] = _list(lists.get((case[USER],)), items)
        else:
            entry["candidates"] = _candidates(ranked[key], rows, history, tables.keywords, items)
        if case[EXPLAINED] and key in explained:
            entry["explained"] = _explained(explained[key], items)
        entries.append(entry)
    return entries


def compared_rows(rankings: pd.DataFrame) -> list[str]:
    """Return the rows that stand side by side, in order."""
    there = set(rankings[ROW])
    return [row for row in ORDER if row in there and row in COMPARED_ROWS]


def evidence_words() -> list[str]:
    """Return the words of the classes of evidence, in their order."""
    return [WORDS[slot] for slot in SLOTS]


def _ranked(tables: CaseTables, rows: Sequence[str]) -> dict[tuple[str, int], pd.DataFrame]:
    """Return each query's candidates with their rank under each row, p of both, and classes."""
    protocol = tables.rankings[PROTOCOL].iloc[0] if len(tables.rankings) else ""
    keys = [USER, POSITION, ITEM]
    own = tables.rankings[(tables.rankings[PROTOCOL] == protocol) & tables.rankings[ROW].isin(rows)]
    own = own.assign(place=own.groupby([ROW, USER, POSITION])[SCORE].rank(ascending=False, method="average"))
    table = own.drop_duplicates(keys)[[*keys, IS_TARGET]]
    for row in rows:
        part = own.loc[own[ROW] == row, [*keys, "place", "p"]]
        named = part.rename(columns={"place": f"place {row}", "p": f"p {row}"})
        table = table.merge(named, on=keys, how="left")
    classes = tables.candidates[tables.candidates[PROTOCOL] == protocol]
    table = table.merge(classes[[*keys, *(class_column(slot) for slot in SLOTS)]], on=keys, how="left")
    last = f"place {rows[-1]}" if rows else ITEM
    return _groups(table.sort_values([USER, POSITION, last, ITEM]))


def _candidates(
    table: pd.DataFrame,
    rows: Sequence[str],
    history: list[str],
    keywords: Mapping[str, Sequence[str]],
    items: ItemNumbers,
) -> list[list[Any]]:
    return [
        [
            items(one[ITEM]),
            int(one[IS_TARGET]),
            [round(float(one[f"place {row}"]), 1) for row in rows],
            _rounded(one.get(f"p {MODEL}")),
            _rounded(one.get(f"p {FUSED}")),
            [int(one[class_column(slot)]) for slot in SLOTS],
            shared_keywords(history, one[ITEM], keywords),
        ]
        for one in table.to_dict("records")
    ]


def _list(own: pd.DataFrame | None, items: ItemNumbers) -> list[list[Any]]:
    if own is None:
        return []
    return [
        [items(one[ITEM]), _rounded(one["p"]), _rounded(one["p_model"]), int(one["first_stage_rank"]),
         [str(word) for word in one["shared_keywords"]]]
        for one in own.sort_values(RANK).to_dict("records")
    ]  # fmt: skip


def _explained(own: pd.DataFrame, items: ItemNumbers) -> list[dict[str, Any]]:
    found = []
    for item in own[ITEM].unique():
        rows = own[own[ITEM] == item].to_dict("records")
        found.append(
            {
                "item": items(item),
                "p": next(_rounded(one["p"]) for one in rows if one["part"] == NOTHING),
                "without": [
                    [one["part"], items(one["left_out"]) if one["left_out"] else None, _rounded(one["p"]),
                     _rounded(one["change"])]
                    for one in rows if one["part"] != NOTHING
                ],
            }
        )  # fmt: skip
    return found


def _rounded(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else round(float(value), DIGITS)


def _groups(table: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    return _groups_of(table, [USER, POSITION])


def _groups_of(table: pd.DataFrame, keys: list[str]) -> dict[Any, pd.DataFrame]:
    return dict(iter(table.groupby(keys, sort=False))) if len(table) else {}
