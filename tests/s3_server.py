"""An S3-compatible server on this machine, and what tests need of it beside the package's own access."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """Give the URL of a server that knows nothing yet."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def make_bucket(url: str, name: str) -> None:
    """Make a bucket. The server asks nobody for keys, unless it was told to."""
    ask(f"{url}/{name}", "PUT")


def ask(url: str, method: str, body: bytes | None = None) -> bytes:
    """Send a request and give the answer."""
    with urllib.request.urlopen(
        urllib.request.Request(url, data=body, headers={"Content-Type": "text/plain"}, method=method)
    ) as answer:
        content: bytes = answer.read()
    return content
