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

from doorward.adapters.argon2 import NICENESS, Argon2Hasher
from doorward.kernel.errors import Unavailable


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
    hasher = Argon2Hasher(memory_kib=1024, time_cost=4, threads=1, queue=2)
    await hasher.hash("warm up")
    outcomes = await asyncio.gather(*(hasher.hash("vjqxkwpzmdtrbhn") for _ in range(10)), return_exceptions=True)
    sent_away = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(sent_away) == 7
    assert sent_away[0].retry_after_seconds == 2
    assert await hasher.hash("vjqxkwpzmdtrbhn")
    hasher.close()


async def test_a_caller_who_goes_away_leaves_no_place_taken() -> None:
    hasher = Argon2Hasher(memory_kib=1024, time_cost=4, threads=1, queue=2)
    await hasher.hash("warm up")
    tasks = [asyncio.create_task(hasher.hash("vjqxkwpzmdtrbhn")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.2)
    assert len(await asyncio.gather(*(hasher.hash("vjqxkwpzmdtrbhn") for _ in range(3)))) == 3
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
