"""What needs a server that speaks TLS, and the parts of an answer's reading that pictures do not show."""

import datetime
import email.utils
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from items.web.picture_server import HOST, PictureServer, png, resolve

from mmsra_pipeline.config.tree import FetchConfig
from mmsra_pipeline.items.web.connections import deadline
from mmsra_pipeline.items.web.downloads import Downloader
from mmsra_pipeline.items.web.http_client import LastingError, PassingFetchError, asked_wait


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for ``HOST`` with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(certificate, monkeypatch):
    """A server that speaks TLS; its certificate is trusted, and the names that clients ask for are noted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = PictureServer()
    server.names = []
    context.sni_callback = lambda connection, name, _: server.names.append(name)
    server.wrap(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with server.running():
        yield server


@pytest.fixture
def plain():
    with PictureServer().running() as server:
        yield server


def download(url, *servers, **settings):
    ports = [server.port for server in servers]
    downloader = Downloader(FetchConfig(ports=ports, respect_robots=False, **settings), resolve)
    try:
        return downloader.get(url, None)
    finally:
        downloader.close()


def secure_url(server, path, host=HOST):
    return server.url(path, host).replace("http:", "https:")


def test_the_name_that_tls_checks_stays_the_host_and_not_its_address(secure):
    assert download(secure_url(secure, "good.png"), secure).content == png()
    assert secure.names == [HOST]
    with pytest.raises(PassingFetchError, match="certificate verify failed"):
        download(secure_url(secure, "good.png", f"other.{HOST}"), secure)


def test_a_redirect_may_lead_to_https_and_not_back_to_http(secure, plain):
    secure.routes["/down.png"] = lambda handler: handler.answer(302, Location=plain.url("good.png"))
    plain.routes["/up.png"] = lambda handler: handler.answer(302, Location=secure_url(secure, "good.png"))
    with pytest.raises(LastingError, match="leads from https back to http"):
        download(secure_url(secure, "down.png"), secure, plain)
    assert plain.asked == []
    assert download(plain.url("up.png"), secure, plain).content == png()


def test_a_server_that_says_nothing_is_waited_for_as_long_as_set(plain):
    began = time.monotonic()
    with pytest.raises(PassingFetchError, match="did not answer in time"):
        download(plain.url("silent.png"), plain, read_seconds=0.2)
    assert time.monotonic() - began < 5


def test_a_name_server_that_says_nothing_is_waited_for_as_long_as_set(plain):
    downloader = Downloader(FetchConfig(connect_seconds=0.2), lambda host, port: time.sleep(3) or [])
    began = time.monotonic()
    with pytest.raises(PassingFetchError, match="did not answer in time"), deadline(30):
        downloader.get("http://pictures.example/", None)
    downloader.close()
    assert time.monotonic() - began < 2


def test_an_unknown_name_may_be_known_later():
    with pytest.raises(PassingFetchError, match=r"no address of no-such\.invalid"):
        Downloader(FetchConfig(connect_seconds=30), resolve).get("http://no-such.invalid/", None)


def test_a_second_address_of_a_host_is_tried_where_the_first_does_not_answer(plain):
    # 127.0.0.9 is this machine too, but nothing listens there.
    downloader = Downloader(FetchConfig(ports=[plain.port]), lambda host, port: ["127.0.0.9", "127.0.0.1"])
    assert downloader.get(plain.url("good.png"), None).content == png()


def test_a_connection_is_used_again_also_after_an_answer_without_picture(plain):
    connections = set()
    for path in ("/a.png", "/b.png", "/none.png"):
        status = 404 if "none" in path else 200
        plain.routes[path] = lambda handler, status=status: (
            connections.add(handler.client_address),
            handler.answer(status, png()),
        )
    downloader = Downloader(FetchConfig(ports=[plain.port]), resolve)
    with pytest.raises(LastingError, match="answered 404"):
        downloader.get(plain.url("none.png"), None)
    for path in ("a.png", "b.png"):
        assert downloader.get(plain.url(path), None).content == png()
    assert len(connections) == 1


def test_a_place_that_is_not_ascii_is_followed(plain):
    place = "/caf\u00e9.png".encode().decode("latin-1")
    plain.routes["/moved.png"] = lambda handler: handler.answer(302, Location=place)
    plain.routes["/caf%C3%A9.png"] = plain.routes["/good.png"]
    assert download(plain.url("moved.png"), plain).content == png()


def test_a_wait_may_be_asked_for_by_a_date():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    assert asked_wait({"retry-after": email.utils.format_datetime(soon)}) == pytest.approx(90, abs=3)
    assert asked_wait({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert asked_wait({"retry-after": "-5"}) is None
