"""A lock between machines: an object of a store, which its holder writes anew now and then.

The store refuses to make an object that is there (`If-None-Match`), and to replace one that has changed (`If-Match`),
so of two that try one wins. A holder that is killed writes no more: who has seen the object unchanged for
``LEASE_SECONDS`` by his own clock takes it over. The clocks of the machines need not agree. A holder that was only
asleep finds out before its next pointer (``Lease.check``).
"""

import contextlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from mmsra_pipeline.errors import StorageError

LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
POLL_SECONDS = 2.0
CHANGED: Final = (AlreadyExistsError, PreconditionError)
logger = logging.getLogger(__name__)
_ours: "list[Lease | Followed]" = []


class Lease:
    """What a holder knows of his lock. ``machine`` is one that lets no two processes of its own ask for it at once."""

    def __init__(self, system: S3Store, key: str, machine: str, what: str) -> None:
        self._system, self._key, self.machine, self._what = system, key, machine, what
        self._own = secrets.token_hex(8)
        self._beats = 0
        self._tag: str | None = None
        self._renewed = 0.0
        self._renewing = threading.Lock()

    def take(self) -> None:
        """Wait until it is free, and take it."""
        seen, since, announced = "", 0.0, False
        while not self._write("create"):
            tag, holder = self._there()
            if tag != seen:
                seen, since = tag, time.monotonic()
            left = holder.get("machine") == self.machine  # by a process of ours that was killed
            free = left or bool(holder.get("free")) or time.monotonic() - since > LEASE_SECONDS
            if tag and free and self._write({"e_tag": tag}):
                return
            if tag and not free:
                if not announced:
                    logger.info("waiting for %s to be done with %s", holder.get("on", "another machine"), self._what)
                announced = True
                time.sleep(POLL_SECONDS)

    def renew(self) -> None:
        """Write it anew; a store that does not answer is asked again the next time."""
        try:
            with self._renewing:
                if self._tag and not self._write({"e_tag": self._tag}):
                    self._tag = None
        except BaseError as error:
            logger.warning("the turn of %s could not be renewed: %s", self._what, str(error)[:200])

    def check(self) -> None:
        """See that it is still ours; after a sleep, by writing it.

        Raises:
            StorageError: if another machine took it over, or may have.
        """
        if time.monotonic() - self._renewed > LEASE_SECONDS:
            self.renew()
        if self._tag is None or time.monotonic() - self._renewed > LEASE_SECONDS:
            raise StorageError(
                f"the turn of {self._what} was not renewed for {LEASE_SECONDS:g} s, as if this machine had slept or "
                "lost the object store, and another may have taken it. Nothing was changed; run the command again."
            )

    def holder(self) -> dict[str, Any]:
        """Return what the object says of its holder; nothing if there is none."""
        return self._there()[1]

    def give_back(self) -> None:
        """Let others have it at once; one who took it over keeps it, which deleting the object could not promise."""
        with contextlib.suppress(BaseError):  # they have it in its time
            if self._tag:
                self._write({"e_tag": self._tag}, free=True)

    def _write(self, mode: Any, *, free: bool = False) -> bool:
        """Put the object if the store has what ``mode`` says. Of ours it says so too, where an answer was lost."""
        begun, self._beats = time.monotonic(), self._beats + 1
        name = f"process {os.getpid()} on {os.uname().nodename}"
        said = {"machine": self.machine, "on": name, "own": self._own, "beat": self._beats, "free": free}
        try:
            tag = obstore.put(self._system, self._key, json.dumps(said).encode(), mode=mode)["e_tag"]
        except CHANGED:
            tag, holder = self._there()
            if holder.get("own") != self._own:
                return False
        self._tag, self._renewed = tag, begun
        return True

    def _there(self) -> tuple[str, dict[str, Any]]:
        """Return the tag of the object and what it says; nothing if there is none."""
        try:
            found = obstore.get(self._system, self._key)
            tag, content = found.meta["e_tag"] or "", bytes(found.bytes())
        except FileNotFoundError:  # obstore gives Python's own
            return "", {}
        said: Any = None
        with contextlib.suppress(ValueError):  # else nobody of ours wrote it; it is taken over in its time
            said = json.loads(content)
        return tag, said if isinstance(said, dict) else {}


class Followed:
    """A lock that another process of this machine holds and renews, for whom this one works."""

    def __init__(self, system: S3Store, key: str, machine: str, what: str) -> None:
        self.machine = machine
        self._lease, self._what = Lease(system, key, machine, what), what

    def check(self) -> None:
        """See that this machine still holds it.

        Raises:
            StorageError: if another one does, or none.
        """
        holder = self._lease.holder()
        if holder.get("machine") != self.machine or holder.get("free"):
            raise StorageError(
                f"the turn of {self._what} is not this machine's any more, as if it had slept or lost the object "
                "store. Nothing was changed; run the command again."
            )


def check_leases(machine: str) -> None:
    """See that all is still ours that this process holds as that machine.

    Raises:
        StorageError: if another machine took some of it over, or may have.
    """
    for lease in _ours:
        if lease.machine == machine:
            lease.check()


@contextlib.contextmanager
def held(system: S3Store, key: str, machine: str, what: str) -> Iterator[None]:
    """Wait until no other machine holds the lock ``key``, and hold it; ``what`` names it in the log."""
    lease, done = Lease(system, key, machine, what), threading.Event()

    def renewing() -> None:
        while not done.wait(RENEW_SECONDS):
            lease.renew()

    lease.take()
    thread = threading.Thread(target=renewing, name=f"turn of {what}", daemon=True)
    thread.start()
    _ours.append(lease)
    try:
        yield
    finally:
        _ours.remove(lease)
        done.set()
        thread.join()
        lease.give_back()


@contextlib.contextmanager
def followed(system: S3Store, key: str, machine: str, what: str) -> Iterator[None]:
    """Have ``check_leases`` see that this machine still holds the lock ``key``, which another process took."""
    lease = Followed(system, key, machine, what)
    _ours.append(lease)
    try:
        yield
    finally:
        _ours.remove(lease)
