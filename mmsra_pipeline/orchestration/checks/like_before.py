"""Rows and nulls against those of the last materializations: what nobody changed on purpose seldom changes at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow.parquet as pq

from mmsra_pipeline.orchestration.checks.names import COMPARED, LIKE_BEFORE
from mmsra_pipeline.orchestration.checks.results import check

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.materializations import Materialization
    from mmsra_pipeline.storage.slices import Slice

TIMES = 2.0  # rows may be this many times fewer or more than ever among those
SHARE = 0.1  # by which a share of nulls may leave the range of those


def null_shares(path: Path) -> dict[str, float]:
    """Return the share of nulls, in [0, 1], of each column that is no list, by a Parquet file's statistics alone."""
    parquet = pq.ParquetFile(path).metadata
    counts: dict[str, int] = {}
    for group in range(parquet.num_row_groups):
        for place in range(parquet.num_columns):
            column = parquet.row_group(group).column(place)
            if "." not in column.path_in_schema and column.statistics and column.statistics.has_null_count:
                name = column.path_in_schema
                counts[name] = counts.get(name, 0) + column.statistics.null_count
    return {name: round(count / parquet.num_rows, 6) for name, count in counts.items()}


def like_before(written: "Slice", before: "Sequence[Materialization]") -> dg.AssetCheckResult:
    """Warn of a slice whose rows or nulls lie outside what the last materializations of the asset had.

    Args:
        written: the rows of the asset's own table.
        before: materializations of the asset and data set, the newest first; those of this very slice do not count.
    """
    others = [one for one in before if one.slice != written.version and one.rows is not None][:COMPARED]
    if not others:
        return check(LIKE_BEFORE, True, "there is no other materialization to compare with yet", warn=True)
    strange = [
        *_strange_rows(written.rows, [one.rows for one in others if one.rows is not None]),
        *_strange_nulls(null_shares(written.path), [one.null_shares for one in others if one.null_shares is not None]),
    ]
    compared = f"compared with the last {len(others)} materialization(s)"
    if not strange:
        return check(LIKE_BEFORE, True, f"{written.rows} rows, nulls as before, {compared}", warn=True)
    remedy = "If neither the source nor the settings were to change that much, see what the upstream assets warn of"
    return check(LIKE_BEFORE, False, f"{'; '.join(strange)}; {compared}. {remedy}", warn=True)


def _strange_rows(rows: int, before: Sequence[int]) -> list[str]:
    low, high = min(before) / TIMES, max(before) * TIMES
    return [] if low <= rows <= high else [f"{rows} rows, where there were {min(before)} to {max(before)}"]


def _strange_nulls(shares: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> list[str]:
    found = []
    for name, share in shares.items():
        known = [one[name] for one in before if name in one]
        if known and not min(known) - SHARE <= share <= max(known) + SHARE:
            found.append(f"{share:.1%} of {name} are null, where {min(known):.1%} to {max(known):.1%} were")
    return found
