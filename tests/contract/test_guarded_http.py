"""The guarded client against a real server: what it sends, what it takes, and what it says when it fails (C47)."""

import asyncio
import socket
import time
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from doorward.adapters.guarded_http import LONGEST_BODY, MOST_LOOK_UPS, GuardedHttp
from doorward.ports.outbound import OutboundFailed, OutboundRefused
from tests.support.elsewhere import LOOPBACK, Elsewhere, elsewhere, raw, reply

SECRET = "canary-9f2c61"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    async with elsewhere(tmp_path) as running:
        yield running


async def fails(outbound: GuardedHttp, url: str, headers: Mapping[str, str] | None = None) -> str:
    """The reason; that nothing secret is in the exception or what led to it is checked each time."""
    with pytest.raises(OutboundFailed) as caught:
        await outbound.request("POST", url, {"authorization": f"Bearer {SECRET}", **(headers or {})}, SECRET.encode())
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.reason


async def test_a_request_arrives_whole_and_its_answer_comes_back(server: Elsewhere) -> None:
    server.answer = reply(201, b'{"ok":true}', {"X-Answer": "yes"})
    answer = await server.outbound().request("POST", f"{server.url}/a/b?c=d%20e", {"X-Asked": "1"}, b"body")
    assert (answer.status, answer.body, answer.headers["x-answer"]) == (201, b'{"ok":true}', "yes")
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/a/b?c=d%20e", b"body")
    assert seen.headers == {
        "host": f"localhost:{server.port}",
        "x-asked": "1",
        "content-length": "4",
        "accept-encoding": "identity",
    }


async def test_what_it_may_need_to_show_shows_no_secret() -> None:
    assert SECRET not in repr(GuardedHttp(LOOPBACK))


@pytest.mark.asvs("12.3.2")
async def test_a_certificate_of_somebody_else_is_refused(server: Elsewhere) -> None:
    strangers = GuardedHttp(LOOPBACK, resolve=lambda _host, _port: ["127.0.0.1"])
    assert "certificate" in await fails(strangers, server.url)
    assert not server.seen


@pytest.mark.asvs("12.3.2")
async def test_a_certificate_for_another_name_is_refused(server: Elsewhere) -> None:
    assert "certificate" in await fails(server.outbound(), f"https://gateway.example:{server.port}/")
    assert "certificate" in await fails(server.outbound(), f"https://127.0.0.1:{server.port}/")
    assert not server.seen


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(server: Elsewhere, status: int) -> None:
    server.answer = reply(status, headers={"location": f"{server.url}/elsewhere"})
    assert (await server.outbound().request("GET", server.url, {})).status == status
    assert server.connections == 1


async def test_proxies_of_the_environment_are_not_asked(server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    async with elsewhere(None) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await server.outbound().request("GET", server.url, {})).status == 200
        assert not proxy.connections


async def test_an_answer_of_the_largest_size_is_read_and_a_larger_one_refused(server: Elsewhere) -> None:
    server.answer = reply(200, b"x" * LONGEST_BODY)
    assert len((await server.outbound().request("GET", server.url, {})).body) == LONGEST_BODY
    server.answer = reply(200, b"x" * (LONGEST_BODY + 1))
    assert await fails(server.outbound(), server.url) == "the answer is too large"


async def test_an_answer_stays_as_it_was_packed(server: Elsewhere) -> None:
    packed = b"\x1f\x8b\x08\x00 not unpacked"
    server.answer = reply(200, packed, {"content-encoding": "gzip"})
    assert (await server.outbound().request("GET", server.url, {})).body == packed


