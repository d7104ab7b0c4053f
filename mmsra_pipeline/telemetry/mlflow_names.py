"""Names of settings and measures as MLflow takes them."""

import re
from collections.abc import Mapping
from typing import Any


def metric_name(name: str) -> str:
    """Return a name that MLflow takes; it refuses signs such as those of ndcg@10 and mmsrarec+cf.

    >>> metric_name("ndcg@10/uniform/mmsrarec+cf - sasrec")
    'ndcg_at_10/uniform/mmsrarec_plus_cf - sasrec'
    """
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_").replace("+", "_plus_"))


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested keys with dots.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
