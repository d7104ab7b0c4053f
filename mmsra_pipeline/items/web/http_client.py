"""One request and its answer, bounded in size and time."""

import datetime
import email.utils
import io
from collections.abc import Mapping
from typing import NamedTuple

import httpcore2 as httpcore

import mmsra_pipeline
from mmsra_pipeline.config.tree import FetchConfig
from mmsra_pipeline.items.web.addresses import Address, Resolver
from mmsra_pipeline.items.web.connections import CheckedBackend

PRODUCT = "mmsra-pipeline"  # as robots.txt may name it
OK, TOO_MANY_REQUESTS = 200, 429
PASSING = {408, 425, TOO_MANY_REQUESTS}  # with all of 5xx: the same request may do better later
BOUNDS = "items.fetch.connect_seconds, read_seconds, deadline_seconds"
READ_ON = 65_536  # bytes of an answer that is of no use which are read, so that its connection can be used again


class LastingError(Exception):
    """A picture that will not come, now or later; its text is the reason, ``gone`` says that the server has none."""

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone


class PassingFetchError(Exception):
    """A failure that may pass; ``retry_after`` are the seconds that the server asked to wait."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Answer(NamedTuple):
    """What a server said. Names of headers are in small letters; the content is there for status 200 alone."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HttpClient:
    """Sends requests to checked addresses over connections that are kept. Proxies of the environment are not used."""

    def __init__(self, settings: FetchConfig, resolve: Resolver) -> None:
        self._settings = settings
        self._backend = CheckedBackend(resolve, settings.workers)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpcore.default_ssl_context(),
            max_connections=None,  # as many as there are workers
            max_keepalive_connections=settings.workers,
            keepalive_expiry=30,
            network_backend=self._backend,
        )
        connect, read = settings.connect_seconds, settings.read_seconds
        self._timeout = {"connect": connect, "read": read, "write": read}
        agent = f"{PRODUCT}/{mmsra_pipeline.__version__}"
        self._headers = {
            "User-Agent": f"{agent} (+{settings.contact})" if settings.contact else agent,
            "Accept": "image/jpeg, image/png, image/webp, image/*;q=0.8, */*;q=0.1",
            "Accept-Encoding": "identity",
        }

    def get(self, address: Address, headers: Mapping[str, str], max_bytes: int) -> Answer:
        """Ask for a resource. Redirects are answers like others.

        Raises:
            RefusedAddressError: if the host's address is not one that may be read.
            LastingError: if the content is larger than ``max_bytes`` or came compressed.
            PassingFetchError: if there was no whole answer.
        """
        scheme, host, target = address.scheme.encode(), address.host.encode(), address.target.encode()
        url = httpcore.URL(scheme=scheme, host=host, port=address.port, target=target)
        sent = {"Host": address.authority, **self._headers, **headers}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        try:
            with self._pool.stream("GET", url, headers=encoded, extensions={"timeout": self._timeout}) as response:
                found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Answer(response.status, found, _content(response, found, max_bytes))
        except httpcore.TimeoutException:
            raise PassingFetchError(f"{address.host} did not answer in time ({BOUNDS})") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise PassingFetchError(f"{address.host}: {_short(error)}") from None

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
        self._backend.close()


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait by Retry-After; None if it does not, or not readably.

    >>> asked_wait({"retry-after": "7"}), asked_wait({"retry-after": "soon"}), asked_wait({})
    (7.0, None, None)
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    now = datetime.datetime.now(datetime.UTC)
    return max((when.replace(tzinfo=when.tzinfo or datetime.UTC) - now).total_seconds(), 0.0)


def _content(response: httpcore.Response, headers: Mapping[str, str], max_bytes: int) -> bytes:
    if response.status != OK:
        read = 0
        for chunk in response.iter_stream():
            read += len(chunk)
            if read > READ_ON:
                break
        return b""
    if (encoding := headers.get("content-encoding", "identity").lower()) != "identity":
        raise LastingError(f"it came compressed ({encoding[:20]}), which was not asked for")
    if (length := headers.get("content-length", "")).isdigit() and int(length[:19]) > max_bytes:
        raise LastingError(f"it has {length[:19]} bytes, more than items.fetch.max_bytes ({max_bytes})")
    content = io.BytesIO()  # gives its bytes without a copy
    for chunk in response.iter_stream():
        content.write(chunk)
        if content.tell() > max_bytes:
            raise LastingError(f"it has more bytes than items.fetch.max_bytes ({max_bytes})")
    return content.getvalue()


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:150] or type(error).__name__
