"""The audit trail on a real database: rows with their change or not at all, and no row changed unseen."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, update

from doorward import log
from doorward.audit import AuditEvent, AuditTrail, Event, Outcome
from doorward.audit.store import list_events
from doorward.kernel.caller import OURSELVES, Caller
from doorward.ports import Database, Sealer
from doorward.sql import Statement, Work
from doorward.sql.tables import audit_event, setting
from doorward.testing import MovableClock
from tests.support.logs import restored_logging

CALLER = Caller(address="203.0.113.7", user_agent="x", request_id="req-1")
USER, ACTOR, SESSION = "user-1", "admin-1", "session-1"


@pytest.fixture
def trail(sealer: Sealer, clock: MovableClock) -> AuditTrail:
    return AuditTrail(sealer, clock)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    with restored_logging():
        stream = io.StringIO()
        log.configure(form="json", stream=stream)
        yield stream


def signed_in(trail: AuditTrail, **further: Any) -> Work[None]:
    given: dict[str, Any] = {"user_id": USER, "actor_id": ACTOR, "session_id": SESSION, "payload": {"amr": ["pwd"]}}
    return trail.record(Event.AUTHN_LOGIN_SUCCESS, Outcome.SUCCESS, CALLER, **{**given, **further})


async def only_row(database: Database) -> AuditEvent:
    (row,) = await database.search(list_events())
    return row


@pytest.mark.asvs("16.2.1")
@pytest.mark.asvs("16.3.1")
async def test_a_row_tells_who_what_when_and_from_where(
    database: Database, trail: AuditTrail, clock: MovableClock
) -> None:
    await database.write(lambda: signed_in(trail))
    row = await only_row(database)
    assert (row.event, row.outcome, row.at) == ("authn_login_success", "success", clock.now())
    assert (row.user_id, row.actor_id, row.session_id) == (USER, ACTOR, SESSION)
    assert (row.address, row.request_id) == (CALLER.address, CALLER.request_id)
    assert json.loads(row.payload or "") == {"amr": ["pwd"], "device": "A program"}
    assert trail.verify(row)


async def test_a_row_with_nothing_but_its_event_verifies(database: Database, trail: AuditTrail) -> None:
    await database.write(lambda: trail.record(Event.SYS_STARTUP, Outcome.SUCCESS, OURSELVES))
    row = await only_row(database)
    assert (row.payload, row.payload_digest) == (None, None)
    assert trail.verify(row)


@pytest.mark.asvs("16.4.2")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "0197ae2c-1111-7abc-8def-0123456789ab"),
        ("at", 1),
        ("event", "authn_login_fail"),
        ("outcome", "failure"),
        ("user_id", "somebody-else"),
        ("user_id", None),
        ("actor_id", None),
        ("session_id", "session-2"),
        ("address", "203.0.113.8"),
        ("request_id", ""),
        ("payload", '{"amr":["pwd","otp"]}'),
        ("payload_digest", b"\x00" * 32),
        ("payload_digest", None),
        ("mac", b"\x00" * 32),
        ("key_id", "0000000000000000"),
    ],
)
async def test_a_change_of_any_column_is_noticed(
    database: Database, trail: AuditTrail, column: str, value: str | int | bytes | None
) -> None:
    await database.write(lambda: signed_in(trail))
    await database.write(lambda: change(column, value))
    assert not trail.verify(await only_row(database))


def change(column: str, value: str | int | bytes | None) -> Work[None]:
    yield Statement(update(audit_event).values({column: bindparam("value")}))(value=value)


def test_the_mac_covers_every_column_but_those_of_the_chain() -> None:
    changed_above = {"id", "at", "event", "outcome", "user_id", "actor_id", "session_id", "address", "request_id"}
    changed_above |= {"payload", "payload_digest", "mac", "key_id"}
    assert {column.name for column in audit_event.columns} - changed_above == {"chain_seq", "chain_digest"}


async def test_values_that_move_from_one_column_to_the_next_are_noticed(database: Database, trail: AuditTrail) -> None:
    await database.write(lambda: signed_in(trail))
    row = await only_row(database)
    assert not trail.verify(replace(row, user_id=row.actor_id, actor_id=row.user_id))
    assert not trail.verify(replace(row, address=row.address + row.request_id, request_id=""))


async def test_a_redacted_payload_leaves_a_row_that_still_verifies(database: Database, trail: AuditTrail) -> None:
    await database.write(lambda: signed_in(trail))
    await database.write(lambda: change("payload", None))
    row = await only_row(database)
    assert row.payload is None
    assert row.payload_digest is not None
    assert trail.verify(row)


async def test_what_is_left_of_a_redacted_payload_can_only_be_checked_with_the_sealing_key(
    database: Database, trail: AuditTrail
) -> None:
    """A bare hash of an address could be undone by trying all addresses."""
    await database.write(lambda: signed_in(trail))
    await database.write(lambda: signed_in(trail, payload={"amr": ["pwd"], "n": 2}))
    kept = {row.payload_digest for row in await database.search(list_events())}
    assert len(kept) == 2
    assert trail.sealer.mac(b'{"amr":["pwd"],"device":"A program"}', "audit_payload") in kept
    assert sha256(b'{"amr":["pwd"],"device":"A program"}').digest() not in kept


@pytest.mark.parametrize("evil", ["a\x00b", "\ud800", "line\r\nbreak", "\u202e", "é" * 1000])
async def test_no_input_can_stop_an_audit_row(database: Database, trail: AuditTrail, evil: str) -> None:
    await database.write(lambda: signed_in(trail, payload={"fields": [evil, {evil: evil}], "n": 2**60, "b": True}))
    assert trail.verify(await only_row(database))


@pytest.mark.asvs("16.2.4")
async def test_the_line_of_an_event_is_written_after_the_commit(
    database: Database, trail: AuditTrail, lines: io.StringIO
) -> None:
    def work() -> Work[None]:
        yield from signed_in(trail)
        assert lines.getvalue() == ""

    await database.write(work)
    line = json.loads(lines.getvalue())
    row = await only_row(database)
    assert line == {
        "datetime": "2026-11-23T05:00:00.000+00:00",
        "level": "info",
        "event": "authn_login_success",
        "logger": "doorward.audit",
        "id": row.id,
        "outcome": "success",
        "user_id": USER,
        "actor_id": ACTOR,
        "session_id": SESSION,
        "source_ip": CALLER.address,
        "request_id": CALLER.request_id,
        "details": {"amr": ["pwd"], "device": "A program"},
    }


async def test_a_rolled_back_event_leaves_neither_row_nor_line(
    database: Database, trail: AuditTrail, lines: io.StringIO
) -> None:
    def work() -> Work[None]:
        yield from signed_in(trail)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.search(list_events()) == []
    assert lines.getvalue() == ""


async def test_the_row_and_its_change_are_one(database: Database, trail: AuditTrail) -> None:
    def work() -> Work[None]:
        yield Statement(insert(setting).values(key=bindparam("key"), value=bindparam("value")))(key="a", value="b")
        yield from signed_in(trail)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.search(count_settings()) == 0


def count_settings() -> Work[int]:
    return len((yield Statement(select(setting.c.key).where(setting.c.key == "a"))()))


async def test_events_are_listed_newest_first_and_by_what_is_asked(
    database: Database, trail: AuditTrail, clock: MovableClock
) -> None:
    for user, event in [("u1", Event.USER_CREATED), ("u2", Event.USER_CREATED), ("u1", Event.USER_DELETED)]:
        await database.write(partial(trail.record, event, Outcome.SUCCESS, CALLER, user_id=user))
        clock.advance(1)

    async def listed(**asked: Any) -> list[tuple[str | None, str]]:
        return [(row.user_id, row.event) for row in await database.search(list_events(**asked))]

    everything = [("u1", "user_deleted"), ("u2", "user_created"), ("u1", "user_created")]
    assert await listed() == everything
    assert await listed(limit=1) == everything[:1]
    assert await listed(user_id="u1") == [everything[0], everything[2]]
    assert await listed(event=Event.USER_CREATED) == everything[1:]
    assert await listed(user_id="u1", event=Event.USER_CREATED) == everything[2:]
