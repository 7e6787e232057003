"""The feed of revocations for apps: newline-delimited JSON without an end, out of the one feed of the process."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from doorward.kernel.errors import Unavailable
from doorward.kernel.instant import HOUR, MILLISECOND, SECOND, Instant
from doorward.ports import Clock, Database
from doorward.sessions import REVOCATIONS_AT_ONCE, Revocation, Sessions, list_revocations
from doorward.tokens import ACCESS_TOKEN_SECONDS

HEARTBEAT_SECONDS: Final = 0.5
MAX_STREAMS: Final = 200  # a process
MAX_OF_CLIENT: Final = 50
QUEUE: Final = 10_000  # revocations that one reader may be behind
OVERLAP: Final = 1_000  # numbers that may come out of order (see sessions.feed)
LASTS: Final[Instant] = HOUR  # then the client connects anew, and shows anew who it is
# Whoever begins without a number has to hear of all that can still matter to a token that lives.
LOOKS_BACK: Final[Instant] = (ACCESS_TOKEN_SECONDS + 60) * SECOND
_TOLD: Final = frozenset({"session", "user", "family", "token"})
_END: Final = None

_log = structlog.get_logger("doorward.oidc")


@dataclass(slots=True, eq=False)
class _Reader:
    client_id: str
    queue: asyncio.Queue[Revocation | None] = field(default_factory=lambda: asyncio.Queue(QUEUE + 1))
    over: bool = False

    def hear(self, found: Sequence[Revocation]) -> None:
        for one in found:
            if self.queue.qsize() >= QUEUE:
                self.stop()
                return
            self.queue.put_nowait(one)

    def stop(self) -> None:
        self.over = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(_END)


@dataclass(slots=True)
class Following:
    """Hands on what the sessions' own feed reads. All methods belong to one event loop."""

    db: Database
    clock: Clock
    sessions: Sessions
    _readers: set[_Reader] = field(default_factory=set, init=False)
    _stopped: bool = field(default=False, init=False)

    def hear(self, found: Sequence[Revocation]) -> None:
        """Told by the feed of what is new."""
        told = [one for one in found if one.kind in _TOLD]
        if told:
            for reader in tuple(self._readers):
                reader.hear(told)

    def stop(self) -> None:
        """End every stream: the server stops."""
        self._stopped = True
        for reader in tuple(self._readers):
            reader.stop()

    @property
    def streams(self) -> int:
        """How many there are now."""
        return len(self._readers)

    def begin(self, client_id: str, after: int | None) -> AsyncIterator[bytes]:
        """A stream of lines. `after`: the last number that the client has read.

        Raises Unavailable when there are too many, and while the feed itself is behind.
        """
        own = sum(reader.client_id == client_id for reader in self._readers)
        full = len(self._readers) >= MAX_STREAMS or own >= MAX_OF_CLIENT
        if full or self._stopped or not self.sessions.feed.fresh(self.clock.now()):
            raise Unavailable(retry_after_seconds=1, reason="streams are full, the feed is behind, or the server stops")
        return self._lines(_Reader(client_id), after)

    async def _lines(self, reader: _Reader, after: int | None) -> AsyncIterator[bytes]:
        began, time = self.clock.now(), asyncio.get_running_loop().time
        self._readers.add(reader)  # before anything is read, so that nothing falls between
        try:
            yield self._heartbeat()
            beat = time()
            async for page in self._missed(reader, after):
                yield page
            while not reader.over and self.clock.now() - began < LASTS:
                left = beat + HEARTBEAT_SECONDS - time()
                found = await _next(reader.queue, left) if left > 0 else None
                if found is not None:
                    yield _line(found)
                elif not reader.over:
                    beat = time()
                    if self.sessions.feed.fresh(self.clock.now()):  # else nobody is told that all is well
                        yield self._heartbeat()
        finally:
            self._readers.discard(reader)

    async def _missed(self, reader: _Reader, after: int | None) -> AsyncIterator[bytes]:
        seq = -1 if after is None else max(-1, after - OVERLAP)
        since = self.clock.now() - LOOKS_BACK if after is None else 0
        while not reader.over:
            try:
                found = await self.db.search(list_revocations(seq, since))
            except Unavailable as problem:
                _log.warning("revocations_not_read", reason=problem.reason)
                reader.stop()  # the client comes again
                return
            yield b"".join(_line(one) for one in found if one.kind in _TOLD)
            if len(found) < REVOCATIONS_AT_ONCE:
                return
            seq = found[-1].seq

    def _heartbeat(self) -> bytes:
        return _encoded({"seq": self.sessions.feed.newest, "heartbeat": True})


async def _next(queue: "asyncio.Queue[Revocation | None]", seconds: float) -> Revocation | None:
    """The next one; None when there was none in that time, or the stream is over."""
    try:
        async with asyncio.timeout(seconds):
            return await queue.get()
    except TimeoutError:
        return None


def _line(one: Revocation) -> bytes:
    return _encoded({"seq": one.seq, "kind": one.kind, "id": one.id, "at": one.at // MILLISECOND})


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
