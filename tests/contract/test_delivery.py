"""The outbox and a mail server that misbehaves: nothing is lost, nothing goes twice without need, on both databases."""

import asyncio
import io
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from doorward import log
from doorward.adapters.smtp import LAST_REPLY_SECONDS, SmtpMailer
from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND
from doorward.kernel.smtp import MailServer, parse_sender
from doorward.messages import Delivery, Outbox, Values
from doorward.messages.delivery import (
    AT_A_TIME,
    CLAIM,
    JITTER,
    KEEP_DONE,
    LEASE,
    LONGEST_TRY_SECONDS,
    PAUSES,
    pause_after,
)
from doorward.messages.rendering import RenderedMail
from doorward.ports import Clock, Database, Sealer
from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.mailer import Mailer, OutgoingMail
from doorward.ports.sms import TextMessenger
from doorward.sql import Row, Statement, Work
from doorward.sql.tables import message
from doorward.testing import MovableClock
from tests.support.databases import Interrupted, open_database
from tests.support.logs import restored_logging
from tests.support.smtp_server import smtp_server
from tests.support.waiting import until

MANY = 1_000
# Eleven steps, so that a message meets others at its second try than at its first.
PLAN = "ok,ok,slow,451,ok,drop_before,ok,drop_after,452,ok,421"
CODE = "918273"
T = TypeVar("T")


class Renderer:
    """Fills templates as simply as can be."""

    def mail(self, template: str, _locale: str | None, values: Values) -> RenderedMail:
        """The values, as JSON."""
        return RenderedMail(template, json.dumps(dict(values)), "")

    def text(self, _template: str, _locale: str | None, values: Values) -> str:
        """The same."""
        return json.dumps(dict(values))


@dataclass
class Carrier:
    """Takes mails, or says what it is told to say; can be held up."""

    answers: list[Exception | None] = field(default_factory=list)
    taken: list[OutgoingMail] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def send(self, mail: OutgoingMail) -> None:
        """Take one."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.asked.set()
        try:
            await self.open.wait()
            answer = self.answers.pop(0) if self.answers else None
            if answer is not None:
                raise answer
            self.taken.append(mail)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Texts:
    """Takes text messages."""

    taken: list[tuple[str, str]] = field(default_factory=list)

    async def send(self, _message_id: str, to: str, text: str) -> None:
        """Take one."""
        self.taken.append((to, text))


class HeldUp(Interrupted):
    """A database whose answers to writes come late, or whose use is mistaken after so many."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.committed, self.answer = asyncio.Event(), asyncio.Event()
        self.mistake_after: int | None = None

    async def write(self, work: Callable[[], Work[T]]) -> T:
        """Commit, and answer when told to."""
        if self.mistake_after is not None:
            if self.mistake_after == 0:
                raise TypeError("a mistake of ours")
            self.mistake_after -= 1
        result = await super().write(work)
        self.committed.set()
        await self.answer.wait()
        return result


@dataclass
class Post:
    """An outbox and what is needed to empty it."""

    database: Database
    clock: MovableClock
    sealer: Sealer
    outbox: Outbox

    def delivery(self, mailer: Mailer | None, messenger: TextMessenger | None = None) -> Delivery:
        """One more sender."""
        return Delivery(self.database, self.clock, self.sealer, Renderer(), mailer, messenger)

    async def queue(self, *recipients: str, expires_in: int | None = None) -> None:
        """Queue a mail for each."""

        def work() -> Work[None]:
            expires_at = None if expires_in is None else self.clock.now() + expires_in
            for recipient in recipients:
                values: Values = {"path": "/x", "code": CODE, "hours": 24, "minutes": 10}
                yield from self.outbox.mail("confirm_sign_up", recipient, "en", values, expires_at=expires_at)

        await self.database.write(work)

    async def states(self) -> Counter[str]:
        """How many messages are in which state."""
        rows = await self.database.search(_rows())
        return Counter(row[0] for row in rows)

    async def row(self) -> Row:
        """State, attempts, due_at, values_sealed, error of the only message."""
        (row,) = await self.database.search(_rows())
        return row


def _rows() -> Work[Sequence[Row]]:
    columns = (message.c.state, message.c.attempts, message.c.due_at, message.c.values_sealed, message.c.error)
    return (yield Statement(select(*columns))())


