"""Asking for leaked passwords by range: five digits leave, and without an answer nobody is kept from a password."""

import io
import re
import socket
from collections.abc import AsyncIterator
from hashlib import sha1
from pathlib import Path

import pytest

from doorward import log
from doorward.adapters.guarded_http import GuardedHttp
from doorward.adapters.pwned import SECONDS, PwnedPasswords
from tests.support.elsewhere import Elsewhere, elsewhere, raw, reply
from tests.support.logs import restored_logging

PASSWORD = "correct horse battery stäple"
DIGEST = sha1(PASSWORD.encode(), usedforsecurity=False).hexdigest().upper()
OTHERS = "\r\n".join(f"{number:035X}:{number + 1}" for number in range(800))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    async with elsewhere(tmp_path) as running:
        yield running


def ranged(count: object) -> bytes:
    """An answer in which the password has that count."""
    return f"{OTHERS}\r\n{DIGEST[5:]}:{count}\r\n{'F' * 35}:0".encode()


def check(server: Elsewhere, seconds: float = SECONDS) -> PwnedPasswords:
    return PwnedPasswords(server.outbound(seconds=seconds), f"{server.url}/range/")


@pytest.mark.asvs("6.2.12")
async def test_a_leaked_password_is_known_and_another_is_not(server: Elsewhere) -> None:
    server.answer = reply(200, ranged(7))
    assert await check(server).is_known(PASSWORD) is True
    assert await check(server).is_known(PASSWORD + "!") is False


async def test_five_digits_leave_and_the_answer_is_padded(server: Elsewhere) -> None:
    server.answer = reply(200, ranged(7))
    await check(server).is_known(PASSWORD)
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("GET", f"/range/{DIGEST[:5]}", b"")
    assert seen.headers["add-padding"] == "true"
    assert re.fullmatch(r"/range/[0-9A-F]{5}", seen.target)


async def test_padding_does_not_count(server: Elsewhere) -> None:
    server.answer = reply(200, ranged(0))
    assert await check(server).is_known(PASSWORD) is False


async def test_small_letters_and_bare_line_ends_are_read_too(server: Elsewhere) -> None:
    server.answer = reply(200, ranged(7).replace(b"\r\n", b"\n").lower())
    assert await check(server).is_known(PASSWORD) is True


async def test_a_password_with_half_a_character_is_no_failure(server: Elsewhere) -> None:
    server.answer = reply(200, ranged(7))
    assert await check(server).is_known("\ud800 and fifteen more") is False


NO_ANSWERS = {
    "an error": reply(503),
    "too many requests": reply(429),
    "a redirect": reply(302, headers={"location": "/login"}),
    "nothing found": reply(404),
    "an empty page": reply(200, b""),
    "a page of a proxy": reply(200, b"<html>Please sign in</html>"),
    "a count that is none": reply(200, ranged("many")),
    "a negative count": reply(200, ranged(-1)),
    "an endless count": reply(200, ranged("9" * 5_000)),
    "too much": reply(200, ranged(7) * 100),
    "a broken line": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + ranged(7)),
    "hanging up": raw(b""),
    "a slow drip": raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 50, pause_seconds=0.1),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
async def test_without_a_proper_answer_it_does_not_know(server: Elsewhere, kind: str) -> None:
    server.answer = NO_ANSWERS[kind]
    assert await check(server, seconds=0.5).is_known(PASSWORD) is None


async def test_where_nobody_listens_or_the_guard_says_no_it_does_not_know() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        guarded = GuardedHttp(resolve=lambda _host, _port: ["127.0.0.1"])
        assert await PwnedPasswords(guarded, f"https://localhost:{taken.getsockname()[1]}/").is_known(PASSWORD) is None


async def test_neither_password_nor_digest_gets_into_the_log(server: Elsewhere) -> None:
    written = io.StringIO()
    with restored_logging():
        log.configure(form="json", level="debug", stream=written)
        for answer in (reply(200, ranged(7)), reply(500, DIGEST.encode()), raw(b"")):
            server.answer = answer
            await check(server).is_known(PASSWORD)
    assert "breach_check_failed" in written.getvalue()
    assert not any(secret in written.getvalue() for secret in (PASSWORD, DIGEST, DIGEST[:5], DIGEST[5:]))
