"""Which addresses on the web may be read: of http and https, on known ports, in the public part of the internet."""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?")
PATH_SIGNS = "/%:@!$&'()*+,;=~"  # kept as they are: what is encoded already stays so
URL_CHARS = 200
# Of the public part, yet with an address of another part inside it: relays of IPv6 in IPv4, and protocol assignments.
SPECIAL = [ipaddress.ip_network(name) for name in ("192.0.0.0/24", "192.88.99.0/24", "2002::/16", "64:ff9b::/96")]

Resolver = Callable[[str, int], Sequence[str]]
"""Gives the IP addresses of a host and port that may be connected to; raises RefusedAddressError if it has no such."""


class RefusedAddressError(Exception):
    """An address that is not read; its text is the reason."""


class Address(NamedTuple):
    """A URL that may be read, as far as its text tells; the address behind the host is checked when connecting."""

    scheme: str
    host: str
    """A name in ASCII and small letters, or an IP address; IPv6 without brackets."""
    port: int
    target: str
    """Path and query, percent-encoded."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, as in a URL."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as a header says them: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.origin + self.target


def parse_url(url: str, *, ports: Collection[int]) -> Address:
    """Take a URL apart.

    Raises:
        RefusedAddressError: if it is not of http or https, names a user or no usable host, or a port not in ``ports``.
    """
    quoted = repr(url[:URL_CHARS])
    if CONTROLS.search(url):
        raise RefusedAddressError(f"{quoted} has control characters")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise RefusedAddressError(f"{quoted} is not a URL: {error}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise RefusedAddressError(f"{quoted} is not of http or https")
    if "@" in parts.netloc:
        raise RefusedAddressError(f"{quoted} names a user, which a picture's URL must not")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    if port not in ports:
        raise RefusedAddressError(f"{quoted} has port {port}, which is not in items.fetch.ports")
    path = quote(parts.path, safe=PATH_SIGNS) or "/"
    query = f"?{quote(parts.query, safe=PATH_SIGNS + '?')}" if parts.query else ""
    return Address(parts.scheme, _host(parts.hostname, quoted), port, path + query)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet: not of this machine, its network, or for a special use.

    >>> [is_public(address) for address in ("93.184.216.34", "127.0.0.1", "10.0.0.8", "169.254.169.254", "::1")]
    [True, False, False, False, False]
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.is_site_local or ip.scope_id):
        return False
    special = ip.is_multicast or ip.is_reserved or ip.is_unspecified or any(ip in network for network in SPECIAL)
    return ip.is_global and not special


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the IP addresses of a host.

    Raises:
        OSError: if it has none, or nobody answers.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def public_addresses(host: str, port: int, look_up: Resolver = look_up) -> Sequence[str]:
    """Return those IP addresses of a host that are public.

    Raises:
        RefusedAddressError: if none is.
    """
    found = look_up(host, port)
    public = [address for address in found if is_public(address)]
    if not public:
        raise RefusedAddressError(
            f"{host} is at {', '.join(found) or 'no address'}, which is not a public address. "
            "items.fetch.allow_private_addresses lets such be read"
        )
    return public


def _host(name: str | None, quoted: str) -> str:
    if not name:
        raise RefusedAddressError(f"{quoted} names no host")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode().lower()
    except UnicodeError:
        ascii_name = ""
    if not HOST_NAME.fullmatch(ascii_name):
        raise RefusedAddressError(f"{quoted} names no usable host")
    return ascii_name