@pytest.fixture
def post(database: Database, clock: MovableClock, sealer: Sealer) -> Post:
    """An empty outbox."""
    return Post(database, clock, sealer, Outbox(clock, sealer, can_mail=True, can_text=True))


@pytest.fixture
async def other(database_address: str, clock: MovableClock, sealer: Sealer) -> AsyncIterator[Post]:
    """The same outbox, as another worker or node opens it."""
    database = await open_database(database_address)
    yield Post(database, clock, sealer, Outbox(clock, sealer, can_mail=True, can_text=True))
    await database.close()


def mailer_at(port: int, clock: Clock) -> SmtpMailer:
    return SmtpMailer(MailServer("127.0.0.1", port, "none"), parse_sender("id@example.org"), clock)


# a bad server


@pytest.mark.slow
async def test_of_a_thousand_mails_none_is_lost_and_only_a_lost_answer_makes_a_second(
    post: Post, tmp_path: Path
) -> None:
    people = [f"user{number}@example.com" for number in range(MANY)]
    refused = [f"refused-{number}@example.com" for number in range(10)]
    for start in range(0, MANY, 250):
        await post.queue(*people[start : start + 250])
    await post.queue(*refused)
    with smtp_server(tmp_path / "accepted.jsonl", "--plan", PLAN) as server:
        delivery = post.delivery(mailer_at(server.port, post.clock))
        passes = 0
        while (await post.states())["queued"]:
            await delivery.drain()
            post.clock.advance(PAUSES[min(passes, 5)] / SECOND * (1 + JITTER))
            passes += 1
        accepted = server.accepted()
    assert await post.states() == {"sent": MANY, "failed": len(refused)}
    by_recipient = defaultdict(list)
    for mail in accepted:
        by_recipient[mail["to"][0]].append(mail)
    assert sorted(by_recipient) == sorted(people)
    twice = {to: mails for to, mails in by_recipient.items() if len(mails) > 1}
    for mails in by_recipient.values():
        assert len({mail["headers"]["message-id"] for mail in mails}) == 1
        assert [mail["step"] for mail in mails[:-1]] == ["drop_after"] * (len(mails) - 1)
        assert mails[-1]["step"] != "drop_after"
    unheard = sum(mail["step"] == "drop_after" for mail in accepted)
    assert len(accepted) == MANY + unheard
    sys.stdout.write(
        f"{MANY} mails in {passes} passes: {len(accepted)} accepted, {unheard} of them unheard, "
        f"{len(twice)} recipients got more than one, 0 lost; {len(refused)} refused for good\n"
    )


async def test_two_nodes_that_send_at_the_same_time_send_nothing_twice(post: Post, other: Post) -> None:
    people = [f"user{number}@example.com" for number in range(60)]
    await post.queue(*people)
    carriers = Carrier(), Carrier()
    nodes = [one.delivery(carrier) for one, carrier in zip((post, other), carriers, strict=True)]
    while (await post.states())["queued"]:
        await asyncio.gather(*(node.drain() for node in nodes))
    taken = [mail.to for carrier in carriers for mail in carrier.taken]
    assert sorted(taken) == sorted(people)
    assert min(len(carrier.taken) for carrier in carriers) == 0, "one held the lease"


async def test_two_nodes_that_both_believe_to_hold_the_lease_send_nothing_twice(post: Post, other: Post) -> None:
    people = [f"user{number}@example.com" for number in range(60)]
    await post.queue(*people)
    carriers = Carrier(), Carrier()
    nodes = [one.delivery(carrier) for one, carrier in zip((post, other), carriers, strict=True)]
    nodes[1]._holder = nodes[0]._holder  # noqa: SLF001  what a lease that failed amounts to
    while (await post.states())["queued"]:
        await asyncio.gather(*(node.drain() for node in nodes))
    assert sorted(mail.to for carrier in carriers for mail in carrier.taken) == sorted(people)


