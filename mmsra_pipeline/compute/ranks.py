"""One training by several processes on this machine, which torch's launcher starts and watches.

A rank is `python -m MODULE FOLDER`; what it needs lies in the folder. What ranks say comes as lines of JSON on their
standard output; what libraries say goes into a file that an error quotes. The ranks end with this process, however it
ends: their standard input is a pipe from it, and a rank whose pipe is closed goes.
"""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mmsra_pipeline.errors import ComputeError

ENDING_SECONDS: Final = 40  # torch's launcher gives ranks 30
LOG: Final = "ranks.log"
TAIL_LINES: Final = 5
FAILED: Final = re.compile(r"rank\s*:\s*(\d+) \(local_rank: \d+\)\s*\n\s*exitcode\s*:\s*(-?\d+)")
logger = logging.getLogger(__name__)

Message = Mapping[str, Any]


def run_ranks(module: str, folder: Path, ranks: int, heard: Callable[[Message], None], what: str) -> None:
    """Run ranks to their end.

    Args:
        module: is run by each rank, with ``folder`` as its argument.
        folder: holds what they need, and gets their log.
        ranks: how many.
        heard: is given what ranks say (``say``).
        what: name of the work in messages.

    Raises:
        ComputeError: if a rank fails or is killed, which ends the others.
    """
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "--max-restarts=0",
        "--module", module, str(folder),
    ]  # fmt: skip
    environment = dict(os.environ)
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else it asks for the address of the machine's name
    errors: list[str] = []
    with (folder / LOG).open("wb") as log:
        launched = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True
        )
        try:
            for message in _messages(launched):
                if "error" in message:
                    errors.append(f"rank {message['rank']}: {message['error']}")
                else:
                    heard(message)
            code = launched.wait()
        finally:
            _end(launched)
    if code:
        raise ComputeError(
            f"{what}: {_failed((folder / LOG).read_text(errors='replace'), errors)} The training goes on from its last "
            f"checkpoint when it is run again. What the {ranks} ranks said is in {folder / LOG}; with "
            "compute.training_ranks: 1 the error shows where it happens."
        )


def say(message: Message) -> None:
    """Say something to who started the ranks; for a rank to call."""
    sys.stdout.write(json.dumps(dict(message)) + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """See to it that this rank ends when the process that started the ranks has gone."""

    def watch() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock a waiting reader holds when the interpreter ends
            pass
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def _messages(launched: "subprocess.Popen[bytes]") -> Iterator[Message]:
    assert launched.stdout is not None
    for line in launched.stdout:
        try:
            message = json.loads(line)
        except ValueError:  # a library's
            message = None
        if isinstance(message, dict):
            yield message
        else:
            logger.debug("ranks: %s", line.decode(errors="replace").rstrip())


def _end(launched: "subprocess.Popen[bytes]") -> None:
    """End the ranks if they run still."""
    for pipe in (launched.stdin, launched.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if launched.poll() is None:
        launched.terminate()
        try:
            launched.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            launched.kill()
            launched.wait()


def _failed(log: str, errors: list[str]) -> str:
    """Say which rank failed, and how."""
    if errors:
        return errors[0]
    found = [(int(rank), int(code)) for rank, code in FAILED.findall(log)]
    if not found:
        said = " | ".join([line.strip() for line in log.splitlines() if line.strip()][-TAIL_LINES:])
        return f"the ranks could not be run: {said}."
    # The launcher names the first failure last, and ends the other ranks by SIGTERM; those that a killed one leaves
    # alone may fail before it looks.
    rank, code = next((one for one in found if one[1] < 0 and one[1] != -signal.SIGTERM), found[-1])
    if code < 0:
        return f"rank {rank} was killed (signal {-code})."
    raised = re.findall(rf"^(?:\[rank{rank}\]: )?(\w+(?:\.\w+)*(?:Error|Exception)\b.*)$", log, re.MULTILINE)
    return f"rank {rank} failed (exit code {code})" + (f": {raised[0]}." if raised else ".")
