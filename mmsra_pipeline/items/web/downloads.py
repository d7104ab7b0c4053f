"""A picture's bytes by its URL: redirects, robots.txt and conditional requests."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urljoin

from mmsra_pipeline.config.tree import FetchConfig
from mmsra_pipeline.items.web.addresses import Address, RefusedAddressError, Resolver, parse_url
from mmsra_pipeline.items.web.http_client import (
    OK,
    PASSING,
    Answer,
    HttpClient,
    LastingError,
    PassingFetchError,
    asked_wait,
)
from mmsra_pipeline.items.web.robots import MAX_BYTES as ROBOTS_BYTES
from mmsra_pipeline.items.web.robots import Robots

MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
NOT_MODIFIED = 304
URL_CHARS = 200


class Validators(NamedTuple):
    """What a server said of a picture's version, and the URL after redirects that it said it of."""

    url: str
    etag: str | None
    last_modified: str | None

    def headers(self) -> dict[str, str]:
        """Ask for the picture only if it is another by now."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value}


class Download(NamedTuple):
    """What came of a URL; content None: what was got with the validators still holds."""

    content: bytes | None
    validators: Validators


class Downloader:
    """Gets pictures by rules that a server's owner and the owner of this machine would agree to."""

    def __init__(self, settings: FetchConfig, resolve: Resolver) -> None:
        self._settings = settings
        self._client = HttpClient(settings, resolve)
        self._robots = Robots(self._robots_text)

    def get(self, url: str, known: Validators | None) -> Download:
        """Get what lies at a URL.

        Raises:
            LastingError: with the reason, if it will not come later either.
            PassingFetchError: with the reason, if it may.
        """
        address, answer = self._follow(url, self._settings.max_bytes, known, self._check_robots)
        validators = Validators(address.url, answer.headers.get("etag"), answer.headers.get("last-modified"))
        if answer.status == OK:
            return Download(answer.content, validators)
        if answer.status == NOT_MODIFIED and known is not None and known.url == address.url:
            return Download(None, known)
        if answer.status == NOT_MODIFIED:
            raise PassingFetchError(f"{address.host} answered {answer.status} to an unconditional request")
        raise LastingError(f"{address.host} answered {answer.status}", gone=True)

    def crawl_delay(self, url: str) -> float:
        """Seconds between two requests that robots.txt of the host asks for, as far as it was read."""
        return self._robots.crawl_delay(parse_url(url, ports=self._settings.ports))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _follow(
        self, url: str, max_bytes: int, known: Validators | None, check: Callable[[Address], None]
    ) -> tuple[Address, Answer]:
        """Follow redirects; every address is checked as the first one is."""
        place = url
        address = self._parsed(place, None)
        for _ in range(MAX_REDIRECTS + 1):
            check(address)
            headers = known.headers() if known is not None and known.url == address.url else {}
            answer = self._ask(address, headers, max_bytes)
            if answer.status not in REDIRECTS:
                return address, answer
            place = _target(address, answer.headers)
            address = self._parsed(place, address)
        raise LastingError(f"it was redirected more than {MAX_REDIRECTS} times, last to {place[:URL_CHARS]!r}")

    def _parsed(self, place: str, origin: Address | None) -> Address:
        came = "" if origin is None else f"redirected by {origin.host}: "
        try:
            address = parse_url(place, ports=self._settings.ports)
        except RefusedAddressError as error:
            raise LastingError(f"{came}{error}") from None
        if origin is not None and (origin.scheme, address.scheme) == ("https", "http"):
            raise LastingError(f"{came}{place[:URL_CHARS]!r} leads from https back to http")
        return address

    def _ask(self, address: Address, headers: Mapping[str, str], max_bytes: int) -> Answer:
        try:
            answer = self._client.get(address, headers, max_bytes)
        except RefusedAddressError as error:
            raise LastingError(str(error)) from None
        if answer.status >= 500 or answer.status in PASSING:
            raise PassingFetchError(f"{address.host} answered {answer.status}", retry_after=asked_wait(answer.headers))
        return answer

    def _check_robots(self, address: Address) -> None:
        if self._settings.respect_robots and not self._robots.allow(address):
            raise LastingError(f"robots.txt of {address.host} does not allow it (items.fetch.respect_robots)")

    def _robots_text(self, address: Address) -> str | None:
        """RFC 9309: without a robots.txt all is allowed; while its server fails, nothing is."""
        try:
            _, answer = self._follow(address.url, ROBOTS_BYTES, None, lambda _: None)
        except PassingFetchError as error:
            raise PassingFetchError(f"robots.txt: {error}", retry_after=error.retry_after) from None
        except LastingError:
            return None
        return answer.content.decode("utf-8-sig", "replace") if answer.status == OK else None


def _target(address: Address, headers: Mapping[str, str]) -> str:
    location = headers.get("location", "").encode("latin-1").decode("utf-8", "replace")
    if not location:
        raise LastingError(f"{address.host} redirected it without saying where to")
    try:
        return urljoin(address.url, location)
    except ValueError:
        raise LastingError(f"{address.host} redirected it to {location[:URL_CHARS]!r}, which is not a URL") from None
