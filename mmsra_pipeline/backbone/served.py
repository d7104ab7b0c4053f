"""Answers of a model that a server generates: vLLM, or whatever speaks OpenAI's chat API.

The server must serve the very weights that this process would load. It says so by the model's name, which holds their
fingerprint (``served_name``); answers of other weights would be kept as if they were of these.
"""

import base64
import functools
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final

from PIL import Image

from mmsra_pipeline.backbone.completion import Asked, Form, cut
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.server import GenerationServer
from mmsra_pipeline.errors import MissingInputError, ServerError

ANSWER_BYTES: Final = 1 << 20
SAID_CHARS: Final = 200
PASSING: Final = {408, 409, 425, 429, 500, 502, 503, 504}


def served_name(backbone: Backbone) -> str:
    """Name under which a server must offer these weights."""
    return f"mmsra-{backbone.fingerprint}"


class ServedModel:
    """Generates as a ``Backbone`` does, by a server; greedily only.

    Arithmetic differs (precision, order of sums), so where two tokens are all but equally likely an answer may differ.
    """

    def __init__(self, server: GenerationServer, backbone: Backbone) -> None:
        """``backbone``: the weights that the server must have. They are not read here."""
        self.batch_size = server.requests * 4  # some are always under way, and what is done is kept soon
        self._server = server
        self._name = served_name(backbone)
        self.tokenizer = backbone.tokenizer
        self._plain = backbone.encoder.plain
        self._opener = urllib.request.build_opener(_NoRedirect)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        stop: str | None = "\n\n",
        form: Form | None = None,
        lines: Sequence[tuple[bool, bool]] | None = None,
        autocast: bool | None = None,
    ) -> list[str]:
        """Return the likeliest answer to each prompt; see ``Backbone.generate``.

        The server is given the form as a regular expression, which says less than the form itself, and may not heed it.
        An answer in a form that the limit of tokens ended loses what stands behind its last comma. ``autocast`` says
        nothing here: the server has its own arithmetic.

        Raises:
            MissingInputError: if the server does not serve these weights.
            ServerError: if it is not there, refuses, fails again and again, or answers what is no answer.
        """
        _ = self._checked
        del autocast
        if form is not None:
            Asked(max_new_tokens, form=form, lines=lines).check(prompts)
        patterns = [form.pattern(*inputs) for inputs in lines or ()] if form else [None] * len(prompts)
        asked = [
            self._request(prompt, max_new_tokens, stop, pattern)
            for prompt, pattern in zip(prompts, patterns, strict=True)
        ]
        with ThreadPoolExecutor(self._server.requests) as pool:
            answered = [
                _answer(reply, self._server.url)
                for reply in pool.map(functools.partial(self._ask_again, "chat/completions"), asked)
            ]
        return [cut(text.rpartition(",")[0] if form and ended == "length" else text, stop) for text, ended in answered]

    @cached_property
    def _checked(self) -> None:
        found = self._ask_again("models")
        entries = found.get("data") if isinstance(found, dict) else None
        names = [str(entry.get("id")) for entry in entries or [] if isinstance(entry, dict)]
        if self._name not in names:
            raise MissingInputError(
                f"summarization.server.url={self._server.url} serves {', '.join(names) or 'nothing'} and not "
                f"{self._name}, which are the weights of this dataset's summarizer. Write them with `mmsra backbone "
                "export`, serve them under that name, and refresh again; or unset summarization.server."
            )

    def _request(self, prompt: Prompt, max_new_tokens: int, stop: str | None, pattern: str | None) -> dict[str, Any]:
        if prompt.prefill:
            raise ValueError("a served model cannot be made to begin its answer with given words")
        return {
            "model": self._name,
            "messages": [{"role": "user", "content": [self._part(part) for part in prompt.parts]}],
            "max_tokens": max_new_tokens,
            "temperature": 0,
            "repetition_penalty": 1.0,  # not OpenAI's: else vLLM takes what the checkpoint names
            "stop": [stop] if stop else [],
            **({"structured_outputs": {"regex": pattern}} if pattern else {}),  # vLLM's, from 0.12 on
        }

    def _part(self, part: str | Image.Image) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": self._plain(part)}
        content = io.BytesIO()
        part.save(content, "PNG")
        address = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
        return {"type": "image_url", "image_url": {"url": address}}

    def _ask_again(self, path: str, content: dict[str, Any] | None = None) -> Any:
        """Return what is answered, at the latest to the last try."""
        wait = 1.0
        for last in [False] * (self._server.tries - 1) + [True]:
            try:
                return self._ask(path, content)
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise ServerError(
                        f"summarization.server.url={self._server.url} did not answer {self._server.tries} times, at "
                        f"last: {error}. Keywords that were written are kept. Start the server or correct the address, "
                        "and refresh again; or unset summarization.server: keywords are then written by this process."
                    ) from error
            time.sleep(wait)
            wait *= 2
        raise AssertionError("unreachable")

    def _ask(self, path: str, content: dict[str, Any] | None = None) -> Any:
        """Return the JSON that is answered. What may pass is an OSError."""
        headers = {"Content-Type": "application/json", "User-Agent": "mmsra_pipeline"}
        if self._server.key_variable:
            headers["Authorization"] = f"Bearer {self._key()}"
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self._server.url.rstrip('/')}/{path}", body, headers)
        try:
            with self._opener.open(request, timeout=self._server.timeout_seconds) as answer:
                raw = answer.read(ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            if error.code in PASSING:
                raise
            said = error.read(SAID_CHARS).decode(errors="replace").strip()
            raise ServerError(f"{self._server.url}/{path} refused with {error.code}: {said or error.reason}") from error
        try:
            return json.loads(raw)
        except ValueError as error:
            raise ServerError(f"{self._server.url}/{path} answered no JSON: {raw[:SAID_CHARS]!r}") from error

    def _key(self) -> str:
        key = os.environ.get(self._server.key_variable)
        if not key:
            raise MissingInputError(
                f"the environment variable {self._server.key_variable}, which summarization.server.key_variable names, "
                "is not set. Set it to the server's key."
            )
        return key


def _answer(reply: Any, url: str) -> tuple[str, str | None]:
    """Return what was said, and why it ended there."""
    ended = None
    try:
        content = reply["choices"][0]["message"]["content"]
        ended = reply["choices"][0].get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        content = reply
    if not isinstance(content, str):
        raise ServerError(f"{url} answered without a message: {json.dumps(reply)[:SAID_CHARS]}")
    return content, ended


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key and pictures go to the address that the settings name, nowhere else."""

    def redirect_request(self, *_args: Any) -> None:
        """Follow none."""
