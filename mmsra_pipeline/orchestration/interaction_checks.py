"""Checks of the table interactions: what they say and when they fail."""

from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.checks.results import check, specs

if TYPE_CHECKING:
    from mmsra_pipeline.interactions.measures import InteractionMeasures

FEW_KNOWN = 0.5
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
        "describe; of the others neither text nor picture is known. If they are many, see that reviews and metadata "
        "are of one data set and name items by the same id"
    )
    return check("known_items", share >= FEW_KNOWN, found, warn=True, share=share)


def _sane_times(measured: "InteractionMeasures") -> dg.AssetCheckResult:
    if measured.earliest is None:
        return check("sane_times", True, "the data have no times, so there is nothing to check", warn=True)
    found = (
        f"{measured.strange_times} of {measured.interactions} interactions lie before 1995 or after tomorrow; the "
        f"earliest is of {measured.earliest}, the latest of {measured.latest}"
    )
    remedy = "" if not measured.strange_times else ". See whether the source's times are in seconds or milliseconds"
    return check("sane_times", not measured.strange_times, found + remedy, warn=True)
