import pytest

from mmsra_pipeline.items.web.addresses import parse_url
from mmsra_pipeline.items.web.robots import Robots

HOST = "https://shop.test"


def address(target):
    return parse_url(HOST + target, ports=(443,))


@pytest.mark.parametrize(
    ("rules", "target", "allowed"),
    [
        ("Disallow: /*.gif$", "/a/b.gif", False),
        ("Disallow: /*.gif$", "/a/b.gif?size=1", True),
        ("Disallow: /*/private/", "/shop/private/a.png", False),
        ("Disallow: /*/private/", "/private/a.png", True),
        ("Disallow: /img\nAllow: /img/free", "/img/free/a.png", True),
        ("Disallow: /img\nAllow: /img/free", "/img/a.png", False),
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Disallow: /caf%C3%A9", "/café/a.png", False),
        ("Disallow:", "/a.png", True),
    ],
)
def test_the_longest_rule_that_fits_holds_and_signs_for_any_text_are_known(rules, target, allowed):
    robots = Robots(lambda _: f"User-agent: *\n{rules}\n")
    assert robots.allow(address(target)) is allowed


def test_rules_for_our_name_hold_in_place_of_those_for_all():
    robots = Robots(lambda _: "User-agent: *\nDisallow: /\n\nUser-agent: MMSRA-Pipeline\nCrawl-delay: 1.5\nAllow: /\n")
    assert robots.crawl_delay(address("/a.png")) == 0
    assert robots.allow(address("/a.png"))
    assert robots.crawl_delay(address("/a.png")) == 1.5


@pytest.mark.parametrize("delay", ["nan", "-1", "inf", "1e999", "soon"])
def test_a_crawl_delay_that_is_none_is_passed_over(delay):
    robots = Robots(lambda _: f"User-agent: *\nCrawl-delay: {delay}\n")
    assert robots.allow(address("/a.png"))
    assert robots.crawl_delay(address("/a.png")) == 0


def test_a_pattern_that_is_made_to_take_long_does_not():
    """Read as a regular expression this one would take years, and the test its time limit."""
    robots = Robots(lambda _: "User-agent: *\nDisallow: /" + "*a" * 40 + "*b\n")
    assert robots.allow(address("/" + "a" * 2000))


def test_no_robots_txt_allows_all():
    assert Robots(lambda _: None).allow(address("/a.png"))
