"""How ranks are started, watched and ended. What they compute together: tests/recommendation/test_ranks.py."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mmsra_pipeline.compute.ranks import _failed

TESTS = Path(__file__).parents[1]
STARTS = """
import sys
from pathlib import Path
from mmsra_pipeline.compute.ranks import run_ranks
run_ranks("compute.sleeping_rank", Path(sys.argv[1]), 2, lambda said: print(said["pid"], flush=True), "sleeping")
"""


@pytest.mark.slow
def test_ranks_end_with_the_process_that_started_them_even_if_it_is_killed(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        ranks = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        launcher = ranks[0].parent()
        assert launcher.parent().pid == parent.pid
        parent.kill()
    _, alive = psutil.wait_procs([*ranks, launcher], timeout=60)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def entry(rank, code):
    return f"  rank      : {rank} (local_rank: {rank})\n  exitcode  : {code} (pid: 77)\n"


def test_what_is_said_of_a_failure():
    assert _failed(entry(0, -15) + entry(1, -9), []) == "rank 1 was killed (signal 9)."
    assert _failed(entry(1, -9) + entry(0, 1), []) == "rank 1 was killed (signal 9)."
    raised = "[rank0]: RuntimeError: connection closed\n[rank1]: torch.OutOfMemoryError: 3 GiB\n"
    assert _failed(raised + entry(0, -15) + entry(1, 1), []) == (
        "rank 1 failed (exit code 1): torch.OutOfMemoryError: 3 GiB."
    )
    assert _failed(entry(1, 1), ["rank 0: no weights. Bring them."]) == "rank 0: no weights. Bring them."
    assert _failed("a\n\nb\n", []) == "the ranks could not be run: a | b."
