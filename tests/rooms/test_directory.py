"""The directory on real databases: pages that lose and repeat nobody, and ranks that are right."""

import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from doorward.kernel.caller import Caller
from doorward.kernel.errors import Invalid, Malformed
from doorward.kernel.ids import new_id
from doorward.kernel.instant import SECOND
from doorward.ports import Database
from doorward.sql import Row, Statement, Work, migrate
from doorward.testing import MovableClock
from doorward.users import CoreRead, Declaration, Directory, NewUser, Schema, index_statements, store
from doorward.users import order as orders
from doorward.users import ranking as rankings
from doorward.users.directory import Page, write_cursor
from doorward.users.order import Order, Position
from tests.support.databases import open_database

CALLER = Caller("192.0.2.1")
FIELDS = {
    "coins": Declaration(type="integer", write="app", read="public", sortable=True),
    "ratio": Declaration(type="number", read="members", sortable=True),
    "club": Declaration(type="string", read="members", sortable=True, max_length=50),
    "since": Declaration(type="date", read="members", sortable=True),
    "salary": Declaration(type="integer", sortable=True),
    "motto": Declaration(type="string", read="members"),
    "tracking": Declaration(type="json", read="members"),
}
SCHEMA = Schema(FIELDS)


@dataclass
class World:
    """A directory and a way to fill it."""

    db: Database
    clock: MovableClock
    directory: Directory

    async def add(self, uid: str, **fields: object) -> str:
        """Add a user; their name is their uid unless told otherwise."""
        self.clock.advance(0.001)
        user_id = new_id(self.clock.now())
        new = NewUser(uid, str(fields.pop("name", uid)), fields=fields, email=f"{uid}@example.org", dob="1990-01-01")
        await self.db.write(lambda: store.insert_user(user_id, new, (), self.clock.now()))
        return user_id

    async def change(self, user_id: str, **columns: str) -> None:
        """Overwrite columns of a user."""
        assignments = ", ".join(f"{name} = '{value}'" for name, value in columns.items())
        statement = Statement(text(f"UPDATE users SET {assignments} WHERE id = :user_id"))  # noqa: S608  test values

        def work() -> Work[Sequence[Row]]:
            return (yield statement(user_id=user_id))

        await self.db.write(work)

    async def pages(self, sort: str, limit: int, between: Callable[[], Awaitable[None]] | None = None) -> list[Page]:
        """Every page, with something happening after each."""
        found: list[Page] = []
        while not found or found[-1].next_cursor:
            cursor = found[-1].next_cursor if found else None
            found.append(await self.directory.page(sort=sort, limit=limit, cursor=cursor, viewer_id="nobody"))
            if between is not None:
                await between()
        return found


@pytest.fixture
async def world(database_address: str, clock: MovableClock) -> AsyncIterator[World]:
    """A directory with its indexes."""
    db = await open_database(database_address)
    await migrate.upgrade(db, extra=index_statements(FIELDS, db.dialect))
    yield World(db, clock, Directory(db, SCHEMA, clock))
    await db.close()


def ranks(pages: Sequence[Page]) -> dict[str | None, int | None]:
    return {row.uid: row.rank for page in pages for row in page.rows}


def uids(pages: Sequence[Page]) -> list[str | None]:
    return [row.uid for page in pages for row in page.rows]


async def test_ties_share_a_rank_and_whoever_has_no_value_comes_last_without_one(world: World) -> None:
    for uid, coins in {
        "ann": 10,
        "bob": 30,
        "cem": 30,
        "dee": None,
        "eve": 0,
        "fay": 30,
        "gus": -5,
        "hal": None,
    }.items():
        await world.add(uid, **({} if coins is None else {"coins": coins}))

    for limit in (1, 2, 3, 200):
        down = await world.pages("-coins", limit)
        assert ranks(down) == {
            "bob": 1, "cem": 1, "fay": 1, "ann": 4, "eve": 5, "gus": 6, "dee": None, "hal": None
        }  # fmt: skip
        assert uids(down) == ["fay", "cem", "bob", "ann", "eve", "gus", "hal", "dee"]
        up = await world.pages("coins", limit)
        assert ranks(up) == {"gus": 1, "eve": 2, "ann": 3, "bob": 4, "cem": 4, "fay": 4, "dee": None, "hal": None}
        assert uids(up) == ["gus", "eve", "ann", "bob", "cem", "fay", "dee", "hal"]


