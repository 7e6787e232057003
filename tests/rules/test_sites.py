"""Where we are and whose word about a sender counts, cookies, and log lines that strangers cause."""

import io
import json

import pytest

from doorward import log
from doorward.testing import MovableClock
from doorward.web.cookies import Cookies
from doorward.web.origins import Site
from doorward.web.seldom import Seldom
from tests.support.logs import restored_logging


@pytest.mark.parametrize(
    ("public_url", "url", "origin"),
    [
        ("https://ID.Example.org", "https://id.example.org", "https://id.example.org"),
        ("https://id.example.org:443", "https://id.example.org", "https://id.example.org"),
        ("http://id.example.org:80", "http://id.example.org", "http://id.example.org"),
        ("https://id.example.org:8443", "https://id.example.org:8443", "https://id.example.org:8443"),
        ("https://[2001:DB8::1]:443", "https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(public_url: str, url: str, origin: str) -> None:
    """RFC 6454 §6.2: else every form is refused, for its Origin would not be ours."""
    site = Site.at(public_url)
    assert site.public_url == url
    assert site.origins == {origin}


@pytest.mark.asvs("4.1.3")
def test_a_proxy_on_a_dual_stack_socket_is_still_the_proxy() -> None:
    site = Site.at("https://id.example.org", ("10.0.0.0/8",))
    assert site.client_address("::ffff:10.1.2.3", "203.0.113.9") == "203.0.113.9"
    assert site.client_address("::ffff:192.0.2.1", "203.0.113.9") == "::ffff:192.0.2.1"


def test_a_cookie_sent_twice_is_none() -> None:
    cookies = Cookies(secure=True)
    assert cookies.read("a=1; b=2; a=3") == {"b": "2"}
    assert cookies.read("a=1; b=2") == {"a": "1", "b": "2"}


def test_what_strangers_cause_is_logged_once_a_minute_with_its_sum(clock: MovableClock) -> None:
    with restored_logging():
        stream = io.StringIO()
        log.configure(form="json", stream=stream)
        seldom = Seldom("csp_violation", clock)
        for _ in range(5):
            seldom.warn(directive="script-src")
        clock.advance(60)
        seldom.warn(directive="script-src")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["times"] for line in lines] == [1, 5]
