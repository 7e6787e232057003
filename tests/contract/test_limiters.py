"""One suite for every limiter: in memory, in SQLite, in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from doorward.adapters.database_limiter import DatabaseLimiter
from doorward.adapters.memory_limiter import MAX_BUCKETS, MemoryLimiter
from doorward.kernel.errors import RateLimited, Unavailable
from doorward.kernel.limits import load_limits
from doorward.ports import Database, Limiter, Sealer
from doorward.testing import MovableClock
from tests.support.databases import open_database

HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"
LIMITS = load_limits(
    {
        "sign-in": {"per_address": "3/30s", "everybody": "6/60s", "shown": "Come back later"},
        "sign-up": {"per_address": "3/30s", "everybody": "6/60s"},
    }
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def address_of_buckets(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    address: str = request.getfixturevalue(f"{request.param}_address")
    return address


@pytest.fixture
async def limiter(address_of_buckets: str | None, clock: MovableClock, sealer: Sealer) -> AsyncIterator[Limiter]:
    if address_of_buckets is None:
        yield MemoryLimiter(clock, LIMITS)
        return
    database = await open_database(address_of_buckets)
    yield DatabaseLimiter(database, clock, sealer, LIMITS)
    await database.close()


async def fail(limiter: Limiter, address: str = HOME, action: str = "sign-in") -> None:
    async with await limiter.admit(action, address):
        pass


async def succeed(limiter: Limiter, address: str = HOME, action: str = "sign-in") -> None:
    async with await limiter.admit(action, address) as admission:
        await asyncio.sleep(0)
        admission.succeeded()


async def refused(limiter: Limiter, address: str = HOME, action: str = "sign-in") -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        await limiter.admit(action, address)
    return caught.value


@pytest.mark.asvs("6.3.1")
async def test_failures_use_up_an_address_and_the_refusal_says_when_to_come_back(limiter: Limiter) -> None:
    for _ in range(3):
        await fail(limiter)
    refusal = await refused(limiter)
    assert (refusal.detail, refusal.retry_after_seconds) == ("Come back later", 10)
    assert "address" in refusal.reason
    assert HOME not in refusal.reason
    await fail(limiter, ELSEWHERE)


async def test_a_place_comes_back_in_time_and_not_earlier(limiter: Limiter, clock: MovableClock) -> None:
    for _ in range(3):
        await fail(limiter)
    clock.advance(9.9)
    assert (await refused(limiter)).retry_after_seconds == 1
    clock.advance(0.1)
    await fail(limiter)
    await refused(limiter)


async def test_an_address_left_alone_has_all_its_places_again(limiter: Limiter, clock: MovableClock) -> None:
    for _ in range(3):
        await fail(limiter)
    clock.advance(30)
    for _ in range(3):
        await fail(limiter)
    await refused(limiter)


async def test_only_failures_count_where_the_file_says_so(limiter: Limiter) -> None:
    for _ in range(20):
        await succeed(limiter)
    for _ in range(3):
        await fail(limiter)
    await refused(limiter)


async def test_every_try_counts_where_the_file_says_so(limiter: Limiter) -> None:
    for _ in range(3):
        await succeed(limiter, action="sign-up")
    await refused(limiter, action="sign-up")
    await succeed(limiter)


async def test_everybody_together_has_a_limit_too_and_a_refusal_by_it_costs_the_address_nothing(
    limiter: Limiter, clock: MovableClock
) -> None:
    for host in range(6):
        await fail(limiter, f"192.0.2.{host + 10}")
    refusal = await refused(limiter)
    assert "everybody" in refusal.reason
    clock.advance(30)  # three places for everybody
    for _ in range(3):
        await fail(limiter)
    assert "address" in (await refused(limiter)).reason


@pytest.mark.asvs("15.4.2")
async def test_parallel_failures_cannot_exceed_a_bucket(limiter: Limiter) -> None:
    looked_at = 0

    async def guess() -> None:
        nonlocal looked_at
        async with await limiter.admit("sign-in", HOME):
            looked_at += 1
            await asyncio.sleep(0.01)

    outcomes = await asyncio.gather(*(guess() for _ in range(50)), return_exceptions=True)
    assert looked_at == 3
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 47


async def test_parallel_successes_wait_for_each_other_instead_of_being_refused(limiter: Limiter) -> None:
    at_once = most = 0

    async def enter() -> None:
        nonlocal at_once, most
        async with await limiter.admit("sign-in", HOME) as admission:
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.002)
            at_once -= 1
            admission.succeeded()

    await asyncio.gather(*(enter() for _ in range(20)))
    assert most <= 3


async def test_addresses_of_one_ipv6_network_share_a_bucket(limiter: Limiter) -> None:
    for host in range(3):
        await fail(limiter, f"2001:db8:1:2::{host}")
    await refused(limiter, "2001:db8:1:2:ffff::1")
    await fail(limiter, "2001:db8:1:3::1")


async def test_a_try_that_could_not_be_looked_at_costs_nothing(limiter: Limiter) -> None:
    for _ in range(20):
        with pytest.raises(Unavailable):
            async with await limiter.admit("sign-in", HOME):
                raise Unavailable(retry_after_seconds=1)
    await fail(limiter)


async def test_a_try_that_ends_in_any_other_error_is_a_failure(limiter: Limiter) -> None:
    for _ in range(3):
        with pytest.raises(KeyError):
            async with await limiter.admit("sign-in", HOME):
                raise KeyError
    await refused(limiter)


async def test_someone_who_stops_waiting_leaves_the_line(limiter: Limiter) -> None:
    async with AsyncExitStack() as stack:
        under_way = [await stack.enter_async_context(await limiter.admit("sign-in", HOME)) for _ in range(3)]
        impatient = asyncio.create_task(succeed(limiter))
        patient = asyncio.create_task(succeed(limiter))
        await asyncio.sleep(0.05)
        impatient.cancel()
        await asyncio.sleep(0)
        assert not patient.done()
        for admission in under_way:
            admission.succeeded()
    await patient


async def test_workers_share_their_buckets_in_the_database(
    database_address: str, database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    second = await open_database(database_address)
    workers = [DatabaseLimiter(opened, clock, sealer, LIMITS) for opened in (database, second)]
    await fail(workers[0])
    await fail(workers[1])
    await fail(workers[0])
    for worker in workers:
        await refused(worker)
    await second.close()


async def test_parallel_failures_of_several_workers_cannot_exceed_a_bucket(
    database_address: str, database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    second = await open_database(database_address)
    workers = [DatabaseLimiter(opened, clock, sealer, LIMITS) for opened in (database, second)]
    outcomes = await asyncio.gather(*(fail(workers[n % 2]) for n in range(20)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 3
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 17
    await second.close()


async def test_while_the_database_is_down_sign_ins_are_limited_locally_and_sign_ups_refused(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    limiter = DatabaseLimiter(database, clock, sealer, LIMITS)
    await database.close()
    for _ in range(3):
        await fail(limiter)
    await refused(limiter)
    with pytest.raises(Unavailable):
        await limiter.admit("sign-up", HOME)


async def test_empty_buckets_are_forgotten(database: Database, clock: MovableClock, sealer: Sealer) -> None:
    limiter = DatabaseLimiter(database, clock, sealer, LIMITS)
    for _ in range(3):
        await fail(limiter)
    await limiter.purge()
    await refused(limiter)
    clock.advance(60)
    await limiter.purge()
    await fail(limiter)


async def test_memory_stays_bounded_whatever_addresses_come(clock: MovableClock) -> None:
    generous = load_limits({"sign-in": {"per_address": "3/1d", "everybody": "999999/1s"}})
    limiter = MemoryLimiter(clock, generous)
    for number in range(MAX_BUCKETS + 100):
        await fail(limiter, f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
    assert len(limiter._empty_at) <= MAX_BUCKETS + 1  # noqa: SLF001  memory shows nowhere else
