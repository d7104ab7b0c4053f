"""A server that speaks OpenAI's chat API as vLLM does, and answers with a real model."""

import base64
import contextlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.served import served_name
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.summarization.form import KeywordForm


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._asked(None)

    def do_POST(self):
        self._asked(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _asked(self, content):
        with self.server.lock:
            self.server.asked.append((self.path, content, self.headers.get("Authorization")))
            status, answer, *headers = self.server.answer(self.path, content)
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Serves a backbone; ``faults`` (status, content, headers) come first, one each, in place of answers to chats."""

    daemon_threads = True

    def __init__(self, backbone, name=None, faults=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.backbone, self.name, self.faults = backbone, name or served_name(backbone), list(faults)
        self.asked, self.lock = [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def answer(self, path, content):
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": self.name}]}
        if self.faults:
            return self.faults.pop(0)
        assert (path, content["model"]) == ("/v1/chat/completions", self.name)
        [turn] = content["messages"]
        prompt = Prompt(tuple(map(opened, turn["content"])))
        held = self.held(content.get("structured_outputs"), content["max_tokens"])
        text = self.backbone.generate([prompt], max_new_tokens=content["max_tokens"], stop=content["stop"][0], **held)[
            0
        ]
        return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}

    def held(self, asked, most):
        """Hold the answer to the form whose regular expression was sent: the same words as in the client's process."""
        if asked is None:
            return {}
        tokenizer = self.backbone.tokenizer
        form = KeywordForm(tokenizer, [tokenizer.eos_token_id], SummarizationConfig(max_new_tokens=most))
        combinations = [(image, text) for image in (True, False) for text in (True, False)]
        [lines] = [lines for lines in combinations if form.pattern(*lines) == asked["regex"]]
        return {"form": form, "lines": [lines]}


def opened(part):
    if part["type"] == "text":
        return part["text"]
    kind, content = part["image_url"]["url"].split(",", 1)
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@contextlib.contextmanager
def serving(*args, **settings):
    with Server(*args, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