@pytest.mark.parametrize("limit", [1, 3, 7])
@pytest.mark.parametrize("sort", ["coins", "ratio", "club", "since"])
@pytest.mark.parametrize("sign", ["", "-"])
async def test_pages_agree_with_a_plain_sort(world: World, sort: str, sign: str, limit: int) -> None:
    chance = random.Random(7)  # noqa: S311  sample data
    choices: Mapping[str, Sequence[object]] = {
        "coins": [None, 0, -1, 5, 2**63 - 1, -(2**63), 7],
        "ratio": [None, 0.1, 0.30000000000000004, 1e300, -1e-300, 3, 2.5],
        "club": [None, "", "Zoë", "apple", "Zebra", "\U0001f600", "ﬀ", "é"],
        "since": [None, "2020-01-01", "1999-12-31", "2026-11-23"],
    }
    values = {f"user{number}": chance.choice(choices[sort]) for number in range(23)}
    for uid, value in values.items():
        await world.add(uid, **({} if value is None else {sort: value}))

    found = await world.pages(sign + sort, limit)
    given: list[Any] = [value for value in values.values() if value is not None]
    present = sorted(given, reverse=sign == "-")
    assert sorted(map(str, uids(found))) == sorted(values)
    assert [row.values[sort] for page in found for row in page.rows if row.values[sort] is not None] == present
    assert ranks(found) == {uid: None if value is None else present.index(value) + 1 for uid, value in values.items()}


async def test_names_sort_without_regard_to_case_and_creation_by_time(world: World) -> None:
    for uid, name in {"one": "bea", "two": "Ann", "three": "ann", "four": "Cem", "five": "Éva"}.items():
        await world.add(uid, name=name)
    assert uids(await world.pages("name", 2)) == ["two", "three", "one", "four", "five"]
    assert uids(await world.pages("-name", 2)) == ["five", "four", "one", "three", "two"]
    assert uids(await world.pages("created_at", 2)) == ["one", "two", "three", "four", "five"]
    assert uids(await world.pages("-created_at", 2)) == ["five", "four", "three", "two", "one"]
    assert set(ranks(await world.pages("name", 2)).values()) == {None}


@pytest.mark.parametrize("sort", ["-coins", "coins", "name", "-created_at", "created_at"])
async def test_nobody_is_lost_or_repeated_when_users_come_and_go_between_pages(world: World, sort: str) -> None:
    chance = random.Random(3)  # noqa: S311  sample data
    before = {f"user{number}": await world.add(f"user{number}", coins=chance.randrange(4)) for number in range(30)}
    numbers = itertools.count()

    async def come_and_go() -> None:
        await world.add(f"new{next(numbers)}", coins=chance.randrange(4))
        gone = before.pop(chance.choice(sorted(before)))
        await world.change(gone, status="disabled")

    found = uids(await world.pages(sort, 4, come_and_go))
    assert len(found) == len(set(found))
    assert set(before) <= set(found)


async def test_disabled_users_do_not_appear_or_count(world: World) -> None:
    ann, bob = await world.add("ann", coins=5), await world.add("bob", coins=9)
    await world.change(bob, status="disabled")
    page = await world.directory.page(sort="-coins", viewer_id=bob)

    assert ranks([page]) == {"ann": 1}
    assert page.own is None
    own = (await world.directory.page(sort="-coins", viewer_id=ann)).own
    assert own is not None
    assert (own.rank, own.own) == (1, True)


