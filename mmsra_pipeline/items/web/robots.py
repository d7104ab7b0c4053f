"""What robots.txt of a server lets be read."""

import threading
from collections import defaultdict
from collections.abc import Callable
from urllib.robotparser import RobotFileParser

from mmsra_pipeline.items.web.addresses import Address
from mmsra_pipeline.items.web.http_client import PRODUCT

PATH = "/robots.txt"
MAX_BYTES = 512_000  # RFC 9309 wants at least 500 KiB to be read


class Robots:
    """The rules of the servers that were asked about, each read once.

    The standard library's parser knows neither '*' nor '$' within a path and takes the first rule that fits, not the
    longest (RFC 9309 has both): it forbids now more and now less than a server means.
    """

    def __init__(self, read: Callable[[Address], str | None]) -> None:
        """``read`` gives the text of a robots.txt, None if there is none, and raises if that cannot be told now."""
        self._read = read
        self._rules: dict[str, RobotFileParser] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def allow(self, address: Address) -> bool:
        """Whether a robot of our name may read it."""
        return self._of(address).can_fetch(PRODUCT, address.url)

    def crawl_delay(self, address: Address) -> float:
        """Seconds that the server wants between two requests; 0 if it says nothing or was not asked yet."""
        rules = self._rules.get(address.origin)
        return 0.0 if rules is None else float(rules.crawl_delay(PRODUCT) or 0)

    def _of(self, address: Address) -> RobotFileParser:
        with self._locks[address.origin]:
            if address.origin not in self._rules:
                text = self._read(address._replace(target=PATH))
                rules = RobotFileParser()
                rules.parse((text or "").splitlines())
                self._rules[address.origin] = rules
            return self._rules[address.origin]
