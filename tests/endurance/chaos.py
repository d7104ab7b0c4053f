"""Kills -9 at random instants over full runs of the tiny sample store: `python -m endurance.chaos --kills 200`.

A run is killed and started again until one gets to its end; then the root is emptied and all begins anew. After each
kill every slice, artifact and the catalog are read; each run that gets to its end is compared with a run that nobody
disturbed. Exit code 1 if anything was torn or lost, or a run did not end well.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from endurance.afresh import compared, differences
from endurance.installation import Done, Installation
from endurance.saying import say
from endurance.soundness import held_slots, lost, slice_bytes, temporary_files, torn, versions
from tiny import tiny_fastvlm

NAME = "shop"
PATIENCE = 1.1  # by which the longest time to a kill grows with each run that made nothing
REFRESH = ("refresh", "--dataset", NAME, "--json")


class Chaos:
    """Kills, and what came of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.tally: Counter[str] = Counter(kills=0, restarts=0, ends=0, torn=0, lost=0, different=0, failed=0, left=0)
        self._random = random.Random(seed)
        model = tiny_fastvlm(folder / "model")
        self._reference = self._added(Installation(folder / "reference", model, folder / "reference-logs"))
        self._shaken = self._added(Installation(folder / "shaken", model, folder / "shaken-logs"))
        self._expected: dict[str, str] = {}
        self._whole: dict[str, str] = {}
        self._longest = 0.0
        self._most_compared = 0

    def prepare(self) -> None:
        """Make the run that all others are compared with, cold, and measure a warm one."""
        done = self._reference.run(*REFRESH)
        if done.code != 0:
            raise SystemExit(f"the run to compare with failed:\n{done.err[-3000:]}")
        self._expected = compared(self._reference.root, NAME)
        self._whole = slice_bytes(self._reference.root)
        say(f"reference: {len(self._expected)} slices and artifacts in {done.seconds:.0f} s")
        warm = self._shaken.start(*REFRESH).end()
        self._judge_end(warm)
        self._longest = warm.seconds

    def shake(self, kills: int) -> None:
        """Start and kill until there were so many kills, at any instant of the time that a whole run takes."""
        again = False
        while self.tally["kills"] < kills:
            self.tally["restarts"] += again
            seen = versions(self._shaken.root)
            running = self._shaken.start(*REFRESH)
            instant = self._random.uniform(0, self._longest)
            if not running.wait(instant):
                running.kill()
            done = running.end()
            self._note("lost", lost(seen, self._shaken.root))
            if done.killed:
                self._judge_kill(instant)
            else:
                self._judge_end(done)
                if done.code == 0 and not again:  # others may take turns with the machine
                    self._longest = done.seconds
            again = done.killed

    def finish(self) -> None:
        """Run to the end once more, cold, and look at what lies about."""
        done = self._shaken.run(*REFRESH)
        self._judge_end(done, wipe=False)
        swept = self._shaken.run("gc", "--json")
        self._note("left", [] if swept.code == 0 else [f"gc failed: {swept.err[-500:]}"])
        self._note("left", map(str, temporary_files(self._shaken.root)))
        self._note("left", held_slots(self._shaken.root))

    def _judge_kill(self, instant: float) -> None:
        self.tally["kills"] += 1
        root = self._shaken.root
        self._note("torn", torn(root, self._whole))
        found = compared(root, NAME)
        self._note("different", differences(found, {place: self._expected.get(place, "") for place in found}))
        say(f"kill {self.tally['kills']} at {instant:.1f} s: {len(found)} of {len(self._expected)} are made")
        if len(found) <= self._most_compared:  # the machine has become slower: else no run might ever get on
            self._longest *= PATIENCE
        self._most_compared = len(found)

    def _judge_end(self, done: Done, *, wipe: bool = True) -> None:
        self.tally["ends"] += 1
        root = self._shaken.root
        self._note("failed", [] if done.code == 0 else [f"exit code {done.code}: {done.err[-3000:]}"])
        self._note("torn", torn(root, self._whole))
        self._note("different", differences(compared(root, NAME), self._expected))
        say(f"end {self.tally['ends']} after {done.seconds:.1f} s")
        if wipe:
            self._shaken.wipe()

    def _note(self, what: str, found: "list[str] | map[str]") -> None:
        for text in found:
            self.tally[what] += 1
            say(f"{what.upper()}: {text}")

    def _added(self, installation: Installation) -> Installation:
        done = installation.run("dataset", "add", NAME, "--format", "sample", "--option", "size=tiny")
        if done.code != 0:
            raise SystemExit(done.err)
        return installation


def chaos(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Do it below ``folder`` and give what was counted."""
    shaking = Chaos(folder, seed)
    start = time.monotonic()
    shaking.prepare()
    shaking.shake(kills)
    shaking.finish()
    counts = ", ".join(f"{name} {number}" for name, number in shaking.tally.items())
    say(f"{counts}; {time.monotonic() - start:.0f} s, seed {seed}")
    return shaking.tally


BAD = ("torn", "lost", "different", "failed", "left")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, help="an empty folder, which is kept; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tally = chaos(options.root or Path(scratch), options.kills, options.seed)
    if any(tally[what] for what in BAD):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
