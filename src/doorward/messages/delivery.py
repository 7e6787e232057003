"""Send what lies in the outbox: one sender among all workers and nodes, several messages at a time.

A row is claimed before its message is sent and due again soon after, so that a process that dies loses nothing: another
one sends it. It goes out twice only when the other side had taken it and we did not live to note that, or never heard
it; both mails have one Message-ID then.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from secrets import SystemRandom
from typing import Final, Protocol

import structlog

from doorward.kernel.errors import Problem
from doorward.kernel.ids import new_id, new_token
from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND, Instant
from doorward.messages import store
from doorward.messages.model import Claimed, Kind, Message, MessageState, Values
from doorward.messages.rendering import RenderedMail
from doorward.ports import Clock, Database, Sealer
from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.mailer import Mailer, OutgoingMail
from doorward.ports.sms import TextMessenger
from doorward.sql import Work, purpose_of

AT_A_TIME: Final = 4  # of each kind: a mail server that hangs must hold no text message up
POLL_SECONDS: Final = 1.0
HOLD_SECONDS: Final = 2.0  # between two signs of life
LEASE: Final = 6 * SECOND  # without one, others take over; what is under way stays claimed
CLAIM: Final = MINUTE  # without one, the message is due again
LONGEST_TRY_SECONDS: Final = 240.0  # more than the longest wait for one answer, adapters.smtp.LAST_REPLY_SECONDS
STOP_SECONDS: Final = 5.0  # for tries under way
PAUSES: Final[Sequence[Instant]] = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR)
JITTER: Final = 0.2  # of a pause, so that a thousand deferred messages do not come back at once
KEEP_DONE: Final = 7 * DAY
KEEP_VOID: Final = DAY
KEEP_UNSENT: Final = DAY

_log = structlog.get_logger("doorward.messages")
_random = SystemRandom()


class Renders(Protocol):
    """Fills templates."""

    def mail(self, template: str, locale: str | None, values: Values) -> RenderedMail:
        """The mail of a template."""
        ...

    def text(self, template: str, locale: str | None, values: Values) -> str:
        """The text message of a template."""
        ...


def pause_after(attempts: int) -> Instant:
    """How long to wait after so many tries: 5 s, 30 s, 2 min, 10 min, 30 min, then hourly, and up to a fifth more."""
    pause = PAUSES[min(attempts, len(PAUSES)) - 1]
    return round(pause * _random.uniform(1, 1 + JITTER))


@dataclass(slots=True)
class Delivery:
    """The sender. A kind of message without a carrier stays where it is, for the development mailbox to show.

    `answer_seconds`: how long a carrier may wait for one answer; a try gets a minute more, and four in any case.
    """

    db: Database
    clock: Clock
    sealer: Sealer
    renderer: Renders
    mailer: Mailer | None
    messenger: TextMessenger | None
    answer_seconds: float = 0.0
    _holder: str = field(default_factory=new_token, init=False, repr=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    _under_way: dict[asyncio.Task[None], Claimed] = field(default_factory=dict, init=False, repr=False)
    _held_up: set[Kind] = field(default_factory=set, init=False, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    _stopping: bool = field(default=False, init=False, repr=False)

    def start(self) -> None:
        """Begin to send, if there is a carrier."""
        if self._carried:
            self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look into the queue now."""
        self._news.set()

    async def stop(self) -> None:
        """Begin nothing more, wait a little for what is under way, and let others go on."""
        if self._task is None:
            return
        # Not cancelled: what was claimed but not begun would wait until the claim expires.
        self._stopping = True
        self.wake()
        _, late = await asyncio.wait([self._task], timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._finish()

    async def drain(self) -> None:
        """Send what is due now, and return when nothing is."""
        while await self._begin_some() or self._under_way:
            if self._under_way:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        await self._rest()

    async def send_now(self, kind: Kind, template: str, to: str, locale: str | None, values: Values) -> None:
        """Send one message that lies in no queue. Raises Deferred or Rejected."""
        try:
            await self._carry(kind, new_id(self.clock.now()), template, to, locale, values)
        finally:
            await self._rest()

    async def find(self, state: MessageState | None, count: int) -> list[Message]:
        """What was queued, the newest first."""
        return await self.db.search(store.list_messages(state, count))

    async def retry(self, message_id: str | None) -> list[str]:
        """Try again what was given up and has not expired, one or (None) all; the ids of what is due now."""
        now = self.clock.now()
        return await self.db.write(lambda: store.retry(message_id, now, now + CLAIM))

    async def purge(self) -> None:
        """Forget what is over."""
        now = self.clock.now()
        await self._repeat(lambda: store.empty_expired(now))
        await self._repeat(lambda: store.delete_done(now - KEEP_DONE))
        await self._repeat(lambda: store.delete_void(now - KEEP_VOID))
        if unsent := self._kinds(carried=False):
            await self._repeat(lambda: store.delete_unsent(unsent, now - KEEP_UNSENT))

    async def _repeat(self, work: Callable[[], Work[int]]) -> None:
        while await self.db.write(work) == store.PURGE_AT_ONCE:
            pass

    # The loop

    async def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                await self._begin_some()
                await self._rest()
            except Problem as problem:
                _log.warning("messages_wait", reason=problem.reason)
            except Exception:  # noqa: BLE001  a mistake of ours must not end the sending unheard
                _log.exception("messages_wait")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()

    async def _rest(self) -> None:
        """Hang up when there is no mail to send."""
        if self.mailer is not None and self._places("mail") == AT_A_TIME:
            await self.mailer.close()

    async def _begin_some(self) -> bool:
        """Claim what is due and begin to send it, as far as there are places. Whether there was any."""
        free = [kind for kind in dict.fromkeys(self._carried or ()) if self._places(kind)]
        now = self.clock.now()
        if not free or not await self.db.search(store.is_due((free[0], free[-1]), self._holder, now)):
            return False
        taken = await self.db.write(partial(self._take, {kind: self._places(kind) for kind in free}, now))
        for message_id, kind, template, recipient, reason in taken.expired:
            _log_failed(message_id, kind, template, recipient, reason)
        for claimed in taken.claimed:
            task = asyncio.create_task(self._deliver(claimed))
            self._under_way[task] = claimed
            task.add_done_callback(self._ended)
        return bool(taken.claimed or taken.expired)

    def _places(self, kind: Kind) -> int:
        return AT_A_TIME - sum(claimed.kind == kind for claimed in self._under_way.values())

    def _take(self, places: Mapping[Kind, int], now: Instant) -> Work[store.Taken]:
        if not (yield from store.take_lease(self._holder, now, now + LEASE)):
            return store.Taken()
        taken = store.Taken()
        for kind, count in places.items():
            more = yield from store.take((kind, kind), count, now, now + CLAIM)
            taken = store.Taken([*taken.claimed, *more.claimed], [*taken.expired, *more.expired])
        return taken

    def _ended(self, task: asyncio.Task[None]) -> None:
        claimed = self._under_way.pop(task)
        if not task.cancelled() and (mistake := task.exception()) is not None:
            # Whether it went out is not written down: it stays claimed a while, and then it goes out (again).
            _log.exception("message_not_noted", id=claimed.id, template=claimed.template, exc_info=mistake)
        self._news.set()

    async def _finish(self) -> None:
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._rest()
        with suppress(Problem, TimeoutError):  # without it the lease runs out by itself
            async with asyncio.timeout(STOP_SECONDS):
                await self.db.write(lambda: store.release_lease(self._holder))

    # One message

    async def _deliver(self, claimed: Claimed) -> None:
        life = asyncio.create_task(self._hold(claimed))
        try:
            refusal = await self._try(claimed)
            await self._note(claimed, refusal)
        finally:
            life.cancel()

    async def _hold(self, claimed: Claimed) -> None:
        """Give signs of life while a message is being sent."""
        while True:
            await asyncio.sleep(HOLD_SECONDS)
            with suppress(Problem):
                await self.db.write(lambda: self._prolong(claimed, self.clock.now()))

    def _prolong(self, claimed: Claimed, now: Instant) -> Work[None]:
        yield from store.take_lease(self._holder, now, now + LEASE)
        yield from store.hold(
            claimed, now + CLAIM
        )  # also when the lease is another's by now: the message is still ours

    async def _try(self, claimed: Claimed) -> Deferred | Rejected | None:
        try:
            async with asyncio.timeout(max(LONGEST_TRY_SECONDS, self.answer_seconds + MINUTE / SECOND)):
                values = json.loads(self.sealer.open(claimed.values_sealed, purpose_of("message", claimed.id)))
                await self._carry(
                    claimed.kind, claimed.id, claimed.template, claimed.recipient, claimed.locale or None, values
                )
        except (Deferred, Rejected) as refusal:
            return refusal
        except TimeoutError:
            return Deferred("it took too long")
        except Exception as error:  # noqa: BLE001  a template of the operator's, or a mistake of ours
            _log.exception("message_not_tried", id=claimed.id, template=claimed.template)
            return Deferred(f"it could not be written ({type(error).__name__})")
        return None

    async def _carry(
        self, kind: Kind, message_id: str, template: str, to: str, locale: str | None, values: Values
    ) -> None:
        if kind == "mail" and self.mailer is not None:
            letter = self.renderer.mail(template, locale, values)
            await self.mailer.send(
                OutgoingMail(message_id, to, letter.subject, letter.text, letter.html, letter.images)
            )
        elif kind == "sms" and self.messenger is not None:
            await self.messenger.send(message_id, to, self.renderer.text(template, locale, values))
        else:
            raise Deferred(f"nobody carries {kind}")

    async def _note(self, claimed: Claimed, refusal: Deferred | Rejected | None) -> None:
        """Write down what came of a try, as soon as the database takes it: else the message would go out again."""
        now = self.clock.now()

        def work() -> Work[bool]:
            if refusal is None:
                return store.mark_sent(claimed, now)
            if isinstance(refusal, Rejected):
                return store.mark_failed(claimed, refusal.reason, now)
            until = min(now + pause_after(claimed.attempts), claimed.expires_at)
            return store.mark_deferred(claimed, refusal.reason, until)

        noted: bool | None = None
        while noted is None:
            try:
                noted = await self.db.write(work)
            except Problem as problem:
                _log.warning("message_not_noted", id=claimed.id, reason=problem.reason)
                await asyncio.sleep(POLL_SECONDS)
        if noted:
            self._tell(claimed, refusal)

    def _tell(self, claimed: Claimed, refusal: Deferred | Rejected | None) -> None:
        kind = claimed.kind
        if isinstance(refusal, Rejected):
            _log_failed(claimed.id, kind, claimed.template, claimed.recipient, refusal.reason)
            return
        if refusal is None:
            if kind in self._held_up:
                self._held_up.discard(kind)
                _log.info("messages_flow_again", kind=kind)
            return
        _log.info(
            "message_deferred", id=claimed.id, kind=kind, template=claimed.template, attempts=claimed.attempts,
            reason=refusal.reason,
        )  # fmt: skip
        if kind not in self._held_up:
            self._held_up.add(kind)
            _log.warning("messages_held_up", kind=kind, reason=refusal.reason)

    @property
    def _carried(self) -> tuple[Kind, Kind] | None:
        return self._kinds(carried=True)

    def _kinds(self, *, carried: bool) -> tuple[Kind, Kind] | None:
        """The kinds that have a carrier, or that have none; twice the same where it is one."""
        found: list[Kind] = []
        if (self.mailer is not None) is carried:
            found.append("mail")
        if (self.messenger is not None) is carried:
            found.append("sms")
        return (found[0], found[-1]) if found else None


def _log_failed(message_id: str, kind: Kind, template: str, recipient: str, reason: str | None) -> None:
    # Of the recipient only the domain: enough to see that a whole one refuses us.
    domain = recipient.rpartition("@")[2] if kind == "mail" else None
    _log.warning("message_failed", id=message_id, kind=kind, template=template, recipient_domain=domain, reason=reason)
