"""Keeps the user and password of a URI out of what is shown, logged and raised."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from mmsra_pipeline.errors import TrackingError

HIDDEN: Final = "***"
LOCAL: Final = ("sqlite:", "file:")
"""Schemes of URIs that are paths, in which an @ is just a letter. They hold no credentials."""
SHORTEST: Final = 6  # a shorter password would be found in words that are none
PARTS: Final = re.compile(r"^(?P<scheme>[\w.+-]+://)(?P<user>.*@)?(?P<rest>[^?]*)(?P<query>\?.*)?$", re.DOTALL)


def redacted(uri: str) -> str:
    """Return a URI without user, password and query, in which databases take passwords too.

    >>> redacted("https://ann:secret@mlflow.example/path"), redacted("postgresql://host/db?password=secret")
    ('https://***@mlflow.example/path', 'postgresql://host/db?***')
    >>> redacted("sqlite:////home/me@work/mlflow.db")
    'sqlite:////home/me@work/mlflow.db'
    """
    found = None if uri.startswith(LOCAL) else PARTS.match(uri)
    if found is None:
        return uri
    user, query = (HIDDEN if found[name] else "" for name in ("user", "query"))
    return f"{found['scheme']}{user}{'@' if user else ''}{found['rest']}{'?' if query else ''}{query}"


def without_user(uri: str) -> str:
    """Return a URI as a browser can open it, without user, password and query."""
    return redacted(uri).replace(f"{HIDDEN}@", "").removesuffix(f"?{HIDDEN}")


def cleaned(text: str, uri: str) -> str:
    """Return a text without what is secret of a URI."""
    text = text.replace(uri, redacted(uri))
    for secret in _secrets(uri):
        text = text.replace(secret, HIDDEN)
    return text


@contextlib.contextmanager
def hiding(uri: str) -> Iterator[None]:
    """Let errors pass, but for those that tell what is secret of a URI: their text is raised without it.

    Raises:
        TrackingError: in place of such an error, and without its causes, which may tell it as well.
    """
    try:
        yield
    except Exception as error:
        text = " ".join(f"{type(each).__name__}: {each} {each.args}" for each in _chain(error))
        if cleaned(text, uri) == text:
            raise
        message = cleaned(f"{type(error).__name__}: {error}", uri)
        raise TrackingError(f"the MLflow tracking server {redacted(uri)}: {message}") from None


class Guarded:
    """Passes calls on to a client of ``uri``, and hides what is secret of it in their errors."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client = client
        self._uri = uri

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._client, name)

        def call(*positional: Any, **named: Any) -> Any:
            with hiding(self._uri):
                return called(*positional, **named)

        return call


def _secrets(uri: str) -> list[str]:
    """What must not be said of a URI, the longest first."""
    found = None if uri.startswith(LOCAL) else PARTS.match(uri)
    if found is None:
        return []
    user, query = (found["user"] or "").removesuffix("@"), (found["query"] or "").removeprefix("?")
    password = user.partition(":")[2]
    values = [pair.partition("=")[2] for pair in query.split("&")]
    long_enough = [each for each in (password, *values) if len(each) >= SHORTEST]
    secrets = {each for each in (user, query, *long_enough) if each}
    return sorted(secrets | {unquote(each) for each in secrets}, key=len, reverse=True)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error with its causes."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
