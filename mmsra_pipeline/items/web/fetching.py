"""Pictures by URL: which ones to ask for, fetched by many threads at once, kept one by one."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from mmsra_pipeline.config.tree import FetchConfig, ItemsConfig
from mmsra_pipeline.items.picture_store import (
    BROKEN,
    KIND,
    MISSING,
    OK,
    UNREACHABLE,
    Picture,
    form,
    is_stored,
    store_picture,
)
from mmsra_pipeline.items.web.addresses import RefusedAddressError, Resolver, look_up, parse_url, public_addresses
from mmsra_pipeline.items.web.connections import deadline
from mmsra_pipeline.items.web.downloads import Download, Downloader
from mmsra_pipeline.items.web.fetch_journal import Entry, FetchJournal, bring_journal, share_journal
from mmsra_pipeline.items.web.host_queue import HostQueue
from mmsra_pipeline.items.web.http_client import LastingError, PassingFetchError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.telemetry.progress import Progress

JOURNAL = "fetch_journal.sqlite"
DECODED_AT_ONCE = 2  # a large picture takes some hundred megabytes while it is decoded
LONGEST_BACKOFF = 60.0  # seconds
DAY = 86_400
OFF = "a URL, and items.fetch.enabled is off: set it to true to have pictures fetched from the web"
logger = logging.getLogger(__name__)


@dataclass
class _Job:
    url: str
    known: Entry | None
    """What a server is asked about: whether that is still so. None: it is asked for the picture."""
    kept: Picture | None
    """What stays if there is no answer."""
    tries: int = 0
    spent: float = 0.0
    """Seconds of the deadline that are used up."""


def fetch_pictures(
    urls: Iterable[str], artifacts: Artifacts, config: ItemsConfig, *, resolve: Resolver | None = None
) -> dict[str, Picture]:
    """Return what became of each picture, of those that are known without asking for them again.

    A picture that was fetched, and a refusal that will last, are asked about again after ``revalidate_days`` or under
    other settings; what may pass is asked for again in every run. Until there is an answer an earlier picture stays.

    Args:
        urls: of http or https.
        artifacts: keep the JPEGs and the journal.
        config: form of the stored pictures, and the rules of fetching.
        resolve: gives the addresses of a host that may be read. Unset: as the settings say.
    """
    settings = config.fetch
    distinct = list(dict.fromkeys(urls))
    path = artifacts.root / KIND / JOURNAL
    if distinct:
        bring_journal(path, artifacts.remote)
    if not distinct or not (settings.enabled or path.is_file()):
        return dict.fromkeys(distinct, Picture(None, MISSING, OFF))
    journal = FetchJournal(path)
    try:
        known = journal.read(distinct)
        valid = {url: entry for url, entry in known.items() if _is_valid(entry, artifacts, config)}
        if not settings.enabled:
            return {url: valid[url].picture if url in valid else Picture(None, MISSING, OFF) for url in distinct}
        fresh = {url: entry.picture for url, entry in valid.items() if _is_fresh(entry, settings)}
        jobs = [_job(url, valid.get(url)) for url in distinct if url not in fresh]
        logger.info("pictures by URL: %d known, %d to ask for", len(fresh), len(jobs))
        found = fresh | _Fetcher(journal, artifacts, config, resolve or _resolver(settings)).run(jobs)
    finally:
        journal.close()
    share_journal(path, artifacts.remote)
    return found


def _resolver(settings: FetchConfig) -> Resolver:
    return look_up if settings.allow_private_addresses else public_addresses


def _settings_key(status: str, config: ItemsConfig) -> str:
    """Name the settings that an outcome depends on: a stored picture only on those that shaped it."""
    settings = config.fetch
    if status == OK:
        return fingerprint(*form(config))
    rules = (settings.max_bytes, settings.ports, settings.allow_private_addresses, settings.respect_robots)
    return fingerprint(*form(config), *rules)


def _is_valid(entry: Entry, artifacts: Artifacts, config: ItemsConfig) -> bool:
    status = entry.picture.status
    usable = is_stored(entry.picture, artifacts) if status == OK else status != UNREACHABLE
    return usable and entry.settings_key == _settings_key(status, config)


def _is_fresh(entry: Entry, settings: FetchConfig) -> bool:
    return 0 <= time.time() - entry.checked_at < settings.revalidate_days * DAY


def _job(url: str, entry: Entry | None) -> _Job:
    kept = entry.picture if entry is not None and entry.picture.status == OK else None
    return _Job(url, entry if kept else None, kept)


class _Fetcher:
    """Fetches jobs by threads and writes each outcome into the journal at once."""

    def __init__(self, journal: FetchJournal, artifacts: Artifacts, config: ItemsConfig, resolve: Resolver) -> None:
        self._journal = journal
        self._artifacts = artifacts
        self._config = config
        self._settings = config.fetch
        self._downloader = Downloader(config.fetch, resolve)
        self._queue: HostQueue[_Job] = HostQueue(per_host=config.fetch.per_host, pause=config.fetch.pause_seconds)
        self._decoders = threading.Semaphore(DECODED_AT_ONCE)
        self._lock = threading.Lock()
        self._found: dict[str, Picture] = {}
        self._counts: Counter[str] = Counter()

    def run(self, jobs: Collection[_Job]) -> dict[str, Picture]:
        """Return what became of each job's picture."""
        self._progress = Progress("pictures by URL", len(jobs), "pictures")
        for job in jobs:
            self._admit(job)
        threads = max(min(self._settings.workers, len(jobs)), 1)
        try:
            with ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
                try:
                    for worker in as_completed([pool.submit(self._work) for _ in range(threads)]):
                        worker.result()
                finally:
                    self._queue.close()  # an error in one thread, or an interrupt, ends the others too
        finally:
            self._downloader.close()
        return self._found

    def _admit(self, job: _Job) -> None:
        try:
            self._queue.put(parse_url(job.url, ports=self._settings.ports).host, job)
        except RefusedAddressError as error:
            self._settle(job, Picture(None, BROKEN, str(error)))

    def _work(self) -> None:
        while (turn := self._queue.take()) is not None:
            host, job = turn
            try:
                entry = self._entry(host, job)
            except PassingFetchError as error:
                self._try_again(host, job, error)
            else:
                self._queue.count_answer(host)
                self._settle(job, entry.picture, entry)
                self._queue.finish(host)  # last, so that no more than per_host pictures wait to be written down

    def _entry(self, host: str, job: _Job) -> Entry:
        """Ask for a picture, decode it, store it."""
        job.tries += 1
        began = time.monotonic()
        validators = job.known.validators if job.known is not None else None
        try:
            with deadline(self._settings.deadline_seconds - job.spent):
                download = self._downloader.get(job.url, validators)
        except LastingError as error:
            return self._as_entry(job, Picture(None, MISSING if error.gone else BROKEN, str(error)))
        finally:
            job.spent += time.monotonic() - began
            pause = min(self._downloader.crawl_delay(job.url), self._settings.retry_after_seconds)
            self._queue.slow_down(host, pause)
        return self._as_entry(job, self._picture(job, download), download)

    def _picture(self, job: _Job, download: Download) -> Picture:
        if download.content is None:
            assert job.kept is not None  # only a stored picture is asked about
            return job.kept
        with self._decoders:
            return store_picture(download.content, self._artifacts, self._config)

    def _as_entry(self, job: _Job, picture: Picture, download: Download | None = None) -> Entry:
        key = _settings_key(picture.status, self._config)
        return Entry(job.url, picture, key, time.time(), job.tries, download.validators if download else None)

    def _try_again(self, host: str, job: _Job, error: PassingFetchError) -> None:
        """Put a job back, or give it up; give its whole host up if that fails all the time or wants a long rest."""
        settings = self._settings
        asked = error.retry_after or 0.0
        failures = self._queue.count_failure(host)
        if asked > settings.retry_after_seconds:
            self._leave_alone(host, f"{host} asked to wait {asked:.0f} s, longer than items.fetch.retry_after_seconds")
        elif failures >= settings.host_failures:
            self._leave_alone(host, f"{host} failed {failures} times in a row, the last time: {error}")
        left = settings.deadline_seconds - job.spent
        backoff = min(settings.backoff_seconds * 2 ** (job.tries - 1), LONGEST_BACKOFF) * random.uniform(0.5, 1.5)
        if job.tries < settings.tries and left > 0:
            if self._queue.again(host, job, max(asked, backoff), whole_host=asked > 0):
                return
        else:
            self._queue.finish(host)
        reason = f"{error} (try {job.tries} of {settings.tries}; the next run tries again)"
        picture = Picture(None, UNREACHABLE, reason)
        self._settle(job, picture, self._as_entry(job, picture))

    def _leave_alone(self, host: str, reason: str) -> None:
        for job in self._queue.leave_alone(host):
            self._settle(job, Picture(None, UNREACHABLE, f"not tried: {reason}"))

    def _settle(self, job: _Job, picture: Picture, entry: Entry | None = None) -> None:
        """Keep an outcome. What may pass takes no earlier picture away."""
        kept = job.kept if picture.status == UNREACHABLE else None
        if entry is not None and kept is None:
            self._journal.write(entry)
        with self._lock:
            self._found[job.url] = kept or picture
            self._counts[self._found[job.url].status] += 1
            self._progress.advance(note=", ".join(f"{name} {count}" for name, count in sorted(self._counts.items())))