async def test_another_node_goes_on_when_the_first_is_gone(post: Post, other: Post) -> None:
    await post.queue("ada@example.com")
    held, free = Carrier(), Carrier()
    held.open.clear()
    first, second = post.delivery(held), other.delivery(free)
    await first._begin_some()  # noqa: SLF001  it claims a message and is never heard of again
    await post.queue("bob@example.com")
    await second.drain()
    assert free.taken == [], "the first one holds the lease"
    post.clock.advance(LEASE / SECOND)
    await second.drain()
    assert [mail.to for mail in free.taken] == ["bob@example.com"], "ada's mail is claimed"
    post.clock.advance(CLAIM / SECOND)
    await second.drain()
    assert [mail.to for mail in free.taken] == ["bob@example.com", "ada@example.com"]
    held.answers = [Deferred("late")]
    held.open.set()
    await asyncio.sleep(0.1)
    assert await post.states() == {"sent": 2}, "who comes late changes nothing"


async def test_a_stopped_server_hands_over_at_once(post: Post, other: Post) -> None:
    await post.queue("ada@example.com")
    first, second = post.delivery(one := Carrier()), other.delivery(two := Carrier())
    first.start()
    await one.asked.wait()
    await first.stop()
    assert [mail.to for mail in one.taken] == ["ada@example.com"]
    await post.queue("bob@example.com")
    await second.drain()
    assert [mail.to for mail in two.taken] == ["bob@example.com"]


