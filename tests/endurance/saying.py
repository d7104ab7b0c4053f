"""Progress on stdout, with the time, at once."""

import time
from datetime import datetime

START = time.monotonic()


def say(text: str) -> None:
    """Print a line."""
    print(f"{datetime.now():%H:%M:%S} {time.monotonic() - START:6.0f} s  {text}", flush=True)