async def test_the_reader_sees_their_own_place_from_every_page(world: World) -> None:
    ids = {number: await world.add(f"user{number}", coins=number // 2) for number in range(12)}
    pages = await world.pages("-coins", 4)
    for cursor in (None, *(page.next_cursor for page in pages[:-1])):
        page = await world.directory.page(sort="-coins", limit=4, cursor=cursor, viewer_id=ids[3])
        assert page.own is not None
        assert (page.own.uid, page.own.rank) == ("user3", 9)
    assert [row.uid for row in pages[2].rows if row.rank == 9] == ["user3", "user2"]
    nothing = await world.directory.page(sort="-coins", viewer_id="nobody")
    assert nothing.own is None
    without = await world.directory.page(sort="-ratio", viewer_id=ids[3])
    assert without.own is not None
    assert without.own.rank is None


async def test_a_value_left_from_another_declaration_is_none(world: World) -> None:
    await world.add("ann", coins="many", club=5, since=True, ratio={"a": 1})
    await world.add("bob", coins=1, club="x", since="2020-01-01", ratio=1)
    for sort in ("coins", "club", "since", "ratio"):
        assert ranks(await world.pages(f"-{sort}", 1)) == {"bob": 1, "ann": None}


# Who may ask for what -----------------------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.3")
async def test_each_reader_gets_what_they_may_read(world: World) -> None:
    await world.add("ann", coins=3, salary=9, tracking=[1], motto="on")
    public = (await world.directory.page()).as_json()["data"]
    assert [set(row) for row in public] == [{"id", "coins"}]
    member = (await world.directory.page(sort="-coins", viewer_id="nobody")).as_json()
    assert set(member["data"][0]) == {
        "id", "rank", "uid", "name", "coins", "ratio", "club", "since", "motto", "tracking"
    }  # fmt: skip
    assert member["own"] is None
    assert member["next_cursor"] is None
    admin = (await world.directory.page(viewer_id="nobody", admin=True)).as_json()["data"]
    assert (admin[0]["salary"], admin[0]["email"], admin[0]["dob"]) == (9, "ann@example.org", "1990-01-01")


@pytest.mark.asvs("8.2.3")
@pytest.mark.parametrize("sort", ["salary", "-salary", "motto", "email", "dob", "nothing", "--coins", "id", "coins "])
async def test_a_sort_that_would_tell_too_much_or_means_nothing_is_refused(world: World, sort: str) -> None:
    with pytest.raises(Invalid) as refused:
        await world.directory.page(sort=sort, viewer_id="nobody")
    (error,) = refused.value.errors
    assert (error.field, error.code) == ("sort", "not_sortable")
    assert error.text == "Sort by one of: coins, ratio, club, since, name, created_at"


async def test_an_administrator_may_sort_by_a_private_field(world: World) -> None:
    await world.add("ann", salary=1)
    assert (await world.directory.page(sort="-salary", viewer_id="nobody", admin=True)).rows[0].rank == 1


async def test_strangers_sort_by_public_fields_only(world: World) -> None:
    assert world.directory.sorts("public") == ["coins", "-coins", "created_at", "-created_at"]
    with pytest.raises(Invalid):
        await world.directory.page(sort="name")


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9])
async def test_a_limit_outside_1_to_200_is_refused(world: World, limit: int) -> None:
    with pytest.raises(Invalid) as refused:
        await world.directory.page(limit=limit, sort="nothing")
    assert [error.field for error in refused.value.errors] == ["sort", "limit"]


def test_the_first_view_is_the_first_leaderboard_members_may_read(clock: MovableClock) -> None:
    def first(fields: Mapping[str, Declaration], read: CoreRead) -> str:
        nowhere: Any = None
        return Directory(nowhere, Schema(fields, read), clock).default_sort

    secret = {"salary": FIELDS["salary"]}
    assert first(FIELDS, CoreRead()) == "-coins"
    assert first(secret, CoreRead()) == "name"
    assert first(secret, CoreRead(name="private")) == "created_at"


async def test_columns_are_the_fields_that_fit_in_a_table(world: World) -> None:
    page = await world.directory.page(viewer_id="nobody")
    assert [(column.name, column.label, column.numeric, column.sortable) for column in page.columns] == [
        ("coins", "Coins", True, True),
        ("ratio", "Ratio", True, True),
        ("club", "Club", False, True),
        ("since", "Since", False, True),
        ("motto", "Motto", False, False),
    ]


# Cursors ------------------------------------------------------------------------------------------------------------

ID = "01a206c6-7880-7000-8a5b-4af6c13ea2b3"
COINS = Order("coins", "integer", descending=True)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "zzz",
        "====",
        "é",
        "\0",
        "a" * 5000,
        "W10",
        "bnVsbA",
        write_cursor(Order("coins", "integer", descending=False), Position(5, ID)),
        write_cursor(Order("name", None, descending=True), Position("x", ID)),
        write_cursor(COINS, Position("5", ID)),
        write_cursor(COINS, Position(value=True, id=ID)),
        write_cursor(COINS, Position(2**64, ID)),
        write_cursor(COINS, Position(float("nan"), ID)),
        write_cursor(COINS, Position(5, "x")),
        write_cursor(COINS, Position(5, "\0" * 36)),
        write_cursor(COINS, Position(5, "'" * 37)),
    ],
    ids=range(17),
)
async def test_a_cursor_that_is_not_ours_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(Malformed):
        await world.directory.page(sort="-coins", cursor=cursor)


