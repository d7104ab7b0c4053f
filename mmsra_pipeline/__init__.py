"""MMSRARec as a pipeline: from raw reviews to ranked, readable recommendations."""

import os

__version__ = "0.1.0"

# Read when torch is first imported. Threads that spin while they wait take a shared core from those that work: with
# the default, scoring on two busy cores was measured 60 times as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
