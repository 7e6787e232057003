"""The guard of an app that waits in tasks: ASGI, and everything asynchronous."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import httpx

from doorward_client.errors import Refused, Unavailable
from doorward_client.flows import Answer, Call, Exclusive, Flow, Step, T
from doorward_client.guard import BaseGuard
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.provider import MAX_ANSWER_BYTES
from doorward_client.request import Reply, Request
from doorward_client.revocations import STALE_SECONDS, Lines
from doorward_client.threads import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STRIPES, TIMEOUT_SECONDS

_log = logging.getLogger("doorward_client")


class AsyncGuard(BaseGuard):
    """Verifies tokens and sessions for one app. Make one when the app starts; the tasks of one event loop share it.

    It reads the revocation feed in a task that starts with the first request. Without a `store` no browser can sign in.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    async def verify(self, token: str, requirement: Requirement = LOGIN) -> Principal:
        """Whose access token this is. Raises Refused, also for one that is bound to a key: here comes no proof.

        For tokens that come by other ways than a request.
        """
        principal = self.core.quick_bearer(token.encode())
        if principal is None:
            principal = await self._run(self.core.bearer(token))
        return self.core.allow(principal, requirement)

    async def identify(self, request: Request, requirement: Requirement = LOGIN) -> Principal:
        """Who sent the request. Raises Refused when nobody did, or somebody who does not meet the requirement."""
        principal = self.core.quick(request)
        if principal is None:
            principal = await self._run(self.core.identify(request))
        return self.core.allow(principal, requirement)

    async def route(self, request: Request) -> Reply | None:
        """The answer to one of our own routes; None for every other path."""
        flow = self.core.route(request)
        if flow is None:
            return None
        try:
            return await self._run(flow)
        except Refused as refused:
            return self.core.refusal(request, refused)

    async def close(self) -> None:
        """Stop reading the feed and let go of connections."""
        if self._loop is not asyncio.get_running_loop():
            return
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
        await self._client.aclose()
        self._loop = None

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with nothing of another event loop, or of the process that this one was forked from."""
        self._loop = loop
        self.core.revocations.forget_freshness()
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        self._follower: asyncio.Task[None] | None = None
        self._keys = asyncio.Lock()
        self._stripes = [asyncio.Lock() for _ in range(STRIPES)]

    async def _run(self, flow: Flow[T]) -> T:
        """Do what a flow asks for until it returns."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._start(loop)
        if self.settings.revocation == "feed" and (self._follower is None or self._follower.done()):
            self._follower = loop.create_task(self._read_on(), name="doorward-feed")
        return await self._drive(flow)

    async def _drive(self, flow: Flow[T]) -> T:
        sent: Any = None
        try:
            step = flow.send(None)
            while True:
                try:
                    sent = await self._do(step)
                except Refused as refused:
                    step = flow.throw(refused)
                else:
                    step = flow.send(sent)
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def _do(self, step: Step) -> Any:  # noqa: ANN401  whatever the step is answered with
        match step:
            case Call():
                return await self._call(step)
            case Exclusive(name, flow):
                async with self._keys if name == "keys" else self._stripes[hash(name) % STRIPES]:
                    return await self._drive(flow())

    async def _call(self, call: Call) -> Answer:
        try:
            async with self._client.stream(call.method, call.url, data=call.form, headers=call.headers) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise Unavailable("the issuer's answer is too long")
                return Answer(answer.status_code, body)
        except httpx.HTTPError as error:
            raise Unavailable("the issuer does not answer") from error

    # The feed --------------------------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            before = self.core.revocations.last
            try:
                await self._read_stream()
            except (httpx.HTTPError, Refused, ValueError) as error:
                level = logging.WARNING if pause == FIRST_PAUSE_SECONDS else logging.DEBUG  # once is enough
                _log.log(level, "the revocation feed of %s broke off: %s", self.settings.issuer, error)
            read_something = self.core.revocations.fresh or self.core.revocations.last != before
            pause = FIRST_PAUSE_SECONDS if read_something else min(pause * 2, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _read_stream(self) -> None:
        revocations, lines = self.core.revocations, Lines()
        call = await self._drive(self.core.follow())
        async with self._client.stream(
            call.method,
            call.url,
            data=call.form,
            headers=call.headers,
            timeout=httpx.Timeout(TIMEOUT_SECONDS, read=STALE_SECONDS),
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"the issuer answered {answer.status_code}")
            revocations.connected()
            async for chunk in answer.aiter_bytes():
                for line in lines.feed(chunk):
                    revocations.read(line)
