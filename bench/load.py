"""Loads: sign-ins over plain sockets, session checks by wrk and h2load."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

Following = Callable[[bytes], bytes]
"""The next request, from the body of the answer before it; nothing before the first."""


@dataclass
class Tally:
    """What a load has seen. Latencies in seconds."""

    answered: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, status: int) -> int:
        """How many answers had this status."""
        return self.answered.get(status, 0)

    def rate(self, status: int = 200) -> float:
        """Answers of this status a second."""
        return self.count(status) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """A latency in milliseconds: 0.5 is the median."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        start = lowered.find(b"content-length: ")
        length = int(lowered[start + 16 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(body) >= length and self._waiter is not None and not self._waiter.done():
            self._buffer = b""
            self._waiter.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send one request; the status and the body of its answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter


async def _run(port: int, following: Sequence[Following], seconds: float) -> tuple[Tally, list[bytes]]:
    loop = asyncio.get_running_loop()
    tally = Tally()
    started = time.perf_counter()
    until = started + seconds

    async def one(request_after: Following) -> bytes:
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        answer = b""
        while time.perf_counter() < until:
            request = request_after(answer)
            sent = time.perf_counter()
            status, answer = await connection.ask(request)
            tally.answered[status] = tally.answered.get(status, 0) + 1
            tally.latencies.append(time.perf_counter() - sent)
        return answer

    last = await asyncio.gather(*(one(request_after) for request_after in following))
    tally.seconds = time.perf_counter() - started
    return tally, last


def load(
    port: int,
    requests: Callable[[], bytes],
    *,
    connections: int = 32,
    seconds: float = 5,
) -> Tally:
    """Send requests for `seconds`; each connection asks again as soon as it is answered."""
    tally, _ = uvloop.run(_run(port, [lambda _: requests()] * connections, seconds))
    return tally


def chains(port: int, following: Sequence[Following], *, seconds: float) -> tuple[Tally, list[bytes]]:
    """The same, a connection for each of `following`, where a request needs the answer before it; the last answers."""
    return uvloop.run(_run(port, following, seconds))


def wrk(
    port: int,
    path: str,
    header: str,
    *,
    seconds: float,
    cores: str,
    connections: int = 32,
    script: Path | None = None,
) -> float:
    """Requests a second that wrk gets answered: it is faster than any server in Python, so the server is the bound."""
    command = ["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-H", header]
    if script is not None:
        command += ["-s", str(script)]
    said = _said([*command, f"http://127.0.0.1:{port}{path}"])
    if "Non-2xx" in said:
        sys.exit(said)
    return _figure(r"Requests/sec:\s+([0-9.]+)", said)


def h2load(port: int, path: str, header: str, *, seconds: float, per_second: float, connections: int = 64) -> float:
    """Good answers a second while `per_second` requests are offered, however long answers take."""
    command = ["h2load", "--h1", "-t1", f"-c{connections}", f"-D{seconds:.0f}", f"--rps={per_second / connections:.3f}"]
    said = _said([*command, "-H", header, f"http://127.0.0.1:{port}{path}"])
    return _figure(r"status codes: (\d+) 2xx", said) / _figure(r"finished in ([0-9.]+)s", said)


def _said(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def post_json(path: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """A JSON POST request as bytes."""
    return post(path, "application/json", body, headers)


def post(path: str, kind: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """A POST request as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: localhost",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
