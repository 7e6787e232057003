"""User events: written, read from a cursor, delivered in order, tried again for days, given up at last."""

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from doorward.audit import AuditTrail
from doorward.events import TYPES, Event, EventSender, EventType, UserEvents, Webhook, Webhooks, webhook_url_fault
from doorward.events import store as events_store
from doorward.events.delivery import STOP_SECONDS
from doorward.events.model import GIVE_UP, KEEP, LATE, settled
from doorward.events.signing import headers_of, new_secret
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import Invalid, NotFound
from doorward.kernel.instant import DAY, HOUR, SECOND
from doorward.ports import Database, Sealer
from doorward.ports.outbound import OutboundFailed, Reply
from doorward.testing import MovableClock

URL = "https://app.example.org/hooks"


@dataclass
class App:
    """A receiver. `statuses`: its next answers; then it takes everything. 0: no answer."""

    statuses: list[int] = field(default_factory=list)
    taken: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    tried: int = 0
    holds: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        assert method == "POST"
        self.tried += 1
        self.asked.set()
        if self.holds is not None:
            await self.holds.wait()
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 0:
            raise OutboundFailed("no connection to that server")
        if 200 <= status < 300:
            self.taken.append((url, headers, body))
        return Reply(status, {}, b"")

    @property
    def users(self) -> list[str]:
        """Whom it was told of, in order."""
        return [json.loads(body)["data"]["id"] for _, _, body in self.taken]


@dataclass
class House:
    """The room on one database."""

    db: Database
    clock: MovableClock
    sealer: Sealer
    app: App = field(default_factory=App)
    events: UserEvents = field(init=False)
    webhooks: Webhooks = field(init=False)

    def __post_init__(self) -> None:
        self.events = UserEvents(self.db, self.clock)
        self.webhooks = Webhooks(self.db, self.clock, self.sealer, AuditTrail(self.sealer, self.clock), self.app)

    def sender(self) -> EventSender:
        return EventSender(self.db, self.clock, self.sealer, self.app)

    async def tell(self, *users: str, kind: EventType = "user.updated") -> None:
        for user in users:
            now = self.clock.now()
            await self.db.write(partial(self.events.tell, kind, user, {"changed": ["name"]}, now))

    async def webhook(self) -> Webhook:
        (found,) = await self.webhooks.list_all()
        return found


@pytest.fixture
def house(database: Database, clock: MovableClock, sealer: Sealer) -> House:
    return House(database, clock, sealer)


async def test_what_was_written_is_read_in_order_from_a_cursor(house: House) -> None:
    await house.tell("a", "b", "c")
    first = await house.events.page(0, 2)
    assert [event.user_id for event in first] == ["a", "b"]
    assert [event.user_id for event in await house.events.page(first[-1].seq, 10)] == ["c"]
    assert await house.events.page(first[-1].seq + 1, 10) == []
    house.clock.advance(KEEP / SECOND + 1)
    await house.tell("d")
    await house.events.purge()
    house.clock.advance(LATE / SECOND)
    assert [event.user_id for event in await house.events.page(0, 10)] == ["d"]


def test_a_number_that_is_missing_is_waited_for_and_then_passed_over() -> None:
    """On PostgreSQL a transaction that commits late shows its events after those with higher numbers."""

    def numbered(*numbers: int) -> list[Event]:
        return [Event(number, str(number), "user.updated", "u", {}, 100 * SECOND) for number in numbers]

    def given(events: Sequence[Event], after: int, at: int) -> list[int]:
        return [event.seq for event in settled(events, after, at)]

    assert given(numbered(1, 2, 4, 5), 0, 101 * SECOND) == [1, 2]
    assert given(numbered(1, 2, 3, 4, 5), 0, 101 * SECOND) == [1, 2, 3, 4, 5]
    assert given(numbered(1, 2, 4, 5), 0, 100 * SECOND + LATE) == [1, 2, 4, 5]
    assert given(numbered(9), 7, 101 * SECOND) == []


