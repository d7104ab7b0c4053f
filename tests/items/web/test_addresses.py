import pytest

from mmsra_pipeline.items.web.addresses import RefusedAddressError, is_public, look_up, parse_url, public_addresses

PORTS = (80, 443)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://Pictures.Example/a.jpg", "http://pictures.example/a.jpg"),
        ("https://pictures.example", "https://pictures.example/"),
        ("https://pictures.example:443/a?b=c&d=%2B#top", "https://pictures.example/a?b=c&d=%2B"),
        ("http://pictures.example:443/", "http://pictures.example:443/"),
        ("https://pictures.example/I/41V%2B9+x._SL500_.jpg", "https://pictures.example/I/41V%2B9+x._SL500_.jpg"),
        ("http://pictures.example/a b/\u00e9.jpg", "http://pictures.example/a%20b/%C3%A9.jpg"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example/"),
        ("http://[2001:db8::1]/a", "http://[2001:db8::1]/a"),
        ("  http://pictures.example/  ", "http://pictures.example/"),
    ],
)
def test_a_url_is_read_as_a_browser_would(url, read):
    assert parse_url(url, ports=PORTS).url == read


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://pictures.example/a", "is not of http or https"),
        ("file:///etc/passwd", "is not of http or https"),
        ("//pictures.example/a", "is not of http or https"),
        ("http://me@pictures.example/", "names a user"),
        ("http://pictures.example\\@127.0.0.1/", "names a user"),
        ("http://pictures.example\\.evil.example/", "names no usable host"),
        ("http:///a", "names no host"),
        ("http://a..example/", "names no usable host"),
        (f"http://{'a' * 64}.example/", "names no usable host"),
        ("http://pictures.example:22/", "has port 22, which is not in items.fetch.ports"),
        ("http://pictures.example:99999/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://pictures.example/a\r\nX-Evil: 1", "has control characters"),
    ],
)
def test_a_url_that_is_not_read_is_refused_with_the_reason(url, reason):
    with pytest.raises(RefusedAddressError, match=reason):
        parse_url(url, ports=PORTS)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.0.8", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "fe80::1", "fe80::1%2", "fc00::1", "fec0::1",
        "ff02::1", "ff0e::1", "2001:db8::1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_its_network_or_a_special_use_are_not_public(address):
    assert not is_public(address)


def test_of_several_addresses_the_public_ones_are_taken():
    found = public_addresses("pictures.example", 80, lambda host, port: ["10.0.0.1", "8.8.8.8", "::1", "1.1.1.1"])
    assert found == ["8.8.8.8", "1.1.1.1"]


def test_a_host_without_a_public_address_is_refused_and_the_remedy_is_named():
    with pytest.raises(RefusedAddressError, match=r"inside\.example is at 10\.0\.0\.1, ::1, .*allow_private_addresses"):
        public_addresses("inside.example", 80, lambda host, port: ["10.0.0.1", "::1"])


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_all_spellings_of_loopback_are_looked_up_before_they_are_judged(host):
    assert set(look_up(host, 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(RefusedAddressError):
        public_addresses(host, 80)
