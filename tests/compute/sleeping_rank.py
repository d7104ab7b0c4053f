"""A rank that says where it is, and sleeps."""

import os
import time

from mmsra_pipeline.compute.ranks import end_with_parent, say

if __name__ == "__main__":
    end_with_parent()
    say({"pid": os.getpid()})
    time.sleep(300)
