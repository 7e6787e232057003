"""The guard of an app that waits in threads: WSGI, and everything synchronous."""

import logging
import os
import threading
import weakref
from types import TracebackType
from typing import Any, Self

import httpx

from doorward_client.clock import Clock
from doorward_client.dpop import SeenProofs
from doorward_client.errors import Refused, Unavailable
from doorward_client.flows import Answer, Call, Exclusive, Flow, Step, T
from doorward_client.guard import BaseGuard
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.provider import MAX_ANSWER_BYTES
from doorward_client.request import Reply, Request
from doorward_client.revocations import STALE_SECONDS, Lines
from doorward_client.sessions import SessionStore
from doorward_client.settings import Settings

TIMEOUT_SECONDS = 5.0
STRIPES = 64
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
_log = logging.getLogger("doorward_client")


class Guard(BaseGuard):
    """Verifies tokens and sessions for one app. Make one when the app starts; threads share it.

    It reads the revocation feed in a thread that starts with the first request, also anew in a process that was
    forked. Without a `store` no browser can sign in.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: SessionStore | None = None,
        proofs: SeenProofs | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings, store=store, proofs=proofs, clock=clock)
        self._follower: threading.Thread | None = None
        self._start()
        GUARDS.add(self)

    def verify(self, token: str, requirement: Requirement = LOGIN) -> Principal:
        """Whose access token this is. Raises Refused, also for one that is bound to a key: here comes no proof.

        For tokens that come by other ways than a request.
        """
        principal = self.core.quick_bearer(token.encode())
        if principal is None:
            principal = self._run(self.core.bearer(token))
        return self.core.allow(principal, requirement)

    def identify(self, request: Request, requirement: Requirement = LOGIN) -> Principal:
        """Who sent the request. Raises Refused when nobody did, or somebody who does not meet the requirement."""
        principal = self.core.quick(request) or self._run(self.core.identify(request))
        return self.core.allow(principal, requirement)

    def route(self, request: Request) -> Reply | None:
        """The answer to one of our own routes; None for every other path."""
        flow = self.core.route(request)
        if flow is None:
            return None
        try:
            return self._run(flow)
        except Refused as refused:
            return self.core.refusal(request, refused)

    def close(self) -> None:
        """Stop reading the feed and let go of connections."""
        self._stopping.set()
        if self._follower is not None:
            self._follower.join()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        """Begin with nothing of what a fork must not share: locks, connections, threads."""
        self.core.revocations.forget_freshness()
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS)
        self._stopping = threading.Event()
        self._follower = None
        self._starting = threading.Lock()
        self._keys = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(STRIPES)]

    def _run(self, flow: Flow[T]) -> T:
        """Do what a flow asks for until it returns."""
        self._follow()
        return self._drive(flow)

    def _drive(self, flow: Flow[T]) -> T:
        sent: Any = None
        try:
            step = flow.send(None)
            while True:
                try:
                    sent = self._do(step)
                except Refused as refused:
                    step = flow.throw(refused)
                else:
                    step = flow.send(sent)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _do(self, step: Step) -> Any:  # noqa: ANN401  whatever the step is answered with
        match step:
            case Call():
                return self._call(step)
            case Exclusive(name, flow):
                with self._keys if name == "keys" else self._stripes[hash(name) % STRIPES]:
                    return self._drive(flow())

    def _call(self, call: Call) -> Answer:
        try:
            with self._client.stream(call.method, call.url, data=call.form, headers=call.headers) as answer:
                body = b""
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise Unavailable("the issuer's answer is too long")
                return Answer(answer.status_code, body)
        except httpx.HTTPError as error:
            raise Unavailable("the issuer does not answer") from error

    # The feed --------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        if self.settings.revocation != "feed" or self._follows():
            return
        with self._starting:
            if not self._follows() and not self._stopping.is_set():
                self._follower = threading.Thread(target=self._read_on, name="doorward-feed", daemon=True)
                self._follower.start()

    def _follows(self) -> bool:
        return self._follower is not None and self._follower.is_alive()

    def _read_on(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            before = self.core.revocations.last
            try:
                self._read_stream()
            except (httpx.HTTPError, Refused, ValueError) as error:
                level = logging.WARNING if pause == FIRST_PAUSE_SECONDS else logging.DEBUG  # once is enough
                _log.log(level, "the revocation feed of %s broke off: %s", self.settings.issuer, error)
            read_something = self.core.revocations.fresh or self.core.revocations.last != before
            pause = FIRST_PAUSE_SECONDS if read_something else min(pause * 2, LONGEST_PAUSE_SECONDS)
            self._stopping.wait(pause)

    def _read_stream(self) -> None:
        revocations, lines = self.core.revocations, Lines()
        call = self._drive(self.core.follow())
        with self._client.stream(
            call.method,
            call.url,
            data=call.form,
            headers=call.headers,
            timeout=httpx.Timeout(TIMEOUT_SECONDS, read=STALE_SECONDS),
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"the issuer answered {answer.status_code}")
            revocations.connected()
            for chunk in answer.iter_bytes():
                for line in lines.feed(chunk):
                    revocations.read(line)
                if self._stopping.is_set():
                    return


GUARDS: weakref.WeakSet[Guard] = weakref.WeakSet()  # every one of this process


def _start_anew_after_fork() -> None:
    for guard in list(GUARDS):
        guard._start()  # noqa: SLF001  our own


os.register_at_fork(after_in_child=_start_anew_after_fork)
