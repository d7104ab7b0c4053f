"""How much memory this process took while something ran."""

import threading
import time
import weakref
from pathlib import Path
from typing import Final

GB: Final = 1e9
SAMPLE_SECONDS: Final = 0.2
PROC: Final = Path("/proc/self")


class PeakMemory:
    """The peak of the resident memory of this process since this object was made.

    The kernel keeps the peak and may be asked to forget it, which is exact and costs nothing. Where that is not
    permitted, a thread looks now and then, and misses what came and went between two looks.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._status = proc / "status"
        self._seen = 0
        self._exact = _forget_peak(proc / "clear_refs")
        if not self._exact:
            threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True).start()

    def gb(self) -> float:
        """Return the peak so far in GB; 0.0 where the system does not tell."""
        return (_read(self._status, "VmHWM") if self._exact else self.look()) / GB

    def look(self) -> int:
        """Take note of the memory that is taken now, and return the most that was seen, in bytes."""
        self._seen = max(self._seen, _read(self._status, "VmRSS"))
        return self._seen


def _forget_peak(file: Path) -> bool:
    """Set the kernel's peak (VmHWM) back to what is taken now; False where that is not permitted."""
    try:
        file.write_text("5")
    except OSError:
        return False
    return True


def _watch(observed: "weakref.ref[PeakMemory]") -> None:
    """Look until nobody holds the object any more."""
    while (peak := observed()) is not None:
        peak.look()
        del peak  # or it would be held while this thread sleeps
        time.sleep(SAMPLE_SECONDS)


def _read(status: Path, name: str) -> int:
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    kilobytes = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kilobytes[0]) * 1024 if kilobytes else 0
