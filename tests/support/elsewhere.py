"""A server that is not ours, on the loopback: what comes in is written down, what goes out is up to the test."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import TypeAlias

from doorward.adapters.guarded_http import SECONDS, GuardedHttp
from tests.support.certificates import ec_key, write_certificate

LOOPBACK = (ip_network("127.0.0.0/8"),)
NAME = "localhost"  # the only one that its certificate speaks for


@dataclass(frozen=True, slots=True)
class Seen:
    """One request; header names in small letters."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Answer: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


def reply(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Answer like that."""
    fields = {"content-length": str(len(body)), "connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body)
        await writer.drain()

    return answer


def raw(*parts: bytes, pause_seconds: float = 0) -> Answer:
    """Answer with these bytes, with a pause before each."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            await asyncio.sleep(pause_seconds)
            writer.write(part)
            await writer.drain()

    return answer


@dataclass(slots=True)
class Elsewhere:
    """The server. `answer` may be changed at any time; `connections` counts also those that asked nothing."""

    answer: Answer
    folder: Path | None
    port: int = 0
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return f"https://{NAME}:{self.port}" if self.folder else f"http://127.0.0.1:{self.port}"

    @property
    def trusting(self) -> ssl.SSLContext:
        """A context that believes its certificate, and checks the name."""
        assert self.folder is not None
        return ssl.create_default_context(cafile=str(self.folder / "cert.pem"))

    def outbound(self, addresses: Sequence[str] = ("127.0.0.1",), seconds: float = SECONDS) -> GuardedHttp:
        """A guarded client that may reach it; every name has these addresses."""
        tls = None if self.folder is None else self.trusting
        return GuardedHttp(LOOPBACK, tls, seconds, lambda _host, _port: addresses)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.seen.append(await _request(reader))
            await self.answer(writer)
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
        self._tasks.discard(task)

    async def stop(self) -> None:
        """Hang up on whoever is still there."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    return Seen(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def elsewhere(folder: Path | None, answer: Answer | None = None) -> AsyncIterator[Elsewhere]:
    """Run one: with a certificate written into `folder`, or in plain http without one."""
    server = Elsewhere(answer or reply(200), folder)
    tls = None
    if folder is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*write_certificate(folder, ec_key(), 1))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        await listening.wait_closed()