async def test_a_text_of_a_cursor_holds_no_nul(world: World) -> None:
    cursor = write_cursor(Order("club", "string", descending=True), Position("\0", ID))
    with pytest.raises(Malformed):
        await world.directory.page(sort="-club", cursor=cursor, viewer_id="nobody")


# Many users ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ladders with few users between rungs, so that a few hundred users are many."""
    monkeypatch.setattr(orders, "EXACT", 5)
    monkeypatch.setattr(orders, "STEP", 7)


VALUES: Mapping[str, Callable[[random.Random], object]] = {
    "wide": lambda chance: chance.randrange(10**6),
    "few": lambda chance: min(int(chance.expovariate(1) * 2), 4),
    "one": lambda _: 5,
    "near": lambda chance: 10 + int(chance.gauss(0, 8)),
}


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("spread", VALUES)
@pytest.mark.parametrize("sort", ["-coins", "coins"])
async def test_a_ladder_gives_every_place_exactly_while_nothing_changes(world: World, spread: str, sort: str) -> None:
    chance = random.Random(11)  # noqa: S311  sample data
    coins = {number: VALUES[spread](chance) for number in range(150)}
    ids = {number: await world.add(f"user{number}", coins=value) for number, value in coins.items()}
    ordered = sorted(coins.values(), reverse=sort == "-coins", key=lambda value: int(str(value)))
    expected = {number: ordered.index(value) + 1 for number, value in coins.items()}

    for number in range(0, 150, 3):
        own = (await world.directory.page(sort=sort, limit=1, viewer_id=ids[number])).own
        assert own is not None
        assert own.rank == expected[number]
    assert ranks(await world.pages(sort, 9)) == {f"user{number}": rank for number, rank in expected.items()}


@pytest.mark.usefixtures("small_steps")
async def test_a_place_far_down_is_a_few_seconds_old_at_most(world: World) -> None:
    async def rank_of_last() -> int | None:
        own = (await world.directory.page(sort="-coins", limit=1, viewer_id=last)).own
        return None if own is None else own.rank

    last = await world.add("last", coins=0)
    for number in range(40):
        await world.add(f"user{number}", coins=100 + number)
    assert await rank_of_last() == 41
    await world.add("rich", coins=1000)
    assert await rank_of_last() in {41, 42}

    world.clock.advance(rankings.STALE / SECOND)
    assert await rank_of_last() == 42


@pytest.mark.usefixtures("small_steps")
async def test_a_record_newer_than_the_ladder_is_counted_at_once(world: World) -> None:
    last = await world.add("last", coins=0)
    for number in range(40):
        await world.add(f"user{number}", coins=100 - number)
    await world.directory.page(sort="-coins", limit=1, viewer_id=last)
    best = await world.add("rich", coins=1000)
    own = (await world.directory.page(sort="-coins", limit=1, viewer_id=best)).own
    assert own is not None
    assert own.rank == 1


@pytest.mark.parametrize("sort", ["coins", "ratio", "club", "since", "name"])
def test_every_page_and_place_is_found_through_an_index(sqlite_address: str, sort: str) -> None:
    """Without one, a million users would be sorted for each page."""
    kind = FIELDS[sort].type if sort in FIELDS else None
    with closing(sqlite3.connect(sqlite_address)) as connection:
        for statement in index_statements(FIELDS, "sqlite"):
            connection.execute(statement)
        for descending in (False, True):
            order = Order(sort, kind, descending=descending)
            works: list[Work[Any]] = [
                order.list_page(None, 9),
                order.list_page(Position("x", ID), 9),
                order.list_page(Position(None, ID), 9),
                order.count_better(5),
                order.count_between(3, 5),
                order.build_ladder(),
            ]
            for plan in itertools.chain.from_iterable(_plans(connection, work) for work in works):
                assert f"USING INDEX ix_users_by_{sort}" in plan or f"COVERING INDEX ix_users_by_{sort}" in plan, plan
                assert "TEMP B-TREE" not in plan, plan


def _plans(connection: sqlite3.Connection, work: Work[Any]) -> Iterator[str]:
    """Run `work` and tell how each of its queries finds its rows."""
    query = next(work)
    with suppress(StopIteration):
        while True:
            compiled = query.statement.sqlite
            values = query.bound(compiled)
            yield "; ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + compiled.sql, values))
            query = work.send(connection.execute(compiled.sql, values).fetchall())
