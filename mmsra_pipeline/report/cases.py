"""Which users the report shows, and which of them it explains: by rule and seed, never by hand."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mmsra_pipeline.columns import POSITION, USER
from mmsra_pipeline.evaluation.baselines import ORDER, ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.recommendation.fusion import FUSED
from mmsra_pipeline.storage.hashing import drawn_number

GOOD, MEDIAN, BAD, OTHER, SERVED = "good", "median", "bad", "test", "served"
CASE, KIND, EXPLAINED = "case", "kind", "explained"
COLUMNS = [CASE, USER, POSITION, KIND, EXPLAINED]


def judged_row(per_user: pd.DataFrame) -> str:
    """Return the row that cases are judged by: what is served, or the last there is."""
    rows = set(per_user[ROW])
    return FUSED if FUSED in rows else max(rows, key=lambda row: ORDER.index(row) if row in ORDER else -1)


def choose_cases(
    per_user: pd.DataFrame, served: Sequence[tuple[str, int]], count: int, explained: int, seed: int
) -> pd.DataFrame:
    """Choose users to show.

    Test users are ordered by the expected rank at which what is served puts what came next, equal ones by a draw. The
    first third of ``explained`` are the good ones, the last third the bad ones, the ones around the middle the median
    ones; others are drawn. Users who have a stored list follow, the first ``explained`` of them, by a draw, explained.

    Args:
        per_user: the table ``user_metrics``.
        served: user and position of the queries that stored lists answer.
        count: test users at most, and users with lists at most.
        explained: users of each sort for whom it is computed what leaving out a part does.
        seed: of the draws.

    Returns:
        Columns ``COLUMNS``, by case from 1. Numbers are drawn, so that they tell nothing about ids.
    """
    protocol = per_user[PROTOCOL].iloc[0]
    own = per_user[(per_user[ROW] == judged_row(per_user)) & (per_user[PROTOCOL] == protocol)]
    place = own["higher"] + own["equal"] / 2
    drawn = [drawn_number(seed, "case", user, int(at)) for user, at in zip(own[USER], own[POSITION])]
    ranked = own.assign(place=place, drawn=drawn).sort_values(["place", "drawn"])
    keys = list(zip(ranked[USER], ranked[POSITION].astype(int)))
    kinds = _by_rule(keys, min(explained, count))
    others = [keys[at] for at in ranked["drawn"].argsort().to_numpy() if keys[at] not in kinds]
    chosen = [*kinds, *others][: min(count, len(keys))]
    rows = [(user, at, kinds.get((user, at), OTHER), (user, at) in kinds) for user, at in chosen]
    lists = sorted(served, key=lambda key: drawn_number(seed, "list", key[0], key[1]))[:count]
    rows += [(user, at, SERVED, number < explained) for number, (user, at) in enumerate(lists)]
    table = pd.DataFrame(rows, columns=COLUMNS[1:])
    table.insert(0, CASE, _numbers(table, seed))
    return table.sort_values(CASE, ignore_index=True, kind="stable")


def _by_rule(keys: Sequence[tuple[str, int]], explained: int) -> Mapping[tuple[str, int], str]:
    """Return the kind of each case that is chosen by rule, of queries ordered from the best to the worst."""
    third, left = divmod(min(explained, len(keys)), 3)
    good, bad = third + (left > 0), third + (left > 1)
    middle = max((len(keys) - third) // 2, good)
    found: dict[tuple[str, int], str] = dict.fromkeys(keys[:good], GOOD)
    for kind, part in ((MEDIAN, keys[middle : middle + third]), (BAD, keys[len(keys) - bad :] if bad else [])):
        found |= {key: kind for key in part if key not in found}
    return found


def _numbers(table: pd.DataFrame, seed: int) -> list[int]:
    """Number users from 1 in drawn order; a user with two rows has one number."""
    users = sorted(table[USER].unique(), key=lambda user: drawn_number(seed, "number", user))
    number = {user: place for place, user in enumerate(users, start=1)}
    return [number[user] for user in table[USER]]
