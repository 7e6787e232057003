"""A proof of work, or of patience, where sign-ups come thick and fast (ASVS 2.4.1)."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from doorward.adapters.database_limiter import DatabaseLimiter
from doorward.adapters.memory_limiter import MemoryLimiter
from doorward.audit import AuditTrail, Refusals
from doorward.kernel.caller import Caller
from doorward.kernel.limits import load_limits
from doorward.ports import NOTHING, Database, Sealer
from doorward.signup.challenge import PATIENCE_SECONDS, ChallengeNeeded, Challenges
from doorward.signup.guard import SignUpGuard
from doorward.testing import MovableClock

pytestmark = pytest.mark.asvs("2.4.1")

CALLER = Caller("192.0.2.7", "test")
LIMITS = load_limits({"sign-up-free": {"per_address": "2/1h"}, "patience": {"per_address": "2/1h"}})


@pytest.fixture
def guard(database: Database, clock: MovableClock, sealer: Sealer) -> SignUpGuard:
    return another(database, clock, sealer)


def another(database: Database, clock: MovableClock, sealer: Sealer) -> SignUpGuard:
    refusals = Refusals(database, clock, AuditTrail(sealer, clock))
    durable = DatabaseLimiter(database, clock, sealer, LIMITS)
    return SignUpGuard(Challenges(sealer, clock), clock, MemoryLimiter(clock, LIMITS), durable, refusals)


async def asked(guard: SignUpGuard, proof: Mapping[str, str] = NOTHING, caller: Caller = CALLER) -> ChallengeNeeded:
    with pytest.raises(ChallengeNeeded) as caught:
        await guard.admit(proof, caller)
    return caught.value


async def exhausted(guard: SignUpGuard) -> ChallengeNeeded:
    for _ in range(2):
        await guard.admit({}, CALLER)
    return await asked(guard)


def solve(needed: ChallengeNeeded) -> dict[str, str]:
    """As the browser does."""
    challenge = needed.members["challenge"]
    for number in range(challenge["numbers"]):
        salt = bytes.fromhex(challenge["salt"])
        digest = hashlib.pbkdf2_hmac("sha256", str(number).encode(), salt, challenge["iterations"])
        if digest.hex() == challenge["target"]:
            return {"challenge": challenge["token"], "challenge_number": str(number)}
    raise AssertionError("no number fits")


async def test_the_first_few_are_asked_nothing_and_the_next_to_solve_a_challenge(guard: SignUpGuard) -> None:
    assert await guard.expected(CALLER) is None
    needed = await exhausted(guard)
    assert (needed.status, needed.code) == (429, "challenge_required")
    assert needed.headers["Retry-After"] == str(PATIENCE_SECONDS)
    assert await guard.expected(CALLER) is not None
    await guard.admit(solve(needed), CALLER)


async def test_a_solution_counts_once_also_for_twenty_at_the_same_moment(guard: SignUpGuard) -> None:
    proof = solve(await exhausted(guard))
    outcomes = await asyncio.gather(*(guard.admit(proof, CALLER) for _ in range(20)), return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is None] == [None]


async def test_a_solution_counts_once_among_workers(
    guard: SignUpGuard, database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    proof = solve(await exhausted(guard))
    await guard.admit(proof, CALLER)
    second = another(database, clock, sealer)
    await exhausted(second)
    await asked(second, proof)


async def test_whoever_has_no_script_waits_instead_but_not_for_many_at_once(
    guard: SignUpGuard, clock: MovableClock
) -> None:
    await exhausted(guard)
    waiting = [(await asked(guard)).challenge.token for _ in range(4)]
    clock.advance(PATIENCE_SECONDS - 1)
    await asked(guard, {"challenge": waiting[0]})
    clock.advance(1)
    for token in waiting[:2]:
        await guard.admit({"challenge": token}, CALLER)
    for token in waiting[2:]:
        await asked(guard, {"challenge": token})


async def test_a_challenge_is_for_one_network_and_a_quarter_of_an_hour(guard: SignUpGuard, clock: MovableClock) -> None:
    proof = solve(await exhausted(guard))
    elsewhere = replace(CALLER, address="198.51.100.9")
    for _ in range(2):
        await guard.admit({}, elsewhere)
    await asked(guard, proof, elsewhere)
    clock.advance(900)
    await asked(guard, proof)


@pytest.mark.parametrize("number", ["", "-1", "400", "１", "1e2", "0x1", " 1", "9" * 5_000])
async def test_what_is_no_number_solves_nothing(guard: SignUpGuard, number: str) -> None:
    token = (await exhausted(guard)).challenge.token
    await asked(guard, {"challenge": token, "challenge_number": number})


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 200, "A" * 50_000, "\ud800"])
async def test_made_up_challenges_open_nothing(guard: SignUpGuard, token: str) -> None:
    await exhausted(guard)
    await asked(guard, {"challenge": token, "challenge_number": "1"})
