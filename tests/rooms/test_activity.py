"""One's own activity on a real database: whole, in order, one's own, ninety days, and without sorting it all."""

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from doorward.account.activity import MOST, Activity, Happening, Page
from doorward.audit import AuditReader, AuditTrail, Event, Outcome
from doorward.audit.store import LIST_OF_USER
from doorward.kernel.caller import LOCAL_OPERATOR, Caller
from doorward.kernel.errors import Malformed
from doorward.kernel.ids import first_id, new_id
from doorward.kernel.instant import DAY
from doorward.ports import Database, Sealer
from doorward.sessions import Session
from doorward.sql import Statement, Work
from doorward.sql.migrate import raw
from doorward.sql.tables import audit_event
from doorward.testing import MovableClock

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ADA, EVE = "01890000-0000-7000-8000-00000000ada0", "01890000-0000-7000-8000-00000000e4e0"
SESSION = Session(
    id="session-of-ada", user_id=ADA, uid="ada", name="Ada", roles=(), status="active", transport="cookie",
    amr=("pwd",), aal=1, auth_time=0, created_at=0, last_seen_at=0, expires_at=0, address="", user_agent="",
)  # fmt: skip


@dataclass
class Room:
    """Ada's activity, and what writes it."""

    db: Database
    clock: MovableClock
    trail: AuditTrail
    activity: Activity
    requests: int = 0

    async def happen(
        self, event: Event = Event.AUTHN_LOGIN_SUCCESS, *, user_id: str = ADA, seconds: float = 1, **further: Any
    ) -> None:
        """One event in a request of its own, and some time after it."""
        self.requests += 1
        caller = further.pop("caller", Caller("192.0.2.1", FIREFOX, f"request-{self.requests}"))
        given = {"actor_id": user_id, "outcome": Outcome.SUCCESS, **further}
        outcome = given.pop("outcome")
        await self.db.write(partial(self.trail.record, event, outcome, caller, user_id=user_id, **given))
        self.clock.advance(seconds)

    async def page(self, limit: int = 50, cursor: str | None = None, **further: Any) -> Page:
        return await self.activity.page(SESSION, limit, cursor, **further)

    async def only(self) -> Happening:
        (row,) = (await self.page()).rows
        return row


@pytest.fixture
def room(database: Database, clock: MovableClock, sealer: Sealer) -> Room:
    trail = AuditTrail(sealer, clock)
    return Room(database, clock, trail, Activity(AuditReader(database, trail), clock))


async def test_pages_leave_nothing_out_and_repeat_nothing_while_events_arrive(room: Room) -> None:
    for _ in range(23):
        await room.happen()
        await room.happen(user_id=EVE)
    before = [row.id for row in (await room.page(200)).rows]
    assert len(before) == 23
    assert before == sorted(before, reverse=True)
    read: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = await room.page(5, cursor)
        read += [row.id for row in page.rows]
        cursor, pages = page.next_cursor, pages + 1
        for _ in range(3):
            await room.happen()
    assert (read, pages) == (before, 5)
    assert len((await room.page(200)).rows) == 23 + 3 * pages


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10])
async def test_the_last_page_says_that_it_is_the_last(room: Room, count: int) -> None:
    for _ in range(count):
        await room.happen()
    page = await room.page(5)
    assert len(page.rows) == min(count, 5)
    assert (page.next_cursor is None) == (count <= 5)


@pytest.mark.asvs("8.2.2")
async def test_only_what_is_about_the_owner_is_shown(room: Room) -> None:
    await room.happen(user_id=EVE)
    await room.happen(Event.AUTHZ_FAIL, user_id=EVE, actor_id=ADA, session_id=SESSION.id)
    await room.happen(Event.SYS_STARTUP, user_id=EVE, actor_id=None)
    assert (await room.page()).rows == []
    await room.happen()
    eves = (await room.activity.audit.of_user(EVE, since=0, limit=9))[0].id
    assert [row.event for row in (await room.page(cursor="ffffffff-ffff-ffff-ffff-ffffffffffff")).rows] == [
        "authn_login_success"
    ]
    assert (await room.page(cursor=eves)).rows == []


