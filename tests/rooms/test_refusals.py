"""Refusals in the audit: one row a minute for each kind, and no number is lost."""

import json

import pytest

from doorward.audit import AuditTrail, Event, Refusals
from doorward.audit.store import list_events
from doorward.kernel.caller import Caller
from doorward.ports import Database, Sealer
from doorward.testing import MovableClock
from tests.support.databases import Interrupted

CALLER = Caller(address="192.0.2.1", request_id="r1")
LATER = Caller(address="192.0.2.2", request_id="r2")


@pytest.fixture
def interrupted(database: Database) -> Interrupted:
    return Interrupted(database)


@pytest.fixture
def refusals(interrupted: Interrupted, clock: MovableClock, sealer: Sealer) -> Refusals:
    return Refusals(interrupted, clock, AuditTrail(sealer, clock))


async def refuse(refusals: Refusals, actor: str = "u1", caller: Caller = CALLER) -> None:
    payload = {"verb": "delete", "resource": "user"}
    await refusals.note(Event.AUTHZ_FAIL, caller, payload, user_id="victim", actor_id=actor)


async def sums(database: Database) -> list[tuple[str | None, str, int]]:
    found = reversed(await database.search(list_events(event=Event.AUTHZ_FAIL)))
    return [(row.actor_id, row.address, json.loads(row.payload or "")["refused"]) for row in found]


@pytest.mark.asvs("16.3.3")
async def test_the_first_is_written_at_once_and_the_rest_of_its_minute_as_a_sum(
    refusals: Refusals, database: Database, clock: MovableClock
) -> None:
    for _ in range(200):
        await refuse(refusals)
    assert await sums(database) == [("u1", CALLER.address, 1)]
    clock.advance(60)
    await refuse(refusals, caller=LATER)
    assert await sums(database) == [("u1", CALLER.address, 1), ("u1", LATER.address, 200)]


async def test_each_actor_has_a_sum_of_their_own(refusals: Refusals, database: Database) -> None:
    await refuse(refusals, "u1")
    await refuse(refusals, "u2")
    assert {actor for actor, *_ in await sums(database)} == {"u1", "u2"}


async def test_flushing_writes_what_nobody_came_to_write_and_nothing_twice(
    refusals: Refusals, database: Database, clock: MovableClock
) -> None:
    for _ in range(3):
        await refuse(refusals)
    clock.advance(1)
    await refusals.flush()
    await refusals.flush()
    clock.advance(60)
    await refusals.flush()
    assert [count for *_, count in await sums(database)] == [1, 2]


async def test_what_could_not_be_written_is_in_the_next_row(
    refusals: Refusals, interrupted: Interrupted, database: Database, clock: MovableClock
) -> None:
    interrupted.down = True
    await refuse(refusals)
    await refusals.flush()
    await refuse(refusals)
    interrupted.down = False
    clock.advance(60)
    await refuse(refusals)
    assert [count for *_, count in await sums(database)] == [3]
