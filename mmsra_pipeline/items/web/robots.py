"""What robots.txt of a server lets be read."""

import threading
from collections import defaultdict
from collections.abc import Callable

from protego import Protego

from mmsra_pipeline.items.web.addresses import Address
from mmsra_pipeline.items.web.http_client import PRODUCT

PATH = "/robots.txt"
MAX_BYTES = 512_000  # RFC 9309 wants at least 500 KiB to be read


class Robots:
    """The rules (RFC 9309) of the servers that were asked about, each read once."""

    def __init__(self, read: Callable[[Address], str | None]) -> None:
        """``read`` gives the text of a robots.txt, None if there is none, and raises if that cannot be known now."""
        self._read = read
        self._rules: dict[str, Protego] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def allow(self, address: Address) -> bool:
        """Whether a robot of our name may read it."""
        return self._of(address).can_fetch(address.url, PRODUCT)

    def crawl_delay(self, address: Address) -> float:
        """Seconds that the server wants between two requests; 0 if it says nothing or was not asked yet."""
        rules = self._rules.get(address.origin)
        return 0.0 if rules is None else rules.crawl_delay(PRODUCT) or 0.0

    def _of(self, address: Address) -> Protego:
        with self._locks[address.origin]:
            if address.origin not in self._rules:
                text = self._read(address._replace(target=PATH))
                self._rules[address.origin] = Protego.parse(text or "")
            return self._rules[address.origin]