async def test_ninety_days_are_shown_to_the_microsecond(room: Room) -> None:
    begun_at = room.clock.now()
    await room.happen(seconds=0.000001)
    await room.happen(Event.USER_CREATED, seconds=0)
    room.clock.advance(90 * 86_400 - 0.000001)
    assert room.clock.now() == begun_at + 90 * DAY
    assert [row.event for row in (await room.page()).rows] == ["user_created", "authn_login_success"]
    room.clock.advance(0.000001)
    assert [row.event for row in (await room.page()).rows] == ["user_created"]
    room.clock.advance(0.000001)
    assert (await room.page()).rows == []


@pytest.mark.parametrize(
    "cursor", ["", "x", "' OR 1=1 --", "0" * 36, "01890000-0000-7000-8000-00000000ADA0", "\x00", "\ud800", "9" * 5000]
)
async def test_a_cursor_that_is_no_id_is_refused(room: Room, cursor: str) -> None:
    await room.happen()
    with pytest.raises(Malformed):
        await room.page(cursor=cursor)


async def test_a_cursor_of_nothing_is_just_a_place_in_time(room: Room) -> None:
    await room.happen()
    between = first_id(room.clock.now())
    await room.happen(Event.USER_CREATED)
    assert [row.event for row in (await room.page(cursor=between)).rows] == ["authn_login_success"]


async def test_a_page_for_people_ends_where_a_request_ends(room: Room) -> None:
    for number in range(3):
        caller = Caller("192.0.2.1", FIREFOX, f"sign-in-{number}")
        await room.happen(Event.SESSION_CREATED, caller=caller, seconds=0.001)
        await room.happen(caller=caller)
    page = await room.page(3, whole=True)
    assert [row.request_id for row in page.rows] == ["sign-in-2"] * 2
    following = await room.page(3, page.next_cursor, whole=True)
    assert [row.request_id for row in following.rows] == ["sign-in-1"] * 2
    assert len((await room.page(3)).rows) == 3, "programs get as many as they ask for"


async def test_a_request_longer_than_a_page_is_shown_in_parts(room: Room) -> None:
    caller = Caller("192.0.2.1", FIREFOX, "long")
    for _ in range(5):
        await room.happen(Event.SESSION_LOGOUT, caller=caller)
    page = await room.page(3, whole=True)
    assert len(page.rows) == 3
    assert len((await room.page(3, page.next_cursor, whole=True)).rows) == 2


async def test_events_of_no_request_are_no_request_together(room: Room) -> None:
    for _ in range(4):
        await room.happen(caller=LOCAL_OPERATOR)
    assert len((await room.page(3, whole=True)).rows) == 3


# What is shown --------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.2.1")
async def test_an_event_tells_device_and_address_and_whether_it_was_here(room: Room) -> None:
    await room.happen(session_id=SESSION.id, payload={"amr": ["pwd"]})
    row = await room.only()
    assert (row.device, row.address, row.place, row.is_here) == ("Firefox on Linux", "192.0.2.1", None, True)
    assert (row.event, row.outcome, row.words.text) == (
        "authn_login_success", "success", "You signed in with your password",
    )  # fmt: skip


async def test_what_was_recorded_without_a_user_agent_names_no_device(room: Room) -> None:
    await room.happen(caller=Caller("192.0.2.1"), session_id="another")
    row = await room.only()
    assert (row.device, row.address, row.is_here) == (None, "192.0.2.1", False)


async def test_places_are_asked_once_for_each_address_in_the_readers_language(room: Room) -> None:
    asked: list[tuple[str, str]] = []

    def find(address: str, locale: str) -> str | None:
        asked.append((address, locale))
        return f"Place of {address}"

    activity = Activity(room.activity.audit, room.clock, find)
    for _ in range(3):
        await room.happen()
    await room.happen(Event.USER_UPDATED, actor_id=EVE, payload={"fields": ["name"]})
    page = await activity.page(SESSION, 50, locale="de")
    assert [row.place for row in page.rows] == [None, *["Place of 192.0.2.1"] * 3]
    assert asked == [("192.0.2.1", "de")]


@pytest.mark.asvs("14.2.6")
async def test_an_administrator_is_neither_named_nor_shown(room: Room) -> None:
    await room.happen(Event.USER_UPDATED, actor_id=EVE, session_id=SESSION.id, payload={"fields": ["name"]})
    await room.happen(Event.USER_UPDATED, actor_id=None, caller=LOCAL_OPERATOR, payload={"status": "active"})
    for row in (await room.page()).rows:
        assert row.words.text.startswith("An administrator ")
        assert (row.device, row.address, row.place, row.is_here) == (None, None, None, False)
        assert EVE not in repr(row)


