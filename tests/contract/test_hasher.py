"""The hasher's promises: real Argon2id, a bounded queue, equal work for nobody."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from doorward.adapters.argon2 import NICENESS, Argon2Hasher
from doorward.kernel.errors import Unavailable
from doorward.ports import Cost


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    made = Argon2Hasher(memory_kib=8, time_cost=1, threads=2)
    yield made
    made.close()


@pytest.mark.asvs("11.4.2")
async def test_a_digest_says_argon2id_and_todays_parameters() -> None:
    hasher = Argon2Hasher()
    digest = await hasher.hash("vjqxkwpzmdtrbhn")
    hasher.close()
    found = extract_parameters(digest)
    assert (found.type, found.version) == (Type.ID, 19)
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19456, 2, 1)
    assert (found.salt_len, found.hash_len) == (16, 32)


async def test_two_digests_of_one_password_differ_and_both_open_for_it(hasher: Argon2Hasher) -> None:
    digests = [await hasher.hash("vjqxkwpzmdtrbhn") for _ in range(2)]
    assert digests[0] != digests[1]
    for digest in digests:
        found = await hasher.verify(digest, "vjqxkwpzmdtrbhn")
        assert (found.right, found.outdated) == (True, False)
        assert not (await hasher.verify(digest, "vjqxkwpzmdtrbhN")).right


@pytest.mark.asvs("6.2.8")
@pytest.mark.parametrize("head", ["x" * 199, "\N{CAT FACE}" * 199, "nul \0" * 39])
async def test_the_last_character_of_a_long_password_counts(hasher: Argon2Hasher, head: str) -> None:
    digest = await hasher.hash(head + "a")
    assert not (await hasher.verify(digest, head + "b")).right
    assert not (await hasher.verify(digest, head)).right
    assert (await hasher.verify(digest, head + "a")).right


async def test_nobody_is_never_right(hasher: Argon2Hasher) -> None:
    assert not (await hasher.verify(None, "vjqxkwpzmdtrbhn")).right
    assert not (await hasher.verify(None, "")).right


async def test_half_of_a_surrogate_pair_is_wrong_and_no_error(hasher: Argon2Hasher) -> None:
    digest = await hasher.hash("vjqxkwpzmdtrbhn")
    assert not (await hasher.verify(digest, "\ud800")).right


async def test_a_digest_weaker_than_today_is_outdated_and_a_stronger_one_is_not(hasher: Argon2Hasher) -> None:
    stronger = Argon2Hasher(memory_kib=64, time_cost=2, threads=1)
    weak, strong = await hasher.hash("vjqxkwpzmdtrbhn"), await stronger.hash("vjqxkwpzmdtrbhn")
    assert (await stronger.verify(weak, "vjqxkwpzmdtrbhn")).outdated
    assert not (await hasher.verify(strong, "vjqxkwpzmdtrbhn")).outdated
    assert not (await stronger.verify(weak, "wrong")).outdated
    stronger.close()


@pytest.mark.asvs("15.2.2")
async def test_a_full_queue_sends_away_and_recovers() -> None:
    hasher = Argon2Hasher(memory_kib=16_384, time_cost=4, threads=1, queue=2)
    await hasher.hash("warm up")
    outcomes = await asyncio.gather(*(hasher.hash("vjqxkwpzmdtrbhn") for _ in range(10)), return_exceptions=True)
    sent_away = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(sent_away) == 7
    assert sent_away[0].retry_after_seconds == 2
    assert await hasher.hash("vjqxkwpzmdtrbhn")
    hasher.close()


async def three_at_once(hasher: Argon2Hasher) -> list[str | BaseException]:
    return await asyncio.gather(*(hasher.hash("vjqxkwpzmdtrbhn") for _ in range(3)), return_exceptions=True)


async def test_a_caller_who_goes_away_leaves_no_place_taken() -> None:
    hasher = Argon2Hasher(memory_kib=16_384, time_cost=4, threads=1, queue=2)
    await hasher.hash("warm up")
    tasks = [asyncio.create_task(hasher.hash("vjqxkwpzmdtrbhn")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    outcomes: list[str | BaseException] = []
    async with asyncio.timeout(30):  # one of them is being hashed, and keeps its place as long
        while not outcomes or Unavailable in map(type, outcomes):
            outcomes = await three_at_once(hasher)
    assert [type(outcome) for outcome in outcomes] == [str] * 3
    hasher.close()


async def test_the_event_loop_goes_on_while_threads_hash() -> None:
    hasher = Argon2Hasher(memory_kib=16384, time_cost=4, threads=2)
    hashing = asyncio.gather(*(hasher.hash("vjqxkwpzmdtrbhn") for _ in range(6)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    await hashing
    assert turns > 6
    hasher.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives threads a niceness of their own")
async def test_hash_threads_are_less_urgent_than_the_event_loop(hasher: Argon2Hasher) -> None:
    await asyncio.gather(*(hasher.hash("vjqxkwpzmdtrbhn") for _ in range(4)))
    found = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("doorward-hash")]
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert found
    assert {os.getpriority(os.PRIO_PROCESS, native_id or 0) for native_id in found} == {min(max(ours, NICENESS), 19)}


async def test_after_closing_everything_is_unavailable(hasher: Argon2Hasher) -> None:
    hasher.close()
    with pytest.raises(Unavailable):
        await hasher.hash("vjqxkwpzmdtrbhn")


@pytest.mark.asvs("6.3.8")
async def test_nobody_costs_as_much_as_a_wrong_password() -> None:
    """Counted in processor time, which other programs on the machine do not change; whole requests: tests/attacks."""
    hasher = Argon2Hasher(memory_kib=4096, time_cost=2, threads=1)
    digest = await hasher.hash("vjqxkwpzmdtrbhn")

    async def cost(digest: str | None) -> float:
        begun = time.process_time()
        for _ in range(20):
            await hasher.verify(digest, "wrong")
        return time.process_time() - begun

    wrong, nobody = await cost(digest), await cost(None)
    hasher.close()
    assert 0.5 < nobody / wrong < 2


# Deriving ------------------------------------------------------------------------------------------------------------

SALT = bytes(range(16))
LOW = Cost(memory_kib=8, time_cost=1, lanes=1)


async def test_what_is_derived_is_the_argon2id_of_the_reference_implementation(hasher: Argon2Hasher) -> None:
    """From the tests of the implementation that RFC 9106 refers to."""
    derived = await hasher.derive("password", b"somesalt", Cost(memory_kib=256, time_cost=2, lanes=1))
    assert derived.hex() == "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"


@pytest.mark.parametrize("cost", [LOW, Cost(64, 3, 1), Cost(1024, 1, 4)], ids=str)
@pytest.mark.parametrize("secret", ["", "01abcdefghjkvwz9", "\N{CAT FACE} nul \0"])
async def test_what_is_derived_is_the_argon2id_of_another_implementation(
    hasher: Argon2Hasher, secret: str, cost: Cost
) -> None:
    other = Argon2id(salt=SALT, length=32, iterations=cost.time_cost, lanes=cost.lanes, memory_cost=cost.memory_kib)
    assert await hasher.derive(secret, SALT, cost) == other.derive(secret.encode())


async def test_what_is_derived_depends_on_the_text_the_salt_and_the_cost_alone(hasher: Argon2Hasher) -> None:
    derived = await hasher.derive("01abcdefghjkvwz9", SALT, LOW)
    stronger = Argon2Hasher(memory_kib=64, time_cost=2, threads=1)
    assert await stronger.derive("01abcdefghjkvwz9", SALT, LOW) == derived
    stronger.close()
    others = [
        await hasher.derive("01abcdefghjkvwz8", SALT, LOW),
        await hasher.derive("01abcdefghjkvwz9", SALT[::-1], LOW),
        await hasher.derive("01abcdefghjkvwz9", SALT, Cost(16, 1, 1)),
        await hasher.derive("01abcdefghjkvwz9", SALT, Cost(8, 2, 1)),
    ]
    assert len({derived, *others}) == 5
    assert await hasher.derive("\ud800", SALT, LOW) != derived, "half of a surrogate pair is wrong and no error"


@pytest.mark.asvs("6.5.2")
async def test_deriving_costs_at_least_what_a_password_costs_today(hasher: Argon2Hasher) -> None:
    usual = Argon2Hasher()
    digest = await usual.hash("vjqxkwpzmdtrbhn")
    found = extract_parameters(digest)
    assert usual.cost == Cost(found.memory_cost, found.time_cost, found.parallelism) == Cost(19456, 2, 1)
    usual.close()
    assert hasher.cost == LOW


@pytest.mark.asvs("15.2.2")
async def test_deriving_and_hashing_share_one_queue() -> None:
    hasher = Argon2Hasher(memory_kib=16_384, time_cost=4, threads=1, queue=2)
    await hasher.hash("warm up")
    works = [
        hasher.hash("vjqxkwpzmdtrbhn") if number % 2 else hasher.derive("01abcdefghjkvwz9", SALT, hasher.cost)
        for number in range(10)
    ]
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 7
    assert len(await hasher.derive("01abcdefghjkvwz9", SALT, hasher.cost)) == 32
    hasher.close()
    with pytest.raises(Unavailable):
        await hasher.derive("01abcdefghjkvwz9", SALT, LOW)