async def test_a_message_goes_out_as_soon_as_its_cause_is_committed(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.messages.delivery.POLL_SECONDS", 60.0)  # it does not look without being woken
    delivery = post.delivery(carrier := Carrier())
    post.outbox.wake = delivery.wake
    delivery.start()
    await asyncio.sleep(0.1)
    await post.queue("ada@example.com")
    async with asyncio.timeout(10):
        await carrier.asked.wait()
    await delivery.stop()


async def test_no_more_than_a_few_are_under_way(post: Post) -> None:
    await post.queue(*(f"user{number}@example.com" for number in range(20)))
    carrier = Carrier()
    carrier.open.clear()
    draining = asyncio.create_task(post.delivery(carrier).drain())
    await until(lambda: carrier.under_way >= AT_A_TIME)
    await asyncio.sleep(0.1)
    assert carrier.under_way == AT_A_TIME
    carrier.open.set()
    await draining
    assert len(carrier.taken) == 20
    assert carrier.most == AT_A_TIME


async def test_a_mail_server_that_hangs_holds_no_text_message_up(post: Post) -> None:
    await post.queue(*(f"user{number}@example.com" for number in range(2 * AT_A_TIME)))
    (mails := Carrier()).open.clear()
    delivery = post.delivery(mails, texts := Texts())
    draining = asyncio.create_task(delivery.drain())
    await mails.asked.wait()
    for _ in range(2):  # all that is due at once, and what comes later
        await post.database.write(
            lambda: post.outbox.text("confirm_phone", "+4915112345678", "en", {"code": CODE, "minutes": 10})
        )
    await delivery._begin_some()  # noqa: SLF001  what the next look into the queue does
    await asyncio.sleep(0.2)
    assert len(texts.taken) == 2
    assert mails.under_way == mails.most == AT_A_TIME
    mails.open.set()
    await draining
    assert len(mails.taken) == 2 * AT_A_TIME


async def test_a_server_that_is_stopped_while_it_claims_sends_what_it_claimed(post: Post) -> None:
    await post.queue("ada@example.com")
    delivery = post.delivery(carrier := Carrier())
    delivery.db = held = HeldUp(post.database)
    delivery.start()
    await held.committed.wait()
    stopping = asyncio.create_task(delivery.stop())
    await asyncio.sleep(0.1)
    held.answer.set()
    await stopping
    assert [mail.to for mail in carrier.taken] == ["ada@example.com"]
    assert await post.states() == {"sent": 1}


async def test_a_server_is_stopped_in_time_even_if_the_database_hangs(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.messages.delivery.STOP_SECONDS", 0.1)
    await post.queue("ada@example.com")
    delivery = post.delivery(Carrier())
    delivery.db = held = HeldUp(post.database)
    delivery.start()
    await held.committed.wait()
    async with asyncio.timeout(5):
        await delivery.stop()


# what becomes of a message


async def test_a_try_that_takes_too_long_is_given_up_for_now(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST_TRY_SECONDS <= 5 * 60, "its place is taken as long"
    assert LONGEST_TRY_SECONDS > LAST_REPLY_SECONDS
    monkeypatch.setattr("doorward.messages.delivery.LONGEST_TRY_SECONDS", 0.1)
    monkeypatch.setattr("doorward.messages.delivery.MINUTE", SECOND // 10)
    await post.queue("ada@example.com")
    (carrier := Carrier()).open.clear()
    await post.delivery(carrier).drain()
    state, attempts, _, _, error = await post.row()
    assert (state, attempts, error) == ("queued", 1, "it took too long")


async def test_a_mistake_in_noting_what_came_of_a_message_is_logged(post: Post) -> None:
    await post.queue("ada@example.com")
    delivery = post.delivery(carrier := Carrier())
    delivery.db = broken = HeldUp(post.database)
    broken.answer.set()
    broken.mistake_after = 1  # the claim goes through
    with restored_logging():
        log.configure(form="json", stream=(lines := io.StringIO()))
        await delivery.drain()
    (line,) = [json.loads(line) for line in lines.getvalue().splitlines() if "message_not_noted" in line]
    (one,) = await delivery.find(None, 10)
    assert (line["level"], line["id"]) == ("error", one.id)
    assert "TypeError" in str(line["exception"])
    await delivery.drain()
    assert len(carrier.taken) == 1, "until the claim expires nobody sends it again"


async def test_what_filled_a_message_is_gone_once_it_was_sent(post: Post) -> None:
    await post.queue("ada@example.com")
    carrier = Carrier()
    await post.delivery(carrier).drain()
    assert CODE in carrier.taken[0].text
    state, attempts, _, sealed, error = await post.row()
    assert (state, attempts, sealed, error) == ("sent", 1, None, None)


async def test_a_deferred_message_waits_longer_each_time(post: Post) -> None:
    await post.queue("ada@example.com")
    delivery = post.delivery(Carrier([Deferred("full")] * 9))
    waited = []
    for _ in range(8):
        await delivery.drain()
        state, _, due_at, _, error = await post.row()
        assert (state, error) == ("queued", "full")
        waited.append(due_at - post.clock.now())
        post.clock.advance(waited[-1] / SECOND)
    for pause, seen in zip([*PAUSES, HOUR, HOUR], waited, strict=True):
        assert pause <= seen <= pause * (1 + JITTER)


def test_a_thousand_messages_do_not_come_back_at_once() -> None:
    assert len({pause_after(3) for _ in range(1000)}) > 900


async def test_a_rejected_message_is_given_up_and_told_without_its_recipient(post: Post) -> None:
    await post.queue("ada@example.com")
    with restored_logging():
        log.configure(form="json", stream=(lines := io.StringIO()))
        await post.delivery(Carrier([Rejected("550 nobody")])).drain()
    state, _, _, sealed, error = await post.row()
    assert (state, error) == ("failed", "550 nobody")
    assert sealed is not None, "an operator may still try again"
    (line,) = [json.loads(line) for line in lines.getvalue().splitlines() if "message_failed" in line]
    assert (line["level"], line["template"], line["kind"]) == ("warning", "confirm_sign_up", "mail")
    assert (line["recipient_domain"], line["reason"]) == ("example.com", "550 nobody")
    assert "ada@" not in lines.getvalue()
    assert CODE not in lines.getvalue()


async def test_an_expired_message_is_not_sent_and_forgets_what_filled_it(post: Post) -> None:
    await post.queue("ada@example.com", expires_in=10 * MINUTE)
    carrier = Carrier([Deferred("full")] * 5)
    delivery = post.delivery(carrier)
    for _ in range(4):
        await delivery.drain()
        post.clock.advance(5 * 60)
    assert carrier.taken == []
    state, _, _, sealed, error = await post.row()
    assert (state, sealed, error) == ("failed", None, "expired; full")
    assert await delivery.retry(None) == []


async def test_an_operator_tries_again_what_was_given_up(post: Post) -> None:
    await post.queue("ada@example.com")
    await post.queue("bob@example.com", expires_in=MINUTE)
    carrier = Carrier([Rejected("550 nobody"), Rejected("550 nobody")])
    delivery = post.delivery(carrier)
    await delivery.drain()
    assert await post.states() == {"failed": 2}
    post.clock.advance(120)
    (failed,) = await delivery.retry(None)
    assert await delivery.retry(failed) == [], "it is queued already"
    assert await delivery.retry("no such id") == []
    await delivery.drain()
    assert [mail.to for mail in carrier.taken] == ["ada@example.com"]


async def test_an_operator_hurries_a_message_but_not_one_under_way(post: Post) -> None:
    await post.queue("ada@example.com")
    delivery = post.delivery(carrier := Carrier([Deferred("full")] * 4))
    (one,) = await delivery.find(None, 10)
    for _ in range(4):
        await delivery.drain()
        _, _, due_at, _, _ = await post.row()
        if due_at - post.clock.now() <= CLAIM:
            assert await delivery.retry(one.id) == []
            post.clock.advance((due_at - post.clock.now()) / SECOND)
        else:
            assert await delivery.retry(one.id) == [one.id]
    await delivery.drain()
    assert len(carrier.taken) == 1


async def test_a_template_that_cannot_be_filled_keeps_its_message(post: Post) -> None:
    class Broken(Renderer):
        def mail(self, template: str, _locale: str | None, values: Values) -> RenderedMail:
            return RenderedMail(template, str(values["nothing"]), "")

    await post.queue("ada@example.com")
    delivery = post.delivery(Carrier())
    delivery.renderer = Broken()
    with restored_logging():
        log.configure(form="json", stream=(lines := io.StringIO()))
        await delivery.drain()
    state, _, _, sealed, error = await post.row()
    assert (state, error) == ("queued", "it could not be written (KeyError)")
    assert sealed is not None
    assert CODE not in lines.getvalue()


async def test_a_database_that_is_down_for_a_moment_makes_no_second_mail(post: Post) -> None:
    await post.queue("ada@example.com")
    carrier = Carrier()
    carrier.open.clear()
    database = Interrupted(post.database)
    delivery = post.delivery(carrier)
    delivery.db = database
    draining = asyncio.create_task(delivery.drain())
    await carrier.asked.wait()
    database.down = True
    carrier.open.set()
    await asyncio.sleep(0.2)
    assert (await post.row())[0] == "queued"
    database.down = False
    await draining
    assert (await post.row())[0] == "sent"
    assert len(carrier.taken) == 1


# kinds


async def test_a_kind_without_a_carrier_stays_for_the_mailbox_and_is_forgotten_in_time(post: Post) -> None:
    await post.queue("ada@example.com")
    await post.database.write(
        lambda: post.outbox.text("confirm_phone", "+4915112345678", "en", {"code": CODE, "minutes": 10})
    )
    texts = Texts()
    delivery = post.delivery(None, texts)
    await delivery.drain()
    assert await post.states() == {"queued": 1, "sent": 1}
    assert texts.taken[0][0] == "+4915112345678"
    post.clock.advance(23 * 3600)
    await delivery.purge()
    assert (await post.states())["queued"] == 1
    post.clock.advance(3600)
    await delivery.purge()
    assert (await post.states())["queued"] == 0


async def test_what_is_over_is_forgotten(post: Post) -> None:
    await post.database.write(lambda: post.outbox.nothing("eve@example.com", "en", {}))
    await post.queue("ada@example.com", "bob@example.com")
    delivery = post.delivery(carrier := Carrier([Rejected("no")]))
    await delivery.drain()
    assert len(carrier.taken) == 1, "what is written for equal work is not sent"
    post.clock.advance(DAY / SECOND)
    await delivery.purge()
    assert await post.states() == {"sent": 1, "failed": 1}
    assert [one.template for one in await delivery.find(None, 10)] == ["confirm_sign_up"] * 2
    post.clock.advance(3 * DAY / SECOND)
    await delivery.purge()
    ((kept,),) = await post.database.search(_sealed())
    assert kept == 0, "nobody can try again what has expired"
    post.clock.advance(KEEP_DONE / SECOND)
    await delivery.purge()
    assert await post.states() == {}


def _sealed() -> Work[Sequence[Row]]:
    return (yield Statement(select(func.count()).where(message.c.values_sealed.is_not(None)))())
