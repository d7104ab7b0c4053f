"""Simulated nights on the sample store: `python -m endurance.soak --nights 30`.

Each night the source changes and `mmsra refresh --nightly` runs. On some it is killed -9 at random instants, finds the
disk full, or has a second one beside it; some are quiet, some follow on a missed week. Every night somebody has the
catalog open and queries it. Then all tables must be those of a run from nothing with the same adapters, nothing may
have been computed that need not be, and nothing half-written may lie about. Exit code 1 otherwise.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from endurance.afresh import compared, differences, first_rows, take_trained
from endurance.counting import counted
from endurance.disk import Disk, small_disk
from endurance.expectation import Expectation, State
from endurance.installation import SETTINGS, Done, Installation
from endurance.reader import Reader
from endurance.saying import say
from endurance.soundness import held_slots, lost, temporary_files, torn, versions
from endurance.source import Source
from tiny import tiny_fastvlm

from mmsra_pipeline.config.tree import BackboneConfig, Config
from mmsra_pipeline.sample_store.shop import Size
from mmsra_pipeline.storage.catalog import CATALOG

NAME = "shop"
NIGHTLY = ("refresh", "--dataset", NAME, "--nightly", "--json")
KINDS = ("kill", "full disk", "two at once", "plain", "quiet", "kill", "missed week")
BUSY = "another refresh is at work"
MOST_KILLS = 3  # in a night
MOST_LEFT = 400_000  # bytes on a full disk


class Soak:
    """Nights, and what came of them."""

    def __init__(self, folder: Path, disk: Disk, size: Size, seed: int) -> None:
        self.tally: Counter[str] = Counter(
            dict.fromkeys(("nights", "kills", "full disks", "refused beside another"), 0)
        )
        self._random = random.Random(seed)
        self._folder = folder
        self._disk = disk
        self._model = tiny_fastvlm(folder / "model")
        self._source = Source(folder / "source", size, seed)
        self._lived = self._installed(disk.folder / "lived")
        self._whole: dict[str, str] = {}
        self._tries = 0
        self._materialized: list[str] = []
        self._seconds = 0.0

    def begin(self) -> None:
        """Train and make all once, undisturbed."""
        done = self._lived.run("refresh", "--dataset", NAME, "--json")
        if done.code != 0:
            raise SystemExit(f"the first refresh failed:\n{done.err[-3000:]}")
        self._seconds = done.seconds / 2  # a guess, until a night has been measured
        self._expectation = Expectation(self._source, SETTINGS["summarization"]["draft_items"], Config().seed)
        say(f"first refresh: {done.seconds:.0f} s; a full disk is {self._disk.kind}")

    def live(self, nights: int) -> None:
        """Let so many nights pass."""
        for night in range(nights):
            self._night(KINDS[night] if night < len(KINDS) else self._random.choice(KINDS))

    def _night(self, kind: str) -> None:
        self.tally["nights"] += 1
        days = {"quiet": 0, "missed week": 7}.get(kind, 1)
        changed = "; ".join(self._source.change() for _ in range(days)) or "nothing"
        seen, before = versions(self._lived.root), counted(self._lived.counts)
        self._tries, self._materialized = 0, []
        reader, start = Reader(self._lived.data / CATALOG), time.monotonic()
        {"kill": self._killed, "full disk": self._starved, "two at once": self._doubled}.get(kind, self._undisturbed)()
        seconds = time.monotonic() - start
        rounds, trouble = reader.end()
        self._note("reader failed", [trouble] if trouble else [])
        did = counted(self._lived.counts) - before
        now, batch = State.of(self._source), BackboneConfig().batch_size
        found = self._expectation.judge(now, did, self._materialized, tries=self._tries, batch=batch)
        self._note("computed in vain, or not", found)
        self._note("lost", lost(seen, self._lived.root))
        again = self._lived.start(*NIGHTLY).end()
        self._note("computed again", again.materialized() if again.code == 0 else [again.err[-3000:]])
        done = ", ".join(f"{number} {what}" for what, number in did.items()) or "no costly step"
        say(f"night {self.tally['nights']}, {kind}: {changed}. {len(set(self._materialized))} assets, {done}, "
            f"{self._tries} tries, {rounds} rounds of the reader, {seconds:.0f} s")  # fmt: skip

    def _undisturbed(self) -> None:
        done = self._lived.start(*NIGHTLY).end()
        self._seconds = done.seconds
        self._ended(done)

    def _killed(self) -> None:
        for _ in range(self._random.randint(1, MOST_KILLS)):
            running = self._lived.start(*NIGHTLY)
            if not running.wait(self._random.uniform(0, self._seconds)):
                running.kill()
            done = running.end()
            if not done.killed:
                self._ended(done)
                return
            self.tally["kills"] += 1
            self._tries += 1
            self._note("torn", torn(self._lived.root, self._whole))
        self._ended(self._lived.start(*NIGHTLY).end())

    def _starved(self) -> None:
        left = self._random.randrange(MOST_LEFT)
        with self._disk.full_but_for(left) as limits:
            done = self._lived.start(*NIGHTLY, limits=limits).end()
        if done.code == 0:
            say(f"  {left} bytes were enough")
            self._ended(done)
            return
        self.tally["full disks"] += 1
        self._tries += 1
        lines = [line for line in done.err.splitlines() if line.strip()] or ["nothing was said"]
        say(f"  with {left} bytes left, exit code {done.code}: {lines[-1][:300]}")
        self._note("torn", torn(self._lived.root, self._whole))
        self._ended(self._lived.start(*NIGHTLY).end())

    def _doubled(self) -> None:
        first = self._lived.start(*NIGHTLY)
        first.wait(self._random.uniform(0, self._seconds / 2))
        second = self._lived.start(*NIGHTLY)
        ends = [first.end(), second.end()]
        refused = [done for done in ends if done.code == 1 and BUSY in done.err]
        self.tally["refused beside another"] += len(refused)
        for done in ends:
            if len(refused) == len(ends) or done not in refused:
                self._ended(done)
        self._tries = 1

    def _ended(self, done: Done) -> None:
        """Take note of a refresh that must have ended well."""
        self._tries += 1
        self._note("failed", [] if done.code == 0 else [f"exit code {done.code}: {done.err[-3000:]}"])
        self._note("torn", torn(self._lived.root, self._whole))
        self._materialized += done.materialized() if done.code == 0 else []

    def finish(self) -> None:
        """Compare with a root made from nothing, and look at what lies about."""
        fresh = self._installed(self._folder / "fresh")
        take_trained(self._lived, fresh, NAME)
        done = fresh.run(*NIGHTLY)
        self._note("failed", [] if done.code == 0 else [f"from nothing: {done.err[-3000:]}"])
        found = differences(compared(self._lived.root, NAME), compared(fresh.root, NAME))
        for text in found:
            self._note("different", [f"{text}; {first_rows(text.split(' ')[0], self._lived.root, fresh.root)}"])
        swept = self._lived.run("gc", "--json")
        self._note("left", [] if swept.code == 0 else [f"gc failed: {swept.err[-500:]}"])
        self._note("left", [str(path) for path in temporary_files(self._lived.root)])
        self._note("left", held_slots(self._lived.root))
        say(f"{len(compared(fresh.root, NAME))} slices and artifacts compared with a run from nothing")

    def _note(self, what: str, found: list[str]) -> None:
        for text in found:
            self.tally[what.upper()] += 1
            say(f"{what.upper()}: {text}")

    def _installed(self, root: Path) -> Installation:
        installation = Installation(root, self._model, self._folder / f"{root.name}-logs")
        source = str(self._source.folder)
        done = installation.run("dataset", "add", NAME, "--format", "tables", "--path", source)
        if done.code != 0:
            raise SystemExit(done.err)
        return installation


def soak(folder: Path, nights: int, size: Size, seed: int) -> Counter[str]:
    """Do it below ``folder`` and give what was counted; what went wrong is in capital letters."""
    start = time.monotonic()
    with small_disk(folder / "disk") as disk:
        soaking = Soak(folder, disk, size, seed)
        soaking.begin()
        soaking.live(nights)
        soaking.finish()
    counts = ", ".join(f"{name} {number}" for name, number in soaking.tally.items())
    say(f"{counts}; {time.monotonic() - start:.0f} s, seed {seed}")
    return soaking.tally


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--size", choices=["tiny", "small"], default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, help="an empty folder, which is kept; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tally = soak(options.root or Path(scratch), options.nights, options.size, options.seed)
    if any(what.isupper() for what in tally):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
