"""Results of checks, and what Dagster knows beforehand of those that there will be."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import dagster as dg

from mmsra_pipeline.orchestration.checks.names import LIKE_BEFORE, WITHIN_MEMORY

Results: TypeAlias = Iterator[dg.AssetCheckResult | dg.MaterializeResult]
"""What an asset yields."""


def specs(asset: str, *, blocking: Sequence[str] = (), warning: Sequence[str] = ()) -> list[dg.AssetCheckSpec]:
    """Name the checks of an asset. Nothing becomes current unless those pass that are blocking.

    A blocking check may also find what is only worth a warning: then it does not block.
    """
    return [
        *(dg.AssetCheckSpec(name, asset=asset, blocking=True) for name in blocking),
        *(dg.AssetCheckSpec(name, asset=asset) for name in (*warning, LIKE_BEFORE, WITHIN_MEMORY)),
    ]


def check(name: str, passed: bool, description: str, *, warn: bool = False, **metadata: Any) -> dg.AssetCheckResult:
    """Return the result of a check; ``description`` says what was found and how to fix it."""
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name=name, passed=bool(passed), severity=severity, description=description, metadata=metadata
    )
