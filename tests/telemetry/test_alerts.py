import http.server
import json
import sys
import threading
import time

import pytest

from mmsra_pipeline.config.operation import AlertConfig
from mmsra_pipeline.storage.processes import lives
from mmsra_pipeline.telemetry.alerts import send_alert

MESSAGE = {"job": "catalog_refresh", "error": 'one "quoted" line\nand another'}


def program(tmp_path, code):
    file = tmp_path / "alert.py"
    file.write_text(code)
    return sys.executable, str(file)


@pytest.fixture
def server():
    """A server that keeps what is posted, and answers 500 under /broken and nothing for a while under /slow."""
    posted = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append((self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
            if self.path == "/slow":
                time.sleep(2)
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.posted = posted
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def url(server, path=""):
    return f"http://127.0.0.1:{server.server_port}/{path}"


def test_nobody_is_alerted_where_nobody_is_named():
    assert send_alert(AlertConfig(), MESSAGE) == []


def test_a_command_gets_the_message_on_stdin_and_its_arguments_as_they_are(tmp_path):
    code = "import sys, pathlib\npathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    kept = tmp_path / "a; touch b"  # a shell would make a file b
    assert send_alert(AlertConfig(command=(*program(tmp_path, code), str(kept))), MESSAGE) == []
    assert json.loads(kept.read_text()) == MESSAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a; touch b", "alert.py"]


def test_a_command_that_fails_or_is_not_there_is_said_and_not_raised(tmp_path):
    command = program(tmp_path, "raise SystemExit(3)")
    assert send_alert(AlertConfig(command=command), MESSAGE)[0].endswith("ended with exit code 3")
    assert "could not be started" in send_alert(AlertConfig(command=("no-such-program", "secret")), MESSAGE)[0]
    assert "secret" not in send_alert(AlertConfig(command=("no-such-program", "secret")), MESSAGE)[0]


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path):
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    noted = tmp_path / "pid"
    config = AlertConfig(command=(*program(tmp_path, code), str(noted)), timeout_seconds=3)
    begun = time.monotonic()
    assert "took longer than 3 s" in send_alert(config, MESSAGE)[0]
    assert time.monotonic() - begun < 30
    child = int(noted.read_text())
    while lives(child) and time.monotonic() - begun < 30:
        time.sleep(0.05)
    assert not lives(child)


def test_a_webhook_is_posted_json(server):
    assert send_alert(AlertConfig(webhook=url(server)), MESSAGE) == []
    [(kind, content)] = server.posted
    assert kind == "application/json"
    assert json.loads(content) == MESSAGE


def test_a_webhook_that_refuses_or_is_slow_or_gone_is_said_and_not_raised(server):
    assert "alert webhook failed: HTTP Error 500" in send_alert(AlertConfig(webhook=url(server, "broken")), MESSAGE)[0]
    assert "timed out" in send_alert(AlertConfig(webhook=url(server, "slow"), timeout_seconds=0.2), MESSAGE)[0]
    assert "alert webhook failed" in send_alert(AlertConfig(webhook="http://127.0.0.1:1/token"), MESSAGE)[0]
    assert "token" not in send_alert(AlertConfig(webhook="http://127.0.0.1:1/token"), MESSAGE)[0]


def test_the_command_is_tried_and_so_is_the_webhook(server, tmp_path):
    command = program(tmp_path, "raise SystemExit(3)")
    assert len(send_alert(AlertConfig(command=command, webhook=url(server)), MESSAGE)) == 1
    assert len(server.posted) == 1
