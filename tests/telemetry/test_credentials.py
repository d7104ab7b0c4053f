"""A tracking URI with user and password works, and neither is in links, logs or errors."""

import base64
import http.server
import json
import threading
import traceback
import types

import pytest

from mmsra_pipeline.errors import TrackingError
from mmsra_pipeline.telemetry import tracking
from mmsra_pipeline.telemetry.credentials import cleaned, hiding, redacted, without_user
from mmsra_pipeline.telemetry.tracking import annotate, mlflow_run, run_link, runs_before

PASSWORD = "s3cret+word"
RUN = {"run": {"info": {"run_id": "r1", "experiment_id": "7", "status": "FINISHED"}, "data": {}}}


@pytest.fixture
def server(monkeypatch):
    """The URI, with user and password, of a tracking server that knows one run, refuses all else, and who asks."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["Authorization"])
            known = "runs/get?" in self.path
            self._answer(200 if known else 500, RUN if known else {"error_code": "INTERNAL_ERROR", "message": "no"})

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._answer(500, {"error_code": "INTERNAL_ERROR", "message": "no"})

        def _answer(self, code, content):
            text = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://ann:{PASSWORD}@127.0.0.1:{running.server_port}", asked
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize(
    ("uri", "redacted_uri", "link"),
    [
        ("https://ann:s3cret@host/at", "https://***@host/at", "https://host/at"),
        ("https://ann:p@ss/w@rd@host", "https://***@host", "https://host"),
        ("https://token@host:80", "https://***@host:80", "https://host:80"),
        ("postgresql+psycopg2://ann:s3cret@host/db", "postgresql+psycopg2://***@host/db", "postgresql+psycopg2://host/db"),
        ("postgresql://host/db?user=ann&password=s3cret", "postgresql://host/db?***", "postgresql://host/db"),
        ("https://host/at", "https://host/at", "https://host/at"),
        ("sqlite:////home/a:b@c/mlflow.db", "sqlite:////home/a:b@c/mlflow.db", "sqlite:////home/a:b@c/mlflow.db"),
        ("mlruns", "mlruns", "mlruns"),
    ],
)  # fmt: skip
def test_a_uri_is_shown_without_user_password_and_query(uri, redacted_uri, link):
    assert (redacted(uri), without_user(uri)) == (redacted_uri, link)


def test_a_text_is_cleaned_of_the_uri_and_of_its_password_as_written_and_decoded():
    uri = "https://ann:s3cret%40word@host"
    message = f"{uri} refused ann:s3cret@word, password s3cret%40word"
    assert cleaned(message, uri) == "https://***@host refused ***, password ***"
    assert cleaned("a word", "https://ann:word@host") == "a word"  # too short to be told from a word


def test_an_error_that_tells_it_in_its_cause_is_raised_without_causes():
    uri = f"https://ann:{PASSWORD}@host"

    def ask():
        try:
            raise ConnectionError(f"{uri} does not answer")
        except ConnectionError as error:
            raise ValueError("it failed") from error

    with pytest.raises(TrackingError) as raised, hiding(uri), hiding(uri):
        ask()
    assert str(raised.value) == "the MLflow tracking server https://***@host: ValueError: it failed"
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError, match="bad"), hiding(f"https://ann:{PASSWORD}@host"):
        raise KeyError("bad")


def test_the_link_is_that_of_the_server_without_its_password(server):
    uri, asked = server
    plain = uri.replace(f"ann:{PASSWORD}@", "")
    assert run_link(f"{uri}/", "r1") == f"[r1]({plain}/#/experiments/7/runs/r1)"
    assert asked == ["Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()]


def test_the_link_of_a_store_that_is_no_server_says_how_to_serve_it(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with mlflow_run(uri, "summarizer", {}, tmp_path) as tracker:
        pass
    link = run_link(uri, tracker.run_id)
    assert link.startswith(f"[{tracker.run_id}](http://127.0.0.1:5000/#/experiments/1/runs/{tracker.run_id})")
    assert f"`mlflow ui --backend-store-uri {uri}`" in link


def test_the_command_that_serves_a_database_has_no_password(monkeypatch):
    info = types.SimpleNamespace(experiment_id="7")  # a database is not at hand here
    client = types.SimpleNamespace(get_run=lambda _run: types.SimpleNamespace(info=info))
    monkeypatch.setattr(tracking, "_client", lambda _uri: client)
    link = run_link(f"postgresql://ann:{PASSWORD}@host/db", "r1")
    assert link.endswith("`mlflow ui --backend-store-uri postgresql://***@host/db`.")
    assert PASSWORD not in link


def test_a_server_that_refuses_or_is_gone_is_said_without_its_password(server, tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    gone = f"http://ann:{PASSWORD}@127.0.0.1:1"

    def train(uri):
        with mlflow_run(uri, "summarizer", {}, tmp_path):
            pass

    ways = (
        train,
        lambda uri: runs_before(uri, 0.0),
        lambda uri: run_link(uri, "other") if uri == gone else runs_before(uri, 1.0),
        lambda uri: annotate(uri, "r1", metrics={"loss": 1.0}, tags={}, files=[]),
    )
    traces = []
    for uri in (server[0], gone):
        for way in ways:
            with pytest.raises(Exception) as raised:  # noqa: PT011  # of whatever kind it is
                way(uri)
            traces += traceback.format_exception(raised.value)
    printed = capfd.readouterr()
    assert "127.0.0.1" in "".join(traces)
    assert PASSWORD not in "".join([*traces, caplog.text, printed.out, printed.err])
