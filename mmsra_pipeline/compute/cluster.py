"""Joins the Ray cluster that the settings name."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, Final

from mmsra_pipeline.config.compute import ComputeConfig
from mmsra_pipeline.errors import ConfigError

LOCAL_STORE_BYTES: Final = 100_000_000  # nothing large goes through Ray's object store


@contextlib.contextmanager
def connected(config: ComputeConfig) -> Iterator[None]:
    """Be in the cluster; one that this process has joined before is left as it is.

    Raises:
        ConfigError: if Ray is not installed or there is no cluster.
    """
    try:
        with _own_handlers():
            import ray
    except ImportError:
        raise ConfigError(
            "compute.engine is ray, and Ray is not installed. Install the extra, `pip install 'mmsra-pipeline[ray]'`, "
            "or set compute.engine: local."
        ) from None
    if ray.is_initialized():
        yield
        return
    here: dict[str, Any] = (
        {
            "num_cpus": config.workers * config.cpus_per_worker,
            "object_store_memory": LOCAL_STORE_BYTES,
            "include_dashboard": False,
        }
        if config.address == "local"
        else {}
    )
    try:
        with _own_handlers():
            ray.init(config.address, configure_logging=False, log_to_driver=False, **here)
    except ConnectionError as error:
        raise ConfigError(
            f"compute.address={config.address}: there is no Ray cluster that this machine belongs to ({error}). "
            "Start one with `ray start --head` and join it from the other machines, or set compute.address: local."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this process's handlers of signals, where Ray sets its own: Dagster hears a cancel by them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: one that Python did not set
                signal.signal(number, handler)
