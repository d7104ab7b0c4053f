"""Checks of the table interactions: what they say and when they fail."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.checks.results import check, specs

if TYPE_CHECKING:
    from mmsra_pipeline.interactions.measures import InteractionMeasures

FEW_KNOWN = 0.9
MANY_TIED = 0.5
NAMES = ("unique_pairs", "known_items", "sane_times")
SPECS = specs(Tables.INTERACTIONS, blocking=NAMES[:1], warning=NAMES[1:])


def interaction_checks(measured: "InteractionMeasures") -> list[dg.AssetCheckResult]:
    """Return results for ``SPECS``. Only repeated pairs are an error; the others may be as the data are."""
    return [_unique_pairs(measured), _known_items(measured), _sane_times(measured)]


def _unique_pairs(measured: "InteractionMeasures") -> dg.AssetCheckResult:
    found = f"{measured.repeated_pairs} pairs of user and item have more than one row"
    remedy = "" if not measured.repeated_pairs else ". Materialize interactions again, and report it: this is a bug"
    return check("unique_pairs", not measured.repeated_pairs, found + remedy)


def _known_items(measured: "InteractionMeasures") -> dg.AssetCheckResult:
    share = measured.known_items / max(measured.interactions, 1)
    found = (
        f"{measured.known_items} of {measured.interactions} interactions ({share:.1%}) are of items that the metadata "
        "describe; of the others neither text nor picture is known"
    )
    if share < FEW_KNOWN:
        found += (
            f". Reviews alone have {_some(measured.only_reviewed)}; the metadata alone have "
            f"{_some(measured.only_described)}"
        )
        if measured.alike:
            pairs = "; ".join(f"{ours!r} and {theirs!r}" for ours, theirs in measured.alike)
            found += (
                f". These may be the same items, so ids of one file were changed on the way: {pairs}. Export it again"
            )
        else:
            found += ". See that reviews and metadata are of one data set and name items by the same id"
    return check("known_items", share >= FEW_KNOWN, found, warn=True, share=share)


def _sane_times(measured: "InteractionMeasures") -> dg.AssetCheckResult:
    if measured.earliest is None:
        return check("sane_times", True, "the data have no times, so there is nothing to check", warn=True)
    found = (
        f"{measured.strange_times} of {measured.interactions} interactions lie before 1995 or after tomorrow; the "
        f"earliest is of {measured.earliest}, the latest of {measured.latest}"
    )
    remedy = "" if not measured.strange_times else ". See whether the source's times are in seconds or milliseconds"
    tied = measured.tied / max(measured.interactions, 1)
    if tied > MANY_TIED:
        remedy += (
            f". {measured.tied} of {measured.interactions} interactions ({tied:.1%}) share their time with another of "
            "the same user, so their order is that of the file. Where the source knows hours and minutes, export them"
        )
    passed = not measured.strange_times and tied <= MANY_TIED
    return check("sane_times", passed, found + remedy, warn=True, tied=tied)


def _some(items: Sequence[str]) -> str:
    return ", ".join(map(repr, items)) or "none"