async def test_the_command_line_is_no_address(room: Room) -> None:
    await room.happen(Event.SESSION_LOGOUT, caller=LOCAL_OPERATOR, payload={"why": "ended with the others"})
    assert (await room.only()).address is None


@pytest.mark.parametrize("left", [None, "no JSON", "[1]", '"text"', "null"])
async def test_a_payload_that_was_redacted_or_spoilt_stops_nothing(room: Room, left: str | None) -> None:
    if left == "no JSON" and room.db.dialect == "postgresql":
        left = None  # jsonb holds nothing else
    await room.happen(Event.USER_UPDATED, payload={"fields": ["email"], "email": "proven"})
    await room.db.write(partial(spoil, left))
    row = await room.only()
    assert (row.words.text, row.device, row.address) == ("You changed your profile", None, "192.0.2.1")


def spoil(left: str | None) -> Work[None]:
    yield Statement(update(audit_event).values(payload=bindparam("left")))(left=left)


async def test_every_browser_is_described_whoever_the_event_is_about(room: Room) -> None:
    """Else the size of a row would tell whether there is such a user (C16)."""
    caller = Caller("192.0.2.1", FIREFOX, "r")
    for user_id in (None, ADA):
        await room.db.write(
            partial(
                room.trail.record, Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, caller, user_id=user_id,
                payload={"purpose": "recovery"},
            )
        )  # fmt: skip
    rows = await room.activity.audit.newest(limit=9)
    assert [json.loads(row.payload or "") for row in rows] == [
        {"purpose": "recovery", "device": "Firefox on Linux"}
    ] * 2
    assert all(room.trail.verify(row) for row in rows)


async def test_a_user_agent_is_kept_in_words_only(room: Room) -> None:
    await room.happen(caller=Caller("192.0.2.1", "Mozilla/5.0 <script> canary", "r"))
    (row,) = await room.activity.audit.newest(limit=9)
    assert json.loads(row.payload or "") == {"device": "A browser"}


# The file, and the cost -----------------------------------------------------------------------------------------------


async def test_the_file_holds_everything_up_to_its_bound(room: Room) -> None:
    await fill(room, ADA, MOST + 20)
    newest = [row async for rows in room.activity.pages(SESSION) for row in rows]
    assert len(newest) == MOST
    ids = [row.id for row in newest]
    assert ids == sorted(set(ids), reverse=True)
    assert newest[0].id == (await room.page(1)).rows[0].id
    rest = await room.page(200, ids[-1])
    assert len(rest.rows) == 20


async def test_a_page_is_found_in_the_index_and_nothing_is_sorted(room: Room) -> None:
    await fill(room, ADA, 300)
    await fill(room, EVE, 6_000)
    asked = {"user_id": ADA, "first": first_id(0), "before": "g", "limit": 51}
    plan = await room.db.search(explained(room.db, asked))
    assert "ix_audit_event_user_id_id" in plan, plan
    assert "SORT" not in plan.upper(), plan
    assert "TEMP B-TREE" not in plan.upper(), plan


async def fill(room: Room, user_id: str, count: int) -> None:
    """So many events a second apart, made elsewhere and copied in."""
    caller = Caller("192.0.2.1", FIREFOX, "r")
    now = room.clock.now()

    def work() -> Work[None]:
        for number in range(count):
            yield _COPY(
                id=new_id(now + number), at=now + number, event="authn_login_success", outcome="success",
                user_id=user_id, actor_id=user_id, address=caller.address, request_id=str(number),
                payload='{"amr":["pwd"]}', mac=b"m", key_id="k",
            )  # fmt: skip

    await room.db.write(work)
    room.clock.advance(1)


_COPIED = ("id", "at", "event", "outcome", "user_id", "actor_id", "address", "request_id", "payload", "mac", "key_id")
_COPY = Statement(audit_event.insert().values({name: bindparam(name) for name in _COPIED}))


def explained(db: Database, asked: dict[str, Any]) -> Work[str]:
    """How the database would look for a page."""
    if db.dialect == "postgresql":
        yield raw("ANALYZE audit_event")
    look = Statement(LIST_OF_USER._clause)  # noqa: SLF001  ours
    look.sqlite = replace(look.sqlite, sql=f"EXPLAIN QUERY PLAN {look.sqlite.sql}")
    look.postgresql = replace(look.postgresql, sql=f"EXPLAIN {look.postgresql.sql}")
    return "\n".join(str(row) for row in (yield look(**asked)))
