"""Slow and many clients: what one process takes on, with seconds made short (ASVS 15.2.2)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from doorward.server.protocol import Bounds, GuardedHttp

pytestmark = pytest.mark.slow

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
seen: list[Message] = []


async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read all, then say ok."""
    seen.clear()
    while True:
        seen.append(message := await receive())
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def answer_early(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer without reading."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def listening(app: App, bounds: Bounds, keep_alive_seconds: int = 5) -> AsyncIterator[socket.socket]:
    config = uvicorn.Config(
        app, http=GuardedHttp, ws="none", lifespan="off", interface="asgi3", log_config=None,
        timeout_keep_alive=keep_alive_seconds,
    )  # fmt: skip
    config.load()
    state = ServerState()
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: GuardedHttp(config, state, {}, bounds), sock=listener)
    yield listener
    server.close()
    for connection in list(state.connections):
        connection.shutdown()
    await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(app: App, bounds: Bounds) -> AsyncIterator[Connect]:
    opened: list[asyncio.StreamWriter] = []
    async with listening(app, bounds) as listener:

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            opened.append(writer)
            return reader, writer

        yield connect
        for writer in opened:
            writer.close()


SHORT = Bounds(connections=100, head_seconds=0.2, body_seconds=0.4)


@pytest.mark.asvs("15.2.2")
async def test_a_client_that_does_not_finish_its_head_is_told_and_let_go() -> None:
    async with serving(answer, SHORT) as connect, asyncio.timeout(5):
        reader, writer = await connect()
        writer.write(b"GET / HT")
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_feeds_its_head_drop_by_drop_gains_no_time() -> None:
    async with serving(answer, SHORT) as connect, asyncio.timeout(5):
        reader, writer = await connect()
        started = asyncio.get_running_loop().time()
        answered = asyncio.ensure_future(reader.read())
        for byte in b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 100:
            if answered.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert (await answered).startswith(b"HTTP/1.1 408 ")
        assert asyncio.get_running_loop().time() - started < 1


async def test_a_client_that_says_nothing_is_let_go_without_a_word() -> None:
    async with serving(answer, SHORT) as connect, asyncio.timeout(5):
        reader, _ = await connect()
        assert await reader.read() == b""


async def test_a_client_that_does_not_finish_its_body_is_told_and_the_application_hears_of_it() -> None:
    async with serving(answer, SHORT) as connect, asyncio.timeout(5):
        reader, writer = await connect()
        writer.write(HEAD + b"12")
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        await asyncio.sleep(0.05)
        assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]


async def test_a_body_may_take_longer_than_a_head() -> None:
    async with serving(answer, replace(SHORT, body_seconds=5)) as connect, asyncio.timeout(5):
        reader, writer = await connect()
        writer.write(HEAD)
        await asyncio.sleep(0.3)
        writer.write(b"12345")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_was_answered_before_its_body_ended_is_let_go_without_a_second_answer() -> None:
    async with serving(answer_early, SHORT) as connect, asyncio.timeout(5):
        reader, writer = await connect()
        writer.write(HEAD)
        assert (await reader.read()).count(b"HTTP/1.1") == 1


async def test_a_connection_kept_alive_outlasts_the_time_for_one_request() -> None:
    async with serving(answer, SHORT) as connect, asyncio.timeout(5):
        reader, writer = await connect()
        for _ in range(3):
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.25)


async def test_when_all_places_are_taken_an_idle_connection_makes_room() -> None:
    async with serving(answer, Bounds(connections=1)) as connect, asyncio.timeout(5):
        idle, idle_writer = await connect()
        idle_writer.write(GET)
        await idle.readuntil(b"ok")
        newcomer, writer = await connect()
        writer.write(GET)
        assert (await newcomer.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        assert await idle.read() == b""


async def test_when_all_are_busy_a_newcomer_is_told_to_come_back() -> None:
    async with serving(answer, Bounds(connections=1)) as connect, asyncio.timeout(5):
        _, busy = await connect()
        busy.write(HEAD)
        await asyncio.sleep(0.05)
        newcomer, _ = await connect()
        refused = await newcomer.read()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in refused
        assert b"strict-transport-security" in refused


# Clients that ask and do not read --------------------------------------------------------------------------------


async def answer_at_length(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer more than any buffer holds."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % 2**25)]})
    for _ in range(2**9):
        await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def answer_40_kb(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer more than a small socket buffer holds, and less than makes the server wait before it goes on."""
    close = [(b"connection", b"close")] if scope["path"] == "/close" else []
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"40000"), *close]})
    await send({"type": "http.response.body", "body": b"x" * 40_000})


async def taken_late(app: App, request: bytes) -> int:
    """Send `request`, read nothing for a second, then all there is: how many bytes."""
    loop = asyncio.get_running_loop()
    bounds = Bounds(connections=100, unread_seconds=0.3)
    async with listening(app, bounds, keep_alive_seconds=0) as listener, asyncio.timeout(10):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(0)
            await loop.sock_connect(client, listener.getsockname())
            await loop.sock_sendall(client, request)
            await asyncio.sleep(1)
            return await _read_all(client)


async def _read_all(client: socket.socket) -> int:
    size = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := await asyncio.get_running_loop().sock_recv(client, 2**16):
            size += len(chunk)
    return size


@pytest.mark.asvs("15.2.2")
async def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    assert await taken_late(answer_at_length, GET) < 2**20


@pytest.mark.parametrize("path", [b"/", b"/close"])
async def test_a_connection_that_is_to_be_closed_does_not_wait_for_ever_to_be_read(path: bytes) -> None:
    assert await taken_late(answer_40_kb, GET.replace(b"/", path, 1)) < 40_000


async def test_a_client_that_reads_slowly_but_reads_gets_everything() -> None:
    bounds = Bounds(connections=100, unread_seconds=1)
    async with serving(answer_at_length, bounds) as connect, asyncio.timeout(30):
        reader, writer = await connect()
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.2)
            await reader.readexactly(2**22)
