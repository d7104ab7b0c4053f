"""What Dagster's queue lets run at a time: names and sizes of its pools.

A step is of one pool: `device` where it reads a model, `memory` else. Importing it reads no settings.
"""

from typing import Final

import dagster as dg

from mmsra_pipeline.storage.processes import machine_memory

DEVICE: Final = "device"
"""Steps that read a model. One at a time, unless the instance says otherwise (`dagster instance concurrency set`)."""
MEMORY: Final = "memory"
"""Steps without a model, which hold tables in memory."""
GB: Final = 1e9


def memory_places(step_memory_gb: float, memory_bytes: int | None = None) -> int:
    """Return how many steps without a model fit into memory beside one that has a model; one in any case.

    Args:
        step_memory_gb: what one step is reckoned to need, setting ``limits.step_memory_gb``.
        memory_bytes: of the machine; None: of this one, or of its container.
    """
    memory = machine_memory() if memory_bytes is None else memory_bytes
    return max(int(memory / GB / step_memory_gb) - 1, 1)


def size_pools(instance: dg.DagsterInstance, step_memory_gb: float) -> None:
    """Set the size of the pool `memory` by this machine; `device` has one place, unless the instance says otherwise."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    places = memory_places(step_memory_gb)
    known = {pool.name: pool for pool in storage.get_pool_limits()}
    if DEVICE not in known:  # an instance of an earlier release has no default
        storage.set_concurrency_slots(DEVICE, 1)
    if MEMORY not in known or known[MEMORY].limit != places or known[MEMORY].from_default:
        storage.set_concurrency_slots(MEMORY, places)