async def test_events_arrive_signed_in_order_and_once(house: House) -> None:
    added = await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    await house.tell("a", "b", "c")
    senders = [house.sender(), house.sender()]
    await asyncio.gather(*(sender.drain() for sender in senders))
    await senders[1].drain()
    assert house.app.users == ["a", "b", "c"]
    url, headers, body = house.app.taken[0]
    assert url == URL
    assert json.loads(body) == {
        "type": "user.updated", "timestamp": "2026-11-23T05:00:00.000Z", "data": {"id": "a", "changed": ["name"]},
    }  # fmt: skip
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.digest(b64decode(added.secret.removeprefix("whsec_")), signed, "sha256")
    assert headers["webhook-signature"] == "v1," + b64encode(mac).decode()
    assert headers["webhook-timestamp"] == str(house.clock.now() // SECOND)
    (first, *_) = await house.events.page(0, 1)
    assert headers["webhook-id"] == first.id


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of standard-webhooks.com, as its libraries test it."""
    body = b'{"test": 2432232314}'
    secret, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1614265330 * SECOND
    assert headers_of(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, at)["webhook-signature"] == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_secrets_are_256_random_bits() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(b64decode(secret.removeprefix("whsec_"))) for secret in made} == {32}


async def test_what_does_not_arrive_is_tried_again_before_anything_newer(house: House) -> None:
    await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    house.app.statuses = [204, 500, 0, 302, 404]
    await house.tell("a", "b", "c")
    sender = house.sender()
    for pause, tried in ((0, 2), (4, 2), (2, 3), (37, 4), (145, 5)):
        house.clock.advance(pause)
        await sender.drain()
        assert (house.app.users, house.app.tried) == (["a"], tried)
    webhook = await house.webhook()
    assert (webhook.attempts, webhook.last_error) == (4, "it answered 404")
    house.clock.advance(721)
    await sender.drain()
    assert house.app.users == ["a", "b", "c"]
    webhook = await house.webhook()
    assert (webhook.attempts, webhook.failing_since, webhook.last_error) == (0, None, None)
    headers = [headers for _, headers, _ in house.app.taken]
    assert len({one["webhook-id"] for one in headers}) == 3


async def test_after_five_days_an_endpoint_is_given_up_and_goes_on_where_it_was_when_told_so(house: House) -> None:
    added = await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    house.app.statuses = [500] * 200
    await house.tell("a", "b")
    sender = house.sender()
    for _ in range(200):
        await sender.drain()
        if (await house.webhook()).disabled_at is not None:
            break
        house.clock.advance(1.2 * HOUR / SECOND + 1)  # an hour, and a fifth more at most
    webhook = await house.webhook()
    assert webhook.disabled_at is not None
    assert GIVE_UP <= webhook.disabled_at - (webhook.failing_since or 0) <= GIVE_UP + 2 * HOUR
    assert 95 < house.app.tried < 115
    house.app.statuses = []
    house.clock.advance(DAY / SECOND)
    await sender.drain()
    assert house.app.users == []
    await house.webhooks.replay(added.webhook.id, 0, LOCAL_OPERATOR)
    await sender.drain()
    assert house.app.users == ["a", "b"]
    await house.webhooks.replay(added.webhook.id, 0, LOCAL_OPERATOR)
    await sender.drain()
    assert house.app.users == ["a", "b", "a", "b"]


async def test_a_receiver_that_says_gone_is_asked_no_more(house: House) -> None:
    await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    house.app.statuses = [410]
    await house.tell("a")
    await house.sender().drain()
    assert (await house.webhook()).disabled_at is not None


async def test_an_endpoint_hears_of_what_it_asked_for_and_holds_nobody_else_up(house: House) -> None:
    await house.tell("before")
    await house.webhooks.add(f"{URL}/all", [], LOCAL_OPERATOR)
    await house.webhooks.add(f"{URL}/gone", ["user.deleted"], LOCAL_OPERATOR)
    await house.tell("a", kind="user.created")
    await house.tell("a", kind="user.deleted")
    await house.tell("b", kind="session.ended")
    house.app.statuses = [500]
    sender = house.sender()
    await sender.drain()
    house.clock.advance(10)
    await sender.drain()
    told: dict[str, list[str]] = {}
    for url, _, body in house.app.taken:
        told.setdefault(url, []).append(json.loads(body)["type"])
    assert told == {f"{URL}/all": ["user.created", "user.deleted", "session.ended"], f"{URL}/gone": ["user.deleted"]}
    assert {one.delivered_seq for one in await house.webhooks.list_all()} == {4}


async def test_while_one_sends_another_waits_and_takes_over_when_it_has_died(house: House) -> None:
    await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    await house.tell("a")
    house.app.holds = asyncio.Event()
    dying = asyncio.create_task(house.sender().drain())
    async with asyncio.timeout(STOP_SECONDS):
        await house.app.asked.wait()
    other = house.sender()
    await other.drain()
    assert house.app.tried == 1
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    house.app.holds.set()
    house.clock.advance(59)
    await other.drain()
    assert house.app.users == []
    house.clock.advance(62)
    await other.drain()
    assert house.app.users == ["a"]


async def test_an_endpoint_that_is_removed_or_replayed_meanwhile_is_left_alone(house: House) -> None:
    added = await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    await house.tell("a", "b")
    house.app.holds = asyncio.Event()
    sending = asyncio.create_task(house.sender().drain())
    async with asyncio.timeout(STOP_SECONDS):
        await house.app.asked.wait()
    await house.webhooks.remove(added.webhook.id, LOCAL_OPERATOR)
    house.app.holds.set()
    await sending
    assert house.app.users == ["a"]
    for act in (house.webhooks.remove(added.webhook.id, LOCAL_OPERATOR), house.webhooks.test(added.webhook.id)):
        with pytest.raises(NotFound):
            await act
    with pytest.raises(NotFound):
        await house.webhooks.replay(added.webhook.id, 0, LOCAL_OPERATOR)


async def test_a_try_says_what_the_receiver_answered(house: House) -> None:
    added = await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    house.app.statuses = [200, 503]
    assert [await house.webhooks.test(added.webhook.id) for _ in range(2)] == [200, 503]
    assert json.loads(house.app.taken[0][2])["type"] == "webhook.test"


async def test_secrets_lie_sealed(house: House) -> None:
    added = await house.webhooks.add(URL, [], LOCAL_OPERATOR)
    (found,) = await house.db.search(events_store.list_webhooks())
    assert added.secret.encode() not in found.secret_sealed
    assert added.secret not in repr(found)
    assert added.secret not in repr(added)


@pytest.mark.parametrize(
    "url", ["", "app", "ftp://app.example.org", "https://", "https://u:p@app.example.org", "https://a/#b",
            "https://a b", "https://ä.example.org", "https://a:99999", "https://" + "a" * 2_048]
)  # fmt: skip
async def test_an_address_that_cannot_be_asked_is_refused(house: House, url: str) -> None:
    assert webhook_url_fault(url) is not None
    with pytest.raises(Invalid) as refused:
        await house.webhooks.add(url, ["nothing"], LOCAL_OPERATOR)
    assert {error.field for error in refused.value.errors} == {"url", "types"}
    assert await house.webhooks.list_all() == []


def test_every_type_is_documented() -> None:
    assert TYPES == ("user.created", "user.updated", "user.deleted", "session.ended")
