"""MMSRARec as a pipeline: from raw reviews to ranked, readable recommendations."""

import os

__version__ = "0.1.0"

# Read when torch is first imported, on Linux. How long a thread that waits spins before it sleeps: spinning on takes a
# busy core from those that work (scoring on two busy cores: 60 times as slow), sleeping at once doubles a step.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
