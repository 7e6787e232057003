"""Making us pay: messages to numbers that earn their owner money, or to everybody at once (C15; ASVS 2.4.1, 6.3.1).

The caps are those that are shipped, counted in the database: by number, by prefix (the number less its last six
digits), by address, and for everybody. Addresses change with every try, as a botnet's do.
"""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import select

from doorward.adapters.database_limiter import DatabaseLimiter
from doorward.audit import AuditTrail, Refusals
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Invalid, RateLimited, Unavailable
from doorward.kernel.limits import load_limits
from doorward.messages import SendLimits
from doorward.ports import Database, Sealer
from doorward.sql import Row, Statement, Work
from doorward.sql.tables import bucket
from doorward.testing import MovableClock
from doorward.users import normalise_phone
from tests.support.databases import open_database

pytestmark = [pytest.mark.asvs("2.4.1"), pytest.mark.asvs("6.3.1")]

LIMITS = load_limits()
SMS = LIMITS.sms
ADA = "+4915123456789"
MINUTE, DAY = 60, 86_400


def room(database: Database, clock: MovableClock, sealer: Sealer) -> SendLimits:
    """As a process has it that has just started."""
    limiter = DatabaseLimiter(database, clock, sealer, LIMITS)
    return SendLimits(limiter, Refusals(database, clock, AuditTrail(sealer, clock)))


@pytest.fixture
def sends(database: Database, clock: MovableClock, sealer: Sealer) -> SendLimits:
    return room(database, clock, sealer)


@pytest.fixture
def callers() -> Iterator[Caller]:
    """Another network each time."""
    return (Caller(f"2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::1", "test") for n in count())


def operator(number: int) -> str:
    """A number of another operator each time."""
    return f"+49{15_100_000_000 + number * 1_000_000}"


async def text(sends: SendLimits, number: str, caller: Caller) -> str | None:
    """Why a message was refused, or None: one was paid for."""
    refusal: RateLimited
    try:
        async with await sends.text(number, caller):
            return None
    except RateLimited as raised:
        refusal = raised
    assert refusal.retry_after_seconds > 0
    assert refusal.detail == SMS.shown
    assert number not in refusal.reason
    return refusal.reason


async def paid(sends: SendLimits, numbers: Iterator[str] | list[str], callers: Iterator[Caller]) -> int:
    """How many messages these tries cost us."""
    return sum([await text(sends, number, next(callers)) is None for number in numbers])


def test_the_caps_that_are_shipped_are_those_that_were_decided() -> None:
    figures = {name: (rate.count, rate.period // 1_000_000) for name, rate in SMS.per_subject.items()}
    assert figures == {
        "recipient": (5, 15 * MINUTE),
        "recipient_daily": (10, DAY),
        "prefix": (100, DAY),
    }
    assert (SMS.everybody.count, SMS.everybody.period // 1_000_000) == (1_000, DAY)
    assert SMS.when_store_is_down == "refuse"
    assert SMS.counts == "tries"


async def test_one_number_gets_five_messages_at_once_and_ten_or_so_a_day_from_anywhere(
    sends: SendLimits, callers: Iterator[Caller], clock: MovableClock
) -> None:
    assert await paid(sends, [ADA] * 30, callers) == 5
    total = 5
    for _ in range(23):
        clock.advance(60 * MINUTE)
        total += await paid(sends, [ADA] * 30, callers)
    assert total <= 20, "a bucket of ten that fills again within the day"
    assert await text(sends, "+33612345678", next(callers)) is None


async def test_the_ways_of_writing_one_number_share_its_cap(sends: SendLimits, callers: Iterator[Caller]) -> None:
    ways = [ADA, "+49 151 23456789", "+49 (0)151 2345-6789", "\uff0b4915123456789", "+49.151.234.567.89"]
    numbers = [normalise_phone(way) for way in ways * 4]
    assert await paid(sends, numbers, callers) == 5


async def test_neighbouring_numbers_share_the_cap_of_their_prefix(sends: SendLimits, callers: Iterator[Caller]) -> None:
    numbers = [f"+49151230{n:05}" for n in range(130)]
    assert await paid(sends, numbers, callers) == 100
    reason = await text(sends, "+4915123099999", next(callers))
    assert reason is not None
    assert "prefix" in reason
    assert await text(sends, "+4915223099999", next(callers)) is None, "another operator is not held up"


async def test_all_numbers_of_the_world_share_the_cap_of_a_day(
    sends: SendLimits, callers: Iterator[Caller], clock: MovableClock
) -> None:
    assert await paid(sends, [operator(n) for n in range(1_020)], callers) == 1_000
    reason = await text(sends, ADA, next(callers))
    assert reason is not None
    assert "everybody" in reason
    clock.advance(10 * MINUTE)
    assert await paid(sends, [operator(2_000 + n) for n in range(30)], callers) == 6, "one each 86.4 seconds"


async def test_one_address_does_not_get_ten_messages_for_many_numbers(sends: SendLimits) -> None:
    numbers = [operator(n) for n in range(30)]
    assert sum([await text(sends, number, Caller("192.0.2.1", "test")) is None for number in numbers]) == 10


async def test_a_restart_gives_nothing_back(
    database_address: str, sends: SendLimits, callers: Iterator[Caller], clock: MovableClock, sealer: Sealer
) -> None:
    assert await paid(sends, [ADA] * 3, callers) == 3
    again = await open_database(database_address)
    try:
        assert await paid(room(again, clock, sealer), [ADA] * 10, callers) == 2
        assert await paid(room(again, clock, sealer), [ADA] * 10, callers) == 0
    finally:
        await again.close()


@pytest.mark.asvs("15.4.2")
async def test_of_twenty_at_the_same_moment_no_more_than_the_cap_are_paid_for(
    database_address: str, database: Database, callers: Iterator[Caller], clock: MovableClock, sealer: Sealer
) -> None:
    second = await open_database(database_address)
    try:
        workers = [room(opened, clock, sealer) for opened in (database, second)]
        tries = (text(workers[n % 2], ADA, next(callers)) for n in range(20))
        assert (await asyncio.gather(*tries)).count(None) == 5
    finally:
        await second.close()


async def test_what_was_refused_elsewhere_costs_a_number_nothing(sends: SendLimits, callers: Iterator[Caller]) -> None:
    greedy = Caller("192.0.2.1", "test")
    for n in range(30):
        await text(sends, operator(n), greedy)
    assert await text(sends, ADA, greedy) is not None
    assert await paid(sends, [ADA] * 10, callers) == 5, "a stranger's refusals do not use up the owner's places"


async def test_without_the_database_nothing_is_sent(
    database: Database, sends: SendLimits, callers: Iterator[Caller]
) -> None:
    await database.close()
    with pytest.raises(Unavailable):
        await sends.text(ADA, next(callers))


@pytest.mark.parametrize(
    "number", ["+49 900 1234567", "+1 900 234 5678", "+44 70 1234 5678", "+870 773111632", "+881 612345678"]
)
def test_numbers_that_earn_money_for_their_owner_are_not_taken_at_all(number: str) -> None:
    with pytest.raises(Invalid):
        normalise_phone(number)


async def test_a_copy_of_the_database_names_no_number(
    database: Database, sends: SendLimits, callers: Iterator[Caller]
) -> None:
    await text(sends, ADA, next(callers))
    rows = await database.search(_rows())
    assert rows
    assert not any(ADA[1:].encode() in row[0] for row in rows)


def _rows() -> Work[list[Row]]:
    return list((yield Statement(select(bucket.c.key))()))
