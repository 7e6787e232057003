"""Both guards of the client library, asked alike, and what a client that holds a key sends."""

import asyncio
import hashlib
import json
import secrets
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from joserfc.jwk import ECKey, OKPKey, RSAKey

from doorward_client import AsyncGuard, Clock, Guard, Principal, Request, Requirement, SessionStore, Settings
from doorward_client.core import Core
from doorward_client.jws import encode
from doorward_client.principal import LOGIN
from doorward_client.testing import MovableClock
from doorward_client.testing.issuer import algorithm, sign
from tests.support.waiting import PATIENCE_SECONDS

T = TypeVar("T")


class Asked(Protocol):
    """A guard, whichever it is, asked from a test that does not wait."""

    core: Core

    def verify(self, token: str) -> Principal: ...

    def identify(self, request: Request, requirement: Requirement = LOGIN) -> Principal: ...


class FromTasks:
    """An AsyncGuard on an event loop of its own."""

    def __init__(self, guard: AsyncGuard) -> None:
        self.guard = guard
        self.core = guard.core
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def verify(self, token: str) -> Principal:
        return self._wait(self.guard.verify(token))

    def identify(self, request: Request, requirement: Requirement = LOGIN) -> Principal:
        return self._wait(self.guard.identify(request, requirement))

    def close(self) -> None:
        self._wait(self.guard.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)


@contextmanager
def guarding(kind: str, settings: Settings, clock: Clock, store: SessionStore | None = None) -> Iterator[Asked]:
    """A guard of either kind."""
    guard: Guard | FromTasks
    if kind == "threads":
        guard = Guard(settings, clock=clock, store=store)
    else:
        guard = FromTasks(AsyncGuard(settings, clock=clock, store=store))
    try:
        yield guard
    finally:
        guard.close()


def request(method: str = "GET", path: str = "/", **headers: str) -> Request:
    """A request with these headers; `_` stands for `-`."""
    return Request(method, path, {name.replace("_", "-"): value for name, value in headers.items()}.get)


def proof(
    key: ECKey | OKPKey | RSAKey, clock: MovableClock, token: str, *, url: str, method: str = "GET", **changed: Any
) -> str:
    """A DPoP proof (RFC 9449 §4.2); `changed` claims replace those that are right, `header` those of its header."""
    header = {"typ": "dpop+jwt", "alg": algorithm(key), "jwk": key.as_dict(private=False), **changed.pop("header", {})}
    claims: dict[str, object] = {
        "htm": method,
        "htu": url,
        "iat": int(clock.now()),
        "jti": secrets.token_hex(8),
        "ath": encode(hashlib.sha256(token.encode()).digest()),
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return sign(header, json.dumps(kept).encode(), key)
