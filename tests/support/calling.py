"""Calling a running server over HTTP, as a program does: blocking, one connection a caller."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any, Self

PASSWORD = "seven quiet herons at noon"
CUT_OFF = (OSError, HTTPException)  # what a caller meets when the server dies
WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `cookie` is a header that sends the cookies back."""

    status: int
    json: Any
    cookie: Mapping[str, str]


class Caller:
    """One connection, opened at once and kept."""

    def __init__(self, port: int) -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        self._http.auto_open = 0  # whoever answers is always the same process
        self._http.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Our end of the connection."""
        port: int = self._http.sock.getsockname()[1]
        return port

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request, `body` as JSON. Raises one of CUT_OFF when no whole answer comes."""
        sent = None if body is None else json.dumps(body)
        kind = {} if body is None else {"content-type": "application/json"}
        self._http.request(method, path, sent, {"host": "localhost", **kind, **(headers or {})})
        answer = self._http.getresponse()
        text = answer.read()
        cookies = [value.partition(";")[0] for value in answer.headers.get_all("set-cookie", [])]
        is_json = "json" in answer.headers.get("content-type", "")
        return Answer(answer.status, json.loads(text) if is_json else text, {"cookie": "; ".join(cookies)})

    def sign_up(self, uid: str) -> Answer:
        """Ask for an account."""
        return self.ask("POST", "/api/users", {"uid": uid, "name": f"Name of {uid}", "password": PASSWORD})

    def sign_in(self, uid: str, password: str = PASSWORD) -> Answer:
        """Ask for a session."""
        return self.ask("POST", "/api/sessions", {"identifier": uid, "password": password})

    def close(self) -> None:
        """Hang up."""
        self._http.close()
