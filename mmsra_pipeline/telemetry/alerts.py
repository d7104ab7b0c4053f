"""Tells somebody that something failed: by a command, a webhook, or both."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Mapping
from typing import Any

from mmsra_pipeline.config.operation import AlertConfig


def send_alert(config: AlertConfig, message: Mapping[str, Any]) -> list[str]:
    """Hand ``message`` as JSON to all that is configured, and say what went wrong. Raises nothing for it.

    Args:
        config: whom to tell, and how long that may take.
        message: what to tell.

    Returns:
        One line for each command or webhook that failed; neither URL nor arguments, which may be secret.
    """
    content = json.dumps(message, default=str).encode()
    ways = ((config.command, _run), (config.webhook, _post))
    failures = [way(config, content) for target, way in ways if target]
    return [failure for failure in failures if failure]


def _run(config: AlertConfig, content: bytes) -> str | None:
    name = config.command[0]
    try:
        process = subprocess.Popen(
            config.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        return f"the alert command {name} could not be started: {error}"
    try:
        process.communicate(content, timeout=config.timeout_seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"the alert command {name} took longer than {config.timeout_seconds:g} s and was killed"
    return f"the alert command {name} ended with exit code {process.returncode}" if process.returncode else None


def _post(config: AlertConfig, content: bytes) -> str | None:
    request = urllib.request.Request(config.webhook, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=config.timeout_seconds):
            return None
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"the alert webhook failed: {error}"
