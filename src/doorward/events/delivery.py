"""Deliver events as Standard Webhooks: one sender among all workers and nodes, each endpoint in its own order.

An endpoint is claimed before it is asked and free again soon after, so that a process that dies loses nothing: another
one goes on where it was. An event arrives twice only when the other side had taken it and we did not live to note that;
both have one `webhook-id` then.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from secrets import SystemRandom
from typing import Final
from urllib.parse import urlsplit

import structlog

from doorward import __version__
from doorward.events import store
from doorward.events.model import GIVE_UP, PAUSES, Event, Webhook, encode, settled
from doorward.events.signing import headers_of
from doorward.kernel.errors import Problem
from doorward.kernel.ids import new_token
from doorward.kernel.instant import MINUTE, SECOND, Instant
from doorward.ports import Clock, Database, Sealer
from doorward.ports.outbound import Outbound, OutboundFailed
from doorward.sql import purpose_of

POLL_SECONDS: Final = 1.0
LEASE: Final = 2 * MINUTE  # longer than a claim, so that nobody takes over what is under way
CLAIM: Final = MINUTE  # longer than the longest try
AT_ONCE: Final = 100  # events of one endpoint before the others have their turn
JITTER: Final = 0.2
STOP_SECONDS: Final = 5.0
GONE: Final = 410  # the receiver wants no more (Standard Webhooks)

_log = structlog.get_logger("doorward.events")
_random = SystemRandom()


async def post(outbound: Outbound, url: str, secret: str, message_id: str, body: bytes, now: Instant) -> int:
    """Send one message; the status of the answer. Raises OutboundFailed."""
    headers = {
        "content-type": "application/json",
        "user-agent": f"Doorward/{__version__}",
        **headers_of(secret, message_id, body, now),
    }
    return (await outbound.request("POST", url, headers, body)).status


@dataclass(slots=True)
class EventSender:
    """The sender."""

    db: Database
    clock: Clock
    sealer: Sealer
    outbound: Outbound
    _holder: str = field(default_factory=new_token, init=False, repr=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    _stopping: bool = field(default=False, init=False, repr=False)

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="event sender")

    def wake(self) -> None:
        """Look for events now."""
        self._news.set()

    async def stop(self) -> None:
        """Finish the requests under way, for a moment at least, and let others go on."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with suppress(Problem, TimeoutError):  # without it the lease runs out by itself
            async with asyncio.timeout(STOP_SECONDS):
                await self.db.write(lambda: store.release_lease(self._holder))

    async def drain(self) -> None:
        """Send what is due now, and return when nothing is."""
        while await self._round():
            pass

    async def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                await self.drain()
            except Problem as problem:
                _log.warning("events_wait", reason=problem.reason)
            except Exception:  # noqa: BLE001  a mistake of ours must not end the sending unheard
                _log.exception("events_wait")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()

    async def _round(self) -> bool:
        """Go to every endpoint for which there is something; whether anything arrived anywhere."""
        now = self.clock.now()
        due = await self.db.search(store.list_due(now))
        if not due or self._stopping:
            return False
        if not await self.db.write(lambda: store.take_lease(self._holder, now, now + LEASE)):
            return False
        return any(await asyncio.gather(*map(self._serve, due)))

    async def _serve(self, webhook_id: str) -> bool:
        """Send one endpoint what it lacks, in order, until a try fails; whether it got further."""
        now = self.clock.now()
        found = await self.db.write(lambda: store.claim(webhook_id, now, now + CLAIM))
        if found is None:
            return False
        at = found.delivered_seq
        try:
            secret = self.sealer.open(found.secret_sealed, purpose_of("webhook", found.id)).decode()
        except ValueError:
            await self._note_failure(found, at, "its secret cannot be opened here", is_gone=False)
            return False
        events = await self.db.search(store.list_events(at, AT_ONCE))
        for event in settled(events, at, self.clock.now()):
            if self._stopping:
                break
            error, is_gone = (await self._try(found, secret, event)) if found.wants(event) else (None, False)
            if error is not None:
                await self._note_failure(found, at, error, is_gone=is_gone)
                return at != found.delivered_seq
            until = self.clock.now() + CLAIM
            if not await self.db.write(partial(store.advance, found.id, at, event.seq, until)):
                return False  # replayed or removed meanwhile
            at = event.seq
        await self.db.write(lambda: store.release(found.id, at))
        return at != found.delivered_seq

    async def _try(self, found: Webhook, secret: str, event: Event) -> tuple[str | None, bool]:
        """What went wrong, and whether the receiver wants no more."""
        body, now = encode(event.payload()), self.clock.now()
        try:
            status = await post(self.outbound, found.url, secret, event.id, body, now)
        except OutboundFailed as failure:
            return failure.reason, False
        if 200 <= status < 300:  # noqa: PLR2004  RFC 9110 §15.3
            return None, False
        return f"it answered {status}", status == GONE

    async def _note_failure(self, found: Webhook, at: int, error: str, *, is_gone: bool) -> None:
        now = self.clock.now()
        went_on = at != found.delivered_seq
        attempts = 1 if went_on else found.attempts + 1
        since = now if went_on or found.failing_since is None else found.failing_since
        disabled = now if is_gone or now - since >= GIVE_UP else None
        pause = round(PAUSES[min(attempts, len(PAUSES)) - 1] * _random.uniform(1, 1 + JITTER))
        noted = await self.db.write(lambda: store.fail(found.id, at, attempts, error, now + pause, since, disabled))
        if noted:
            say = _log.warning if attempts == 1 or disabled is not None else _log.info
            say(
                "webhook_given_up" if disabled is not None else "webhook_failed",
                id=found.id, host=urlsplit(found.url).hostname, attempts=attempts, reason=error,
                failing_seconds=(now - since) // SECOND,
            )  # fmt: skip