BROKEN = {
    "nothing at all": raw(b""),
    "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    "another protocol": raw(b"220 mail.example ESMTP\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "an endless header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000),
    "a broken chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_answer_is_a_failure(server: Elsewhere, kind: str) -> None:
    server.answer = BROKEN[kind]
    assert await fails(server.outbound(), server.url) == "the connection broke off"


async def test_nobody_listening_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        outbound = GuardedHttp(LOOPBACK, resolve=lambda _host, _port: ["127.0.0.1"])
        reason = await fails(outbound, f"https://localhost:{taken.getsockname()[1]}/")
    assert reason == "no connection to that server"


async def test_the_next_address_is_tried_where_one_does_not_answer(server: Elsewhere) -> None:
    outbound = server.outbound(["127.0.0.2", "127.0.0.1"])  # the server listens on the second alone
    assert (await outbound.request("GET", server.url, {})).status == 200


async def test_a_name_without_an_address_is_a_failure(server: Elsewhere) -> None:
    assert await fails(server.outbound([]), server.url) == "the name of that server has no address"

    def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    assert "no address" in await fails(GuardedHttp(LOOPBACK, resolve=unknown), server.url)


async def test_the_time_is_up_however_the_other_side_wastes_it(server: Elsewhere) -> None:
    server.answer = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 100, pause_seconds=0.05)
    began = time.monotonic()
    assert await fails(server.outbound(seconds=0.5), server.url) == "no whole answer within 0.5 seconds"
    assert time.monotonic() - began < 1.5


async def test_a_name_server_that_hangs_costs_no_more_than_the_time_and_does_not_pile_up_threads(
    server: Elsewhere,
) -> None:
    looking = most = 0

    def slow(_host: str, _port: int) -> Sequence[str]:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        time.sleep(1)
        looking -= 1
        return ["127.0.0.1"]

    outbound = GuardedHttp(LOOPBACK, server.trusting, 0.3, slow)
    began = time.monotonic()
    reasons = await asyncio.gather(*(fails(outbound, server.url) for _ in range(3 * MOST_LOOK_UPS)))
    assert time.monotonic() - began < 1
    assert set(reasons) == {"no whole answer within 0.3 seconds"}
    assert most <= MOST_LOOK_UPS
    await asyncio.sleep(1)  # then the places are free again
    outbound.seconds, outbound.resolve = 5, lambda _host, _port: ["127.0.0.1"]
    assert (await outbound.request("GET", server.url, {})).status == 200


async def test_whoever_stops_waiting_hangs_up(server: Elsewhere) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def until_it_hangs_up(writer: asyncio.StreamWriter) -> None:
        asked.set()
        while not writer.is_closing():  # noqa: ASYNC110  a writer tells of its end in no other way
            await asyncio.sleep(0.01)
        hung_up.set()

    server.answer = until_it_hangs_up
    asking = asyncio.create_task(server.outbound().request("GET", server.url, {}))
    await asyncio.wait_for(asked.wait(), 5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(hung_up.wait(), 5)


@pytest.mark.parametrize(
    "value", [f"{SECRET}\r\nX-Smuggled: 1", f"{SECRET}\n", f"{SECRET}\x00", f"{SECRET}ä", f"{SECRET}😀"]
)
async def test_a_header_that_would_become_two_is_refused_without_a_word_about_it(server: Elsewhere, value: str) -> None:
    assert "header" in await fails(server.outbound(), server.url, {"x-given": value})
    assert not server.connections


@pytest.mark.parametrize("name", ["X Given", "X\r\nSmuggled", "", "X:", "ä"])
async def test_a_header_name_that_is_none_is_refused(server: Elsewhere, name: str) -> None:
    with pytest.raises(OutboundRefused):
        await server.outbound().request("GET", server.url, {name: "1"})
    assert not server.seen


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "connection", "Upgrade"])
async def test_how_a_message_is_framed_is_not_for_callers(server: Elsewhere, name: str) -> None:
    with pytest.raises(OutboundRefused):
        await server.outbound().request("GET", server.url, {name: "1"})
    assert not server.connections


async def test_plain_http_is_for_an_allowed_loopback_alone() -> None:
    async with elsewhere(None) as plain:
        assert (await plain.outbound().request("GET", plain.url, {})).status == 200
        with pytest.raises(OutboundRefused):
            await GuardedHttp().request("GET", plain.url, {})
        for name in ("gateway.example", "localhost"):  # the second only pretends to be this machine
            with pytest.raises(OutboundRefused):
                await plain.outbound(["8.8.8.8"]).request("GET", f"http://{name}:{plain.port}/", {})
        assert plain.connections == 1


async def test_many_requests_at_once_do_not_meet(server: Elsewhere) -> None:
    outbound = server.outbound()
    await asyncio.gather(*(outbound.request("POST", server.url, {}, str(n).encode()) for n in range(30)))
    assert sorted(int(seen.body) for seen in server.seen) == list(range(30))
