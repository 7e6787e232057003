"""Users who leave, on real databases: gone for everybody at once, back within 14 days, erased once. ASVS 7.4.2, 14.2.7.

UX-58.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from doorward.audit import AuditEvent, AuditTrail
from doorward.audit.store import list_events
from doorward.kernel.caller import LOCAL_OPERATOR, Caller
from doorward.kernel.errors import Conflict, Invalid, NotFound, Problem, Unavailable
from doorward.kernel.instant import DAY, Instant, to_rfc3339
from doorward.ports import Database, Sealer
from doorward.sql import Row, Statement, Work
from doorward.sql.tables import deletion, identifier, users
from doorward.testing import MovableClock
from doorward.users import Declaration, Departure, Directory, Schema, SessionsEnd, User, UsersService
from tests.support.databases import open_database

CALLER = Caller("192.0.2.1")
SCHEMA = Schema({"coins": Declaration(type="integer", write="app", read="public", sortable=True, default=0)})
DAYS_14 = 14 * DAY
DELETIONS = Statement(select(deletion.c.user_id, deletion.c.asked_at, deletion.c.due_at))
IDS = Statement(select(users.c.id))
IDENTIFIERS = Statement(select(identifier.c.user_id))


def ask(query: Statement, **params: Any) -> Work[list[Row]]:
    return list((yield query(**params)))


def nothing(_: User, __: Instant) -> Work[None]:
    yield from ()


@dataclass
class Room:
    """The service, what it told the caches, and of whose end it told."""

    db: Database
    service: UsersService
    clock: MovableClock
    revoked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def add(self, uid: str, *, roles: tuple[str, ...] = (), **body: object) -> User:
        new = self.service.validate_sign_up({"uid": uid, "name": f"Name of {uid}", **body})
        user, _ = await self.service.create(new, CALLER, also=nothing, roles=roles)
        self.clock.advance(1)  # ids alone put events in order
        return user

    async def leave(self, user: User) -> Instant:
        now = self.clock.now()
        return await self.db.write(lambda: self.service.leave(user.id, CALLER, now))

    async def restore(self, user: User, now: Instant | None = None) -> User:
        at = self.clock.now() if now is None else now
        return await self.db.write(lambda: self.service.restore(user.id, CALLER, at))

    async def erase(self, now: Instant | None = None) -> int:
        return await self.service.erase_due(self.clock.now() if now is None else now, also=self.tell)

    def tell(self, user: User, _: Instant) -> Work[None]:
        yield from ask(IDS)
        self.told.append(user.id)

    async def rows(self, query: Statement) -> list[Row]:
        return await self.db.search(ask(query))

    async def events(self) -> list[AuditEvent]:
        """What was audited, oldest first."""
        return (await self.db.search(list_events(limit=1_000)))[::-1]


def room_on(database: Database, sealer: Sealer, clock: MovableClock) -> Room:
    revoked: list[str] = []

    def revoke(user_id: str, _: Instant, end: SessionsEnd | None) -> Work[None]:
        revoked.append(user_id if end is None else f"{user_id}: {end.why}")
        yield from ()

    service = UsersService(database, clock, AuditTrail(sealer, clock), SCHEMA, revoke)
    return Room(database, service, clock, revoked)


@pytest.fixture
def room(database: Database, sealer: Sealer, clock: MovableClock) -> Room:
    return room_on(database, sealer, clock)


def payload_of(event: AuditEvent) -> Any:
    return json.loads(event.payload or "null")


# Leaving ------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.4.2")
async def test_whoever_leaves_is_out_at_once_and_due_in_14_days(room: Room) -> None:
    user = await room.add("ada", email="ada@example.org")
    asked_at = room.clock.now()
    due_at = await room.leave(user)

    assert due_at == asked_at + DAYS_14
    assert await room.rows(DELETIONS) == [(user.id, asked_at, due_at)]
    assert await room.service.leaving(user.id) == due_at
    assert room.revoked == [f"{user.id}: leaving"], "every session ends, and what waits to be confirmed"
    found = await room.service.find(user.id)
    assert found is not None
    assert (found.status, found.version, found.updated_at) == ("leaving", user.version + 1, asked_at)
    event = (await room.events())[-1]
    assert (event.event, event.outcome, event.user_id, event.actor_id) == (
        "user_archived", "success", user.id, user.id,
    )  # fmt: skip
    assert payload_of(event) == {"due_at": to_rfc3339(due_at)}


async def test_nobody_who_is_leaving_is_in_the_directory_or_among_those_with_a_role(room: Room) -> None:
    await room.add("eve", roles=("support",))
    user = await room.add("ada", roles=("support",))
    directory = Directory(room.db, SCHEMA, room.clock)
    await room.leave(user)

    for sort in ("created_at", "name", "-coins"):
        page = await directory.page(sort=sort, admin=True)
        assert [row.uid for row in page.rows] == ["eve"]
        assert (await directory.page(sort=sort, viewer_id=user.id)).own is None
    eve = await room.service.find_by_identifier("eve")
    assert eve is not None
    await room.service.set_roles(eve.id, [], None, CALLER)
    assert not await room.service.any_with_role("support")


@pytest.mark.parametrize("other", ["ada", "ADA", "\u0430da"])
async def test_their_handle_stays_theirs(room: Room, other: str) -> None:
    await room.leave(await room.add("ada"))
    assert await room.service.taken(other)
    with pytest.raises(Invalid) as refused:
        await room.add(other)
    assert [error.code for error in refused.value.errors] == ["taken"]


async def test_their_proven_address_stays_theirs(room: Room) -> None:
    ada, eve = await room.add("ada"), await room.add("eve")
    now = room.clock.now()
    await room.db.write(lambda: room.service.prove(ada.id, "email", "ada@example.org", CALLER, now))
    await room.leave(ada)

    assert await room.service.proven_owner("email", "ADA@example.org") == ada.id
    with pytest.raises(Conflict):
        await room.db.write(lambda: room.service.prove(eve.id, "email", "ada@example.org", CALLER, now))
    assert (await room.restore(ada)).email_verified


async def test_the_last_administrator_cannot_leave_and_of_two_at_once_one_stays(room: Room) -> None:
    ada = await room.add("ada", roles=("admin",))
    with pytest.raises(Conflict):
        await room.leave(ada)
    assert await room.rows(DELETIONS) == []
    eve = await room.add("eve", roles=("admin",))
    outcomes = await asyncio.gather(room.leave(ada), room.leave(eve), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "int"]
    assert await room.service.any_with_role("admin")


async def test_twenty_at_once_leave_once(room: Room) -> None:
    user = await room.add("ada")
    outcomes = await asyncio.gather(*(room.leave(user) for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 19
    assert len(await room.rows(DELETIONS)) == 1
    assert [event.event for event in await room.events()] == ["user_created", "user_archived"]


async def test_nobody_leaves_who_is_not_active(room: Room) -> None:
    user = await room.add("ada")
    await room.service.set_status(user.id, "disabled", None, CALLER)
    for one in (user, User("nobody", "", "", None, False, None, "active", (), {}, None, 1, 0, 0)):  # noqa: FBT003  a column
        with pytest.raises(NotFound):
            await room.leave(one)
    assert await room.rows(DELETIONS) == []


async def test_a_status_set_by_the_operator_would_lose_the_deletion_and_is_refused(room: Room) -> None:
    user = await room.add("ada")
    await room.leave(user)
    with pytest.raises(Conflict):
        await room.service.set_status(user.id, "active", None, CALLER)
    with pytest.raises(Conflict):
        await room.service.set_status(user.id, "disabled", None, CALLER)
    room.clock.advance(14 * 86_400)
    assert await room.erase() == 1


# Coming back --------------------------------------------------------------------------------------------------------


async def test_whoever_comes_back_has_everything_but_the_sessions(room: Room) -> None:
    user = await room.add("ada", roles=("support",), email="ada@example.org", dob="1990-12-10")
    await room.leave(user)
    room.clock.advance(5)
    back = await room.restore(user)

    assert (back.status, back.roles, back.email, back.dob, back.fields) == (
        "active", ("support",), "ada@example.org", "1990-12-10", {"coins": 0},
    )  # fmt: skip
    assert await room.service.find(user.id) == back
    assert await room.rows(DELETIONS) == []
    assert await room.service.leaving(user.id) is None
    assert room.revoked == [f"{user.id}: leaving", f"{user.id}: status changed"], "nor one that began meanwhile"
    event = (await room.events())[-1]
    assert (event.event, event.user_id, event.actor_id) == ("user_updated", user.id, user.id)
    assert payload_of(event) == {"fields": ["status"], "status": "active"}
    room.clock.advance(20 * 86_400)
    assert await room.erase() == 0
    assert await room.service.find(user.id) == back


async def test_the_audit_tells_when_the_operator_brought_somebody_back(room: Room) -> None:
    user = await room.add("ada")
    await room.leave(user)
    room.clock.advance(1)
    now = room.clock.now()
    await room.db.write(lambda: room.service.restore(user.id, LOCAL_OPERATOR, now, by_owner=False))
    event = (await room.events())[-1]
    assert (event.user_id, event.actor_id, event.address) == (user.id, None, "local")


async def test_only_who_is_leaving_comes_back_and_only_once(room: Room) -> None:
    user, other = await room.add("ada"), await room.add("eve")
    await room.service.set_status(other.id, "disabled", None, CALLER)
    for one in (user, other):
        with pytest.raises(Conflict):
            await room.restore(one)
    await room.leave(user)
    outcomes = await asyncio.gather(*(room.restore(user) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19
    await room.service.delete(user.id, None, CALLER)
    with pytest.raises(NotFound):
        await room.restore(user)


async def test_the_time_to_come_back_ends_with_the_microsecond(room: Room) -> None:
    ada, eve = await room.add("ada"), await room.add("eve")
    due_at = await room.leave(ada)
    await room.leave(eve)
    with pytest.raises(NotFound):
        await room.restore(ada, due_at)
    assert (await room.restore(eve, due_at - 1)).status == "active"
    room.clock.advance(14 * 86_400)
    assert await room.service.leaving(ada.id) is None, "as good as erased, however late the chore comes"


# Erasing ------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("14.2.7")
async def test_it_comes_about_after_14_days_and_not_a_microsecond_before(room: Room) -> None:
    user = await room.add("ada", email="ada@example.org")
    asked_at = room.clock.now()
    due_at = await room.leave(user)
    room.clock.advance(1)

    assert await room.erase(due_at - 1) == 0
    assert await room.service.find(user.id) is not None
    assert await room.erase(due_at) == 1
    for query in (IDS, IDENTIFIERS, DELETIONS):
        assert await room.rows(query) == []
    assert room.told == [user.id]
    assert room.revoked[-1] == f"{user.id}: deleted"
    event = (await room.events())[-1]
    assert (event.event, event.user_id, event.actor_id, event.address) == ("user_deleted", user.id, user.id, "local")
    assert payload_of(event) == {"asked_at": to_rfc3339(asked_at)}
    assert await room.erase(due_at) == 0
    assert (await room.add("ada")).id != user.id


async def test_what_cannot_be_told_is_not_done(room: Room) -> None:
    user = await room.add("ada")
    due_at = await room.leave(user)

    def failing(_: User, __: Instant) -> Work[None]:
        yield from ask(IDS)
        raise Unavailable(retry_after_seconds=1, reason="down")

    with pytest.raises(Unavailable):
        await room.service.erase_due(due_at, also=failing)
    assert await room.service.find(user.id) is not None
    assert await room.erase(due_at) == 1


async def test_an_administrator_may_erase_at_once_who_is_leaving(room: Room) -> None:
    user = await room.add("ada")
    due_at = await room.leave(user)
    await room.service.delete(user.id, None, CALLER)
    assert await room.rows(DELETIONS) == []
    assert await room.erase(due_at) == 0
    assert room.told == []


async def test_those_who_are_leaving_are_listed_the_next_first(room: Room) -> None:
    ada, eve, bob = [await room.add(uid) for uid in ("ada", "eve", "bob")]
    expected = []
    for user in (eve, ada, bob):
        room.clock.advance(60)
        expected.append(Departure(user.id, user.uid, room.clock.now(), await room.leave(user)))
    assert await room.service.departures(10) == expected
    assert await room.service.departures(2) == expected[:2]
    await room.restore(eve)
    assert await room.service.departures(10) == expected[1:]


@asynccontextmanager
async def workers(address: str, sealer: Sealer, clock: MovableClock, count: int) -> AsyncIterator[Sequence[Room]]:
    """Rooms of several processes on one database."""
    async with AsyncExitStack() as stack:
        rooms = []
        for _ in range(count):
            database = await open_database(address)
            stack.push_async_callback(database.close)
            rooms.append(room_on(database, sealer, clock))
        yield rooms


async def test_several_workers_erase_each_user_once(
    room: Room, database_address: str, sealer: Sealer, clock: MovableClock
) -> None:
    leaving = [await room.add(f"user-{number}") for number in range(130)]  # more than are looked at at once
    staying = await room.add("ada")
    due_at = max([await room.leave(user) for user in leaving])
    async with workers(database_address, sealer, clock, 4) as rooms:
        erased = sum(await asyncio.gather(*(one.erase(due_at) for one in (room, *rooms))))
        while more := await room.erase(due_at):  # what each of them left to the others
            erased += more
        told = [user_id for one in (room, *rooms) for user_id in one.told]

    assert erased == 130
    assert sorted(told) == sorted(user.id for user in leaving)
    assert [event.event for event in await room.events()].count("user_deleted") == 130
    assert await room.rows(IDS) == [(staying.id,)]


async def test_one_worker_erases_as_many_as_there_are(room: Room) -> None:
    due_at = max([await room.leave(await room.add(f"user-{number}")) for number in range(230)])
    assert await room.erase(due_at) == 230
    assert await room.rows(IDS) == []


async def test_between_coming_back_and_the_end_there_is_no_third_way(
    room: Room, database_address: str, sealer: Sealer, clock: MovableClock
) -> None:
    ends = set()
    async with workers(database_address, sealer, clock, 2) as (one, other):
        for number in range(12):
            user = await room.add(f"user-{number}")
            due_at = await room.leave(user)
            attempts = [one.restore(user, due_at - 1), other.erase(due_at)]
            if number % 2:
                attempts.reverse()
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
            back = [outcome for outcome in outcomes if isinstance(outcome, User)]
            refused = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
            found = await room.service.find(user.id)
            assert await room.rows(DELETIONS) == []
            if back:
                assert (found, refused, outcomes.count(0)) == (back[0], [], 1)
            else:
                assert found is None
                assert [type(problem) for problem in refused] == [NotFound]
                assert outcomes.count(1) == 1
            ends.add(bool(back))
    assert [event.event for event in await room.events()].count("user_deleted") == len(other.told)
    assert ends, "whichever was first"
