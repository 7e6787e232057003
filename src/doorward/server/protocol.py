"""HTTP/1.1 from strangers: uvicorn's protocol with bounds on size, time and number (ASVS 15.2.2; docs/server.md).

uvicorn bounds neither the head of a request nor the time a client takes to send one, and answers what it cannot parse
without any security header.
"""

# mypy: disable-error-code="explicit-override"
# typing.override is Python 3.12's.

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from doorward.web.headers import WHOLE_ANSWER, prepared

HEAD_BYTES: Final = 16 * 1024
HEAD_FIELDS: Final = 100
HEAD_SECONDS: Final = 10  # from the connection or the first byte to the end of the head
BODY_SECONDS: Final = 30
UNREAD_SECONDS: Final = 30
BUSY_RETRY_SECONDS: Final = 5


def refusal(status: HTTPStatus, detail: str, *headers: tuple[bytes, bytes]) -> bytes:
    """A whole answer for a request that never reaches the application: RFC 9457, with every security header (C40)."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "message": detail,
    }
    body = msgspec.json.encode(document)
    lines = [b"HTTP/1.1 %d %s" % (status.value, status.phrase.encode())]
    fields = (*prepared(b"application/problem+json", body), (b"connection", b"close"), *headers)
    lines += [name + b": " + value for name, value in fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


MALFORMED: Final = refusal(HTTPStatus.BAD_REQUEST, "This is not HTTP")
TOO_SLOW: Final = refusal(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive")
HEAD_TOO_LARGE: Final = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large")
FULL: Final = refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections", (b"retry-after", b"%d" % BUSY_RETRY_SECONDS)
)


def _answer_whole(cycle: RequestResponseCycle, head: bytes, body: bytes) -> bool:
    """Write a 200 answer whose head was built and checked before; False when the client has to be waited for.

    uvicorn checks every header of every answer by two regular expressions, which takes longer than finding a session.
    """
    if cycle.disconnected or cycle.response_started or cycle.flow.write_paused:
        return False
    usual = b"".join(b"%s: %s\r\n" % header for header in cycle.default_headers)
    closing = b"" if cycle.keep_alive else b"connection: close\r\n"
    cycle.transport.write(b"".join((b"HTTP/1.1 200 OK\r\n", usual, head, closing, b"\r\n", body)))
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


class HeadTooLargeError(ValueError):
    """Raised inside the parser, which then stops."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process takes on. Seconds may be fractions."""

    connections: int
    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS
    unread_seconds: float = UNREAD_SECONDS


class GuardedHttp(HttpToolsProtocol):
    """One connection. Between requests uvicorn's keep-alive timer runs; while one arrives, ours does."""

    def __init__(self, config: Config, state: ServerState, app_state: dict[str, Any], bounds: Bounds) -> None:
        """`state` and `app_state` are uvicorn's."""
        super().__init__(config, state, app_state)
        self._bounds = bounds
        self._in_head = True
        self._receiving = True
        self._head_bytes = 0  # of a head still incomplete
        self._chunk_bytes = 0
        self._next_in_chunk = False
        self._answer = MALFORMED
        self._allowed: float | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Start the clock; at the limit make room or refuse."""
        super().connection_made(transport)
        self._set_deadline(self._bounds.head_seconds)
        if len(self.connections) > self._bounds.connections and not self._close_an_idle_one():
            self._refuse(FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._set_deadline(None)
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, then bound what is still incomplete."""
        self._chunk_bytes = len(data)
        self._next_in_chunk = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._receiving:
            self._head_bytes += 0 if self._next_in_chunk else len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
        self._set_deadline(self._seconds_left_to_send)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._set_deadline(None)
        self._in_head = self._receiving = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        if len(self.headers) > HEAD_FIELDS or self._head_is_too_large():
            self._answer = HEAD_TOO_LARGE
            raise HeadTooLargeError
        super().on_headers_complete()
        # The application starts at the loop's next turn, so it finds this.
        self.scope["extensions"] = {WHOLE_ANSWER: partial(_answer_whole, self.cycle)}  # type: ignore[dict-item]  # ours

    def on_message_complete(self) -> None:
        """It is whole; what follows in this chunk belongs to the next one."""
        self._receiving = False
        self._next_in_chunk = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered, and the connection perhaps closed behind it."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()

    def pause_writing(self) -> None:
        """The client takes no more for now."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_waiting_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        """No further request came."""
        self._close()

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        if self.transport.is_closing():
            self._wait_for_reader()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for another request; one already closing gives no place away a second time."""
        return self.timeout_keep_alive_task is not None and not self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's signature
        """Answer what cannot be parsed."""
        self._refuse(self._answer)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: strangers would write the log."""

    def _head_is_too_large(self) -> bool:
        # What arrived bounds the head from above; only a large chunk is worth an exact count.
        if self._head_bytes + self._chunk_bytes <= HEAD_BYTES:
            return False
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES

    @property
    def _seconds_left_to_send(self) -> float | None:
        if not self._receiving:
            return None
        return self._bounds.head_seconds if self._in_head else self._bounds.body_seconds

    def _set_deadline(self, allowed: float | None) -> None:
        if allowed == self._allowed:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._allowed = allowed
        self._deadline = None if allowed is None else self.loop.call_later(allowed, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        answered = not self._in_head and self.cycle.response_complete
        if answered or self.scope is None:
            self._close()  # told already, or never sent a byte: a browser's spare connection
        else:
            self._refuse(TOO_SLOW)

    def _refuse(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is None or cycle.response_complete:
            self.transport.write(answer)
        else:
            # Bytes in the middle of another answer would be read as part of it.
            self.transport.write(b"" if cycle.response_started else answer)
            cycle.disconnected = True
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        # Closing waits until all is sent, which is never when the client does not read.
        if self._unread is None:
            self._unread = self.loop.call_later(self._bounds.unread_seconds, self.transport.abort)

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _close_an_idle_one(self) -> bool:
        other = next((c for c in self.connections if isinstance(c, GuardedHttp) and c.is_idle), None)
        if other is not None:
            other.timeout_keep_alive_handler()
        return other is not None
