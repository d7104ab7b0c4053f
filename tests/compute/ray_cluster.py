"""A Ray cluster of small nodes on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STORE_BYTES = 80_000_000  # Ray's least is 75 MiB
TESTS = Path(__file__).parents[1]


@contextmanager
def cluster_of(*, cpus: int = 1) -> Iterator[tuple[Any, str]]:
    """Give a cluster of one node, and its address. Its workers find the package and the tests where they lie."""
    from ray.cluster_utils import Cluster

    here = {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS))), "RAY_USAGE_STATS_ENABLED": "0"}
    before = {name: os.environ.get(name) for name in here}
    os.environ.update(here)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        yield cluster, cluster.address
    finally:
        cluster.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
