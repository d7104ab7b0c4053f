"""A web server for tests, on loopback, with pictures that behave well, badly and viciously."""

import contextlib
import io
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from mmsra_pipeline.items.web.addresses import public_addresses

HOST = "pictures.test"  # what looks like a public name, and is at the test's server
ETAG = '"first"'


def png(colour: str = "red", size: tuple[int, int] = (40, 20)) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", size, colour).save(sink, "PNG")
    return sink.getvalue()


def bomb(side: int = 20_000) -> bytes:
    """A whole black-and-white PNG of side x side pixels in some 50 kB."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def resolve(host: str, port: int) -> list[str]:
    """The rules of the pipeline, but for one name, which no name server knows and which is at loopback."""
    return ["127.0.0.1"] if host == HOST or host.endswith(f".{HOST}") else list(public_addresses(host, port))


class PictureServer:
    """Serves what ``routes`` says, by path; notes what was asked."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.routes: dict[str, Callable[[Handler], None]] = dict(ROUTES)
        self.asked: list[str] = []
        self.times: dict[str, list[float]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        """Of the last request for a path."""
        self._lock = threading.Lock()
        self._http = _Server((address, port), Handler)
        self._http.owner = self
        self.port = self._http.server_address[1]

    def url(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}/{path}"

    def count(self, path: str) -> int:
        return self.asked.count(f"/{path}")

    def wrap(self, context) -> None:
        """Speak TLS."""
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    @contextlib.contextmanager
    def running(self) -> Iterator["PictureServer"]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()

    def note(self, handler: "Handler") -> None:
        with self._lock:
            self.asked.append(handler.path)
            self.times.setdefault(handler.path, []).append(time.monotonic())
            self.headers[handler.path] = {name.lower(): value for name, value in handler.headers.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    owner: PictureServer

    def handle_error(self, request, client_address):
        """Clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        owner = self.server.owner
        owner.note(self)
        owner.routes.get(self.path, lambda handler: handler.answer(404))(self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self, **headers: str) -> None:
        """Begin a picture of unknown length that ends with the connection."""
        self.send_response(200)
        for name, value in {"Content_Type": "image/png", "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True

    def times_before(self) -> int:
        """How often the path was asked for before this time."""
        return Counter(self.server.owner.asked)[self.path] - 1

    def log_message(self, *args):
        pass


def _versioned(handler: Handler) -> None:
    if handler.headers.get("If-None-Match") == ETAG:
        handler.answer(304, ETag=ETAG)
    else:
        handler.answer(200, png("green"), ETag=ETAG)


def _dated(handler: Handler) -> None:
    when = "Wed, 21 Oct 2015 07:28:00 GMT"
    if handler.headers.get("If-Modified-Since") == when:
        handler.answer(304)
    else:
        handler.answer(200, png("green"), Last_Modified=when)


def _trickling(handler: Handler) -> None:
    handler.begin()
    for byte in png():
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.1)


def _trickling_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(b"X-%d: x\r\n" % number)
        handler.wfile.flush()
        time.sleep(0.1)


def _silent(handler: Handler) -> None:
    time.sleep(20)


def _truncated(handler: Handler) -> None:
    handler.begin(Content_Length="5000")
    handler.wfile.write(png())


def _endless(handler: Handler) -> None:
    handler.begin()
    while True:
        handler.wfile.write(bytes(65_536))


def _large(handler: Handler) -> None:
    handler.begin(Content_Length="2000000000")
    while True:
        handler.wfile.write(bytes(65_536))


def _failing_once(handler: Handler) -> None:
    handler.answer(200, png()) if handler.times_before() else handler.answer(500, b"sorry")


def _busy_once(handler: Handler) -> None:
    handler.answer(200, png()) if handler.times_before() else handler.answer(429, Retry_After="1")


def _redirect(place: str, status: int = 302) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(
        status, Location=place.format(host=HOST, port=handler.server.owner.port, path=handler.path)
    )


ROUTES: dict[str, Callable[[Handler], None]] = {
    "/good.png": lambda handler: handler.answer(200, png(), Content_Type="image/png"),
    "/mislabelled.jpg": lambda handler: handler.answer(200, png("blue"), Content_Type="image/jpeg"),
    "/page.jpg": lambda handler: handler.answer(200, b"<!DOCTYPE html><p>Log in", Content_Type="image/jpeg"),
    "/drawing.svg": lambda handler: handler.answer(200, b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "/empty.png": lambda handler: handler.answer(200),
    "/bomb.png": lambda handler: handler.answer(200, bomb()),
    "/versioned.png": _versioned,
    "/dated.png": _dated,
    "/trickling.png": _trickling,
    "/trickling-headers.png": _trickling_headers,
    "/silent.png": _silent,
    "/truncated.png": _truncated,
    "/endless.png": _endless,
    "/large.png": _large,
    "/compressed.png": lambda handler: handler.answer(200, zlib.compress(png()), Content_Encoding="deflate"),
    "/failing.png": lambda handler: handler.answer(500),
    "/failing-once.png": _failing_once,
    "/busy-once.png": _busy_once,
    "/busy-for-long.png": lambda handler: handler.answer(429, Retry_After="3600"),
    "/forbidden.png": lambda handler: handler.answer(403),
    "/gone.png": lambda handler: handler.answer(410),
    "/moved.png": _redirect("/good.png", 301),
    "/to-loopback.png": _redirect("http://127.0.0.1:{port}/good.png"),
    "/to-localhost.png": _redirect("http://localhost:{port}/good.png"),
    "/to-mapped.png": _redirect("http://[::ffff:127.0.0.1]:{port}/good.png"),
    "/to-decimal.png": _redirect("http://2130706433:{port}/good.png"),
    "/to-file.png": _redirect("file:///etc/passwd"),
    "/to-user.png": _redirect("http://me:secret@{host}:{port}/good.png"),
    "/to-ssh.png": _redirect("http://{host}:22/"),
    "/loop.png": _redirect("{path}"),
    "/nowhere.png": lambda handler: handler.answer(302),
}
