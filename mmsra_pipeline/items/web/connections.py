"""Connections that go to the address that was checked, and that end in time."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore2 as httpcore

from mmsra_pipeline.items.web.addresses import Resolver

_bound = threading.local()


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let all reading and writing of this thread within the block end ``seconds`` from now.

    A server that sends a byte now and then keeps every single wait short, so the waits alone bound nothing.
    """
    before = getattr(_bound, "end", None)
    _bound.end = time.monotonic() + seconds
    try:
        yield
    finally:
        _bound.end = before


def remaining(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """Return the time that may be waited: ``timeout``, but not beyond the deadline of this thread.

    Raises:
        httpcore2.TimeoutException: of the type ``error``, if the deadline is over.
    """
    end = getattr(_bound, "end", None)
    if end is None:
        return timeout
    left = float(end - time.monotonic())
    if left <= 0:
        raise error("the deadline is over")
    return left if timeout is None else min(timeout, left)


class CheckedBackend(httpcore.NetworkBackend):
    """Opens connections to the addresses that ``resolve`` gives, which are looked up once a connection.

    The host's name stays what TLS and the server see, but it is not looked up a second time, so a name server that
    answers otherwise the next time (DNS rebinding) changes nothing.
    """

    def __init__(self, resolve: Resolver, threads: int) -> None:
        self._resolve = resolve
        self._plain = httpcore.SyncBackend()
        # Looking up a name cannot be given a time limit, so it is done beside the thread that waits for it.
        self._lookups = ThreadPoolExecutor(threads, thread_name_prefix="look-up")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that answers."""
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port, timeout):
            allowed = remaining(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._plain.connect_tcp(address, port, allowed, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _BoundedStream(stream)
        raise failure

    def close(self) -> None:
        """End the threads that look names up, as soon as they have their answers."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def _addresses(self, host: str, port: int, timeout: float | None) -> Iterable[str]:
        allowed = remaining(timeout, httpcore.ConnectTimeout)
        lookup = self._lookups.submit(self._resolve, host, port)
        try:
            return lookup.result(allowed)
        except TimeoutError:
            lookup.cancel()
            raise httpcore.ConnectTimeout(f"no answer about the address of {host}") from None
        except OSError as error:
            raise httpcore.ConnectError(f"no address of {host}: {error}") from None


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline of the thread that waits."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        allowed = remaining(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, allowed))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
