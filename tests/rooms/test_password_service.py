"""Signing in with a password: what is counted, what is answered, who waits and who gets in."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select
from werkzeug.security import generate_password_hash

from doorward.adapters.argon2 import Argon2Hasher
from doorward.adapters.memory_limiter import MemoryLimiter
from doorward.audit import AuditTrail, Refusals
from doorward.authenticators import Correct, KnownDevice, PasswordPolicy, PasswordService
from doorward.authenticators.model import Refused, Reserved
from doorward.authenticators.store import Throttle, update_release
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Invalid, InvalidCredentials, RateLimited, Unavailable
from doorward.kernel.limits import load_limits
from doorward.ports import Database, Sealer, Verified
from doorward.sql import Statement, Work
from doorward.sql.tables import audit_event, password, throttle, users
from doorward.testing import MovableClock
from doorward.users import User
from tests.support.databases import open_database

RIGHT, WRONG = "anni rides a green tram", "anni rides a grey tram!"
CALLER = Caller(address="192.0.2.1", request_id="r1")
ANNI = User(
    id="01900000-0000-7000-8000-000000000001", uid="anni", name="Anni", email=None, email_verified=False, dob=None,
    status="active", roles=(), fields={}, legacy_id=None, version=1, created_at=0, updated_at=0,
)  # fmt: skip
# Addresses are no matter here but where a test says so: test_limiters.py has them.
LIMITS = load_limits({"sign-in": {"per_address": "10000/1m", "everybody": "100000/1m"}})


class CountingHasher:
    """Real Argon2 at low cost, which remembers how many passwords it was asked to look at."""

    def __init__(self) -> None:
        self._argon2 = Argon2Hasher(memory_kib=8, time_cost=1, threads=2)
        self.looked_at = 0
        self.close = self._argon2.close
        self.hash = self._argon2.hash
        self.cost = self._argon2.cost
        self.derive = self._argon2.derive

    async def verify(self, digest: str | None, password: str) -> Verified:
        self.looked_at += 1
        return await self._argon2.verify(digest, password)


@pytest.fixture
def hasher() -> Iterator[CountingHasher]:
    made = CountingHasher()
    yield made
    made.close()


@pytest.fixture
def failed_devices() -> list[str]:
    return []


Build = Callable[[Database], PasswordService]


@pytest.fixture
def build(clock: MovableClock, sealer: Sealer, hasher: CountingHasher, failed_devices: list[str]) -> Build:
    def note_device(device_id: str) -> Work[None]:
        failed_devices.append(device_id)
        yield from ()

    def make(database: Database) -> PasswordService:
        limiter = MemoryLimiter(clock, LIMITS)
        audit = AuditTrail(sealer, clock)
        refusals = Refusals(database, clock, audit)
        service = PasswordService(
            database, clock, hasher, limiter, sealer, audit, refusals, PasswordPolicy(), limits=LIMITS
        )  # fmt: skip
        service.tries.fail_device = note_device
        return service

    return make


@pytest.fixture
async def passwords(database: Database, build: Build) -> PasswordService:
    """The service on each database, and a user whose password is RIGHT."""
    service = build(database)
    await add_user(service, ANNI, await service.hash_new(RIGHT, context=["anni"]))
    return service


async def add_user(service: PasswordService, user: User, digest: str) -> None:
    row = {
        "id": user.id, "uid": user.uid, "uid_key": user.uid, "name": user.name, "dob": None, "status": user.status,
        "roles": "[]", "fields": "{}", "legacy_id": None, "version": 1, "created_at": 0, "updated_at": 0,
    }  # fmt: skip

    def work() -> Work[None]:
        yield Statement(insert(users).values(row))()
        yield from service.set_password(user.id, digest)

    await service.db.write(work)


async def sign_in(
    service: PasswordService,
    password: str = RIGHT,
    user: User | None = ANNI,
    *,
    name: str = "anni",
    device: KnownDevice | None = None,
    action: str = "sign-in",
) -> Correct:
    correct = await service.verify(user, name, password, CALLER, device=device, action=action)
    await service.db.write(correct.succeeded)
    return correct


async def fail(
    service: PasswordService, user: User | None = ANNI, *, name: str = "anni", device: KnownDevice | None = None
) -> str:
    """Try a wrong password; why it was refused, as the audit knows it."""
    with pytest.raises(InvalidCredentials) as caught:
        await sign_in(service, WRONG, user, name=name, device=device)
    return caught.value.reason


async def refused(
    service: PasswordService, user: User | None = ANNI, *, name: str = "anni", device: KnownDevice | None = None
) -> int:
    """Try the right password too early; the seconds to wait."""
    with pytest.raises(RateLimited) as caught:
        await sign_in(service, RIGHT, user, name=name, device=device)
    return caught.value.retry_after_seconds


async def set_password(service: PasswordService, text: str) -> None:
    digest = await service.hash_new(text, context=[])
    await service.db.write(lambda: service.set_password(ANNI.id, digest))


async def rows(service: PasswordService, statement: Statement) -> list[tuple[Any, ...]]:
    def work() -> Work[list[tuple[Any, ...]]]:
        return list((yield statement()))

    return await service.db.search(work())


async def audited(service: PasswordService) -> list[tuple[str, str | None, dict[str, Any]]]:
    columns = (audit_event.c.event, audit_event.c.user_id, audit_event.c.payload)
    found = await rows(service, Statement(select(*columns).order_by(audit_event.c.id)))
    return [(event, user_id, json.loads(payload)) for event, user_id, payload in found]


async def digest_of(service: PasswordService, user: User = ANNI) -> str:
    found = await rows(service, Statement(select(password.c.digest).where(password.c.user_id == user.id)))
    return str(found[0][0])


# What is answered ----------------------------------------------------------------------------------------------------


async def test_the_right_password_is_correct_and_leaves_no_count(passwords: PasswordService) -> None:
    correct = await sign_in(passwords)
    assert correct.user == ANNI
    assert correct.change_wanted is None
    assert await rows(passwords, Statement(select(throttle.c.key))) == []


@pytest.mark.asvs("6.3.8")
async def test_every_failure_looks_the_same_and_only_the_audit_knows_why(
    passwords: PasswordService, clock: MovableClock
) -> None:
    disabled = replace(ANNI, id="01900000-0000-7000-8000-000000000002", uid="dora", status="disabled")
    await add_user(passwords, disabled, await digest_of(passwords))
    tries = [(ANNI, WRONG), (None, RIGHT), (disabled, RIGHT), (disabled, WRONG), (ANNI, "x" * 300)]
    seen = set()
    for user, text in tries:
        with pytest.raises(InvalidCredentials) as caught:
            await sign_in(passwords, text, user, name="somebody")
        clock.advance(0.001)  # ids of one instant have no order
        problem = caught.value
        seen.add(
            (problem.status, problem.code, problem.title, problem.detail, str(problem.members), str(problem.headers))
        )
    assert len(seen) == 1
    assert [(event, user_id, payload["reason"]) for event, user_id, payload in await audited(passwords)] == [
        ("authn_login_fail", ANNI.id, "wrong password"),
        ("authn_login_fail", None, "unknown user"),
        ("authn_login_fail", disabled.id, "disabled"),
        ("authn_login_fail", disabled.id, "wrong password"),
        ("authn_login_fail", ANNI.id, "wrong password"),
    ]


async def test_a_user_without_a_password_is_answered_like_any_other(passwords: PasswordService) -> None:
    stranger = replace(ANNI, id="01900000-0000-7000-8000-000000000003")
    assert await fail(passwords, stranger) == "no password"


@pytest.mark.asvs("6.3.8")
async def test_unknown_names_and_disabled_users_cost_a_hash_too(
    passwords: PasswordService, hasher: CountingHasher
) -> None:
    for user in (ANNI, None, replace(ANNI, status="disabled")):
        before = hasher.looked_at
        await fail(passwords, user, name="somebody")
        assert hasher.looked_at == before + 1


async def test_a_password_matches_in_any_normal_form_of_unicode_and_no_other(passwords: PasswordService) -> None:
    await set_password(passwords, "caf\u00e9 \u2460 with friends")
    await sign_in(passwords, "cafe\u0301 \u2460 with friends")
    with pytest.raises(InvalidCredentials):
        await sign_in(passwords, "caf\u00e9 1 with friends")


async def test_no_part_of_a_password_is_written_anywhere(passwords: PasswordService) -> None:
    await fail(passwords)
    await fail(passwords, None, name=WRONG)
    await sign_in(passwords)
    everything = await rows(passwords, Statement(select(audit_event))) + await rows(
        passwords, Statement(select(throttle))
    )
    assert "tram" not in str(everything)
    assert "anni" not in str(everything)


# What is counted -----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1")
async def test_after_five_failures_each_try_has_to_wait_longer(passwords: PasswordService, clock: MovableClock) -> None:
    for _ in range(5):
        await fail(passwords)
    for delay in (1, 2, 4, 8):
        assert await refused(passwords) == delay
        clock.advance(delay - 0.001)
        assert await refused(passwords) == 1
        clock.advance(0.001)
        await fail(passwords)
    assert await refused(passwords) == 16


async def test_after_fifty_failures_under_a_name_there_is_one_try_an_hour_and_the_audit_says_so_once(
    passwords: PasswordService, clock: MovableClock
) -> None:
    for _ in range(52):
        await fail(passwords)
        clock.advance(3600)
    locks = [entry for entry in await audited(passwords) if entry[0] == "authn_login_lock"]
    assert [(user_id, payload["failures"]) for _, user_id, payload in locks] == [(ANNI.id, 50)]
    await fail(passwords)
    assert await refused(passwords) == 3600


async def test_a_success_sets_the_count_to_zero_and_knows_what_it_was(
    passwords: PasswordService, clock: MovableClock
) -> None:
    for _ in range(5):
        await fail(passwords)
    clock.advance(1)
    assert (await sign_in(passwords)).failures == 5
    for _ in range(5):
        await fail(passwords)
    assert await refused(passwords) == 1


@pytest.mark.asvs("6.3.8")
async def test_names_that_nobody_has_are_refused_at_the_same_count_with_the_same_answer(
    passwords: PasswordService, clock: MovableClock
) -> None:
    for user, name in ((ANNI, "anni"), (None, "ghost")):
        for delay in (0, 0, 0, 0, 1, 2, 4):
            await fail(passwords, user, name=name)
            if delay:
                assert await refused(passwords, user, name=name) == delay
            clock.advance(delay)


async def test_other_spellings_of_a_name_that_nobody_has_share_its_count(passwords: PasswordService) -> None:
    for name in ("ghost", "GHOST", "ghost", "\uff47host", "Ghost"):
        await fail(passwords, None, name=name)
    assert await refused(passwords, None, name="ghost") == 1
    await fail(passwords, None, name="another")


async def test_failures_are_forgotten_after_a_day_when_they_were_few_and_a_month_when_many(
    passwords: PasswordService, clock: MovableClock
) -> None:
    for _ in range(4):
        await fail(passwords)
    for _ in range(6):
        await fail(passwords, None, name="ghost")
        clock.advance(2)
    clock.advance(86_400)
    await passwords.purge()
    assert len(await rows(passwords, Statement(select(throttle.c.key)))) == 1
    for _ in range(5):
        await fail(passwords)
    clock.advance(31 * 86_400)
    for _ in range(4):
        await fail(passwords)
    await fail(passwords, None, name="ghost")
    await fail(passwords, None, name="ghost")


async def test_a_new_password_forgets_failures_against_the_old_one(passwords: PasswordService) -> None:
    for _ in range(5):
        await fail(passwords)
    await set_password(passwords, "the blue tram goes home")
    await sign_in(passwords, "the blue tram goes home")


async def test_strangers_at_the_door_do_not_keep_a_signed_in_owner_from_confirming(passwords: PasswordService) -> None:
    for _ in range(5):
        await fail(passwords)
    await refused(passwords)
    await sign_in(passwords, action="reauthenticate")


async def test_the_count_survives_a_restart_and_is_shared_by_workers(
    passwords: PasswordService, database_address: str, build: Build
) -> None:
    for _ in range(5):
        await fail(passwords)
    second = await open_database(database_address)
    assert await refused(build(second)) == 1
    await second.close()


async def test_a_full_hash_queue_is_nobodys_failure(passwords: PasswordService, hasher: CountingHasher) -> None:
    digest = await digest_of(passwords)
    hasher.close()
    for _ in range(12):
        with pytest.raises(Unavailable):
            await sign_in(passwords)
    passwords.hasher = Argon2Hasher(memory_kib=8, time_cost=1, threads=1)
    await sign_in(passwords)
    passwords.hasher.close()
    assert digest == await digest_of(passwords)


async def test_a_try_that_could_not_be_looked_at_takes_back_its_own_delay_and_no_other(
    database: Database, clock: MovableClock
) -> None:
    room, now = Throttle(LIMITS.account), clock.now()
    tries = [await database.write(lambda: room.reserve(b"lane", now)) for _ in range(5)]
    third, fifth = tries[2], tries[4]
    assert isinstance(third, Reserved)
    assert isinstance(fifth, Reserved)
    clock.advance(0.5)
    await database.write(lambda: update_release(b"lane", third, clock.now()))
    assert isinstance(await database.write(lambda: room.reserve(b"lane", clock.now())), Refused)
    await database.write(lambda: update_release(b"lane", fifth, clock.now()))
    assert await database.write(lambda: room.reserve(b"lane", clock.now())) == Reserved(4, clock.now())


# In parallel ---------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1", "15.4.2")
@pytest.mark.parametrize("user", [ANNI, None], ids=["known", "unknown"])
async def test_of_fifty_guesses_at_once_five_are_looked_at(
    passwords: PasswordService, hasher: CountingHasher, user: User | None
) -> None:
    outcomes = await asyncio.gather(*(fail(passwords, user) for _ in range(50)), return_exceptions=True)
    assert hasher.looked_at == 5
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 45


async def test_of_fifty_guesses_at_two_workers_five_are_looked_at(
    passwords: PasswordService, hasher: CountingHasher, database_address: str, build: Build
) -> None:
    second = await open_database(database_address)
    workers = [passwords, build(second)]
    outcomes = await asyncio.gather(*(fail(workers[n % 2]) for n in range(50)), return_exceptions=True)
    assert hasher.looked_at == 5
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 45
    await second.close()


async def test_an_owner_with_twenty_tabs_gets_in_with_all_of_them(passwords: PasswordService) -> None:
    found = await asyncio.gather(*(sign_in(passwords) for _ in range(20)))
    assert len(found) == 20


async def test_an_owner_among_guesses_is_not_let_in_beyond_the_limit(
    passwords: PasswordService, hasher: CountingHasher
) -> None:
    tries = [sign_in(passwords, WRONG if n != 30 else RIGHT) for n in range(40)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert hasher.looked_at == 5
    assert isinstance(outcomes[30], RateLimited)


# Known devices -------------------------------------------------------------------------------------------------------

DEVICE = KnownDevice(id="01900000-0000-7000-8000-00000000000d", user_id=ANNI.id, failures=0)


@pytest.mark.asvs("6.3.1")
async def test_a_known_device_gets_in_while_strangers_are_held_off(passwords: PasswordService) -> None:
    for _ in range(5):
        await fail(passwords)
    await refused(passwords)
    await sign_in(passwords, device=DEVICE)
    # The owner's success is no reason to let the strangers start again.
    await refused(passwords)


async def test_a_known_device_gets_in_while_strangers_have_filled_the_bucket_of_everybody(
    passwords: PasswordService, clock: MovableClock
) -> None:
    full = MemoryLimiter(clock, load_limits({"sign-in": {"everybody": "1/1h"}}))
    passwords.tries.limiter = full
    await fail(passwords, None, name="ghost")
    await refused(passwords)
    await sign_in(passwords, device=DEVICE)


async def test_failures_on_a_known_device_have_their_own_count_and_are_told(
    passwords: PasswordService, failed_devices: list[str]
) -> None:
    for _ in range(5):
        await fail(passwords, device=DEVICE)
    assert failed_devices == [DEVICE.id] * 5
    assert await refused(passwords, device=DEVICE) == 1
    await sign_in(passwords)


async def test_a_void_device_and_a_device_of_somebody_else_are_strangers(
    passwords: PasswordService, failed_devices: list[str]
) -> None:
    for _ in range(5):
        await fail(passwords)
    await refused(passwords, device=replace(DEVICE, failures=10))
    await refused(passwords, device=replace(DEVICE, user_id="somebody else"))
    await fail(passwords, None, name="ghost", device=DEVICE)
    assert failed_devices == []


# Digests -------------------------------------------------------------------------------------------------------------


async def test_a_foreign_digest_becomes_argon2id_with_the_first_right_password(passwords: PasswordService) -> None:
    foreign = generate_password_hash("123quiet0", method="pbkdf2:sha256:1000")
    await passwords.db.write(lambda: passwords.set_password(ANNI.id, foreign))
    await fail(passwords)
    assert await digest_of(passwords) == foreign
    assert (await sign_in(passwords, "123quiet0")).change_wanted == "short"
    assert (await digest_of(passwords)).startswith("$argon2id$")
    assert (await sign_in(passwords, "123quiet0")).change_wanted == "short"
    assert await passwords.change_wanted(ANNI.id) == "short"


async def test_twenty_first_sign_ins_at_once_all_succeed_and_leave_one_digest(passwords: PasswordService) -> None:
    foreign = generate_password_hash("a password from before", method="pbkdf2:sha256:1000")
    await passwords.db.write(lambda: passwords.set_password(ANNI.id, foreign))
    found = await asyncio.gather(*(sign_in(passwords, "a password from before") for _ in range(20)))
    assert {correct.change_wanted for correct in found} == {None}
    await sign_in(passwords, "a password from before")


@pytest.mark.asvs("15.4.2")
async def test_a_password_changed_after_it_was_verified_starts_no_session(
    passwords: PasswordService, clock: MovableClock
) -> None:
    correct = await passwords.verify(ANNI, "anni", RIGHT, CALLER)
    clock.advance(0.01)
    await set_password(passwords, "the blue tram goes home")
    with pytest.raises(InvalidCredentials):
        await passwords.db.write(correct.succeeded)


async def test_a_compromised_password_still_opens_and_says_so(passwords: PasswordService) -> None:
    digest = await digest_of(passwords)
    await passwords.db.write(lambda: passwords.set_password(ANNI.id, digest, "compromised"))
    assert (await sign_in(passwords)).change_wanted == "compromised"


async def test_a_password_shorter_than_todays_minimum_is_remembered_as_short(
    passwords: PasswordService,
) -> None:
    digest = await digest_of(passwords)
    passwords.policy = PasswordPolicy(minimum_length=len(RIGHT) + 1)
    assert (await sign_in(passwords)).change_wanted == "short"
    assert await passwords.change_wanted(ANNI.id) == "short"
    assert await digest_of(passwords) == digest


async def test_a_new_password_has_to_satisfy_the_policy(passwords: PasswordService) -> None:
    with pytest.raises(Invalid):
        await passwords.hash_new("short", context=[])


# What others hang on it -----------------------------------------------------------------------------------------------


class Leaks:
    """A breach check with one answer."""

    def __init__(self, *, answer: bool | None) -> None:
        self.answer = answer

    async def is_known(self, password: str) -> bool | None:
        assert password
        return self.answer


@pytest.mark.asvs("6.2.12")
async def test_a_leaked_password_is_refused_and_the_answer_says_why(passwords: PasswordService) -> None:
    passwords.breach = Leaks(answer=True)
    with pytest.raises(Invalid) as caught:
        await passwords.hash_new("the blue tram goes home", context=[], field="new_password")
    (error,) = caught.value.errors
    assert (error.field, error.code) == ("new_password", "leaked")


@pytest.mark.asvs("6.2.12", "16.5.2")
async def test_a_breach_check_without_an_answer_keeps_nobody_from_a_password_and_is_audited_once_a_minute(
    passwords: PasswordService, clock: MovableClock
) -> None:
    passwords.breach = Leaks(answer=None)
    for _ in range(3):
        assert await passwords.hash_new("the blue tram goes home", context=[])
    clock.advance(61)
    await passwords.hash_new("the blue tram goes home", context=[])
    noted = [(event, payload) for event, _, payload in await audited(passwords)]
    assert noted == [
        ("sys_monitor_disabled", {"part": "range api", "refused": 1}),
        ("sys_monitor_disabled", {"part": "range api", "refused": 3}),
    ]


async def test_what_a_new_password_makes_void_goes_in_its_transaction(passwords: PasswordService) -> None:
    forgotten = []

    def forget(user_id: str) -> Work[None]:
        forgotten.append(user_id)
        yield from ()

    passwords.forget = forget
    await set_password(passwords, "the blue tram goes home")
    assert forgotten == [ANNI.id]


async def test_an_owner_is_told_of_too_many_failures_once_and_nobody_of_those_for_nobody(
    passwords: PasswordService, clock: MovableClock
) -> None:
    told = []

    def tell(user: User, failures: int, now: int) -> Work[None]:
        told.append((user.id, failures, now))
        yield from ()

    passwords.told = tell
    stop = LIMITS.account.stop_of_name
    for _ in range(stop + 1):
        await fail(passwords)
        await fail(passwords, None, name="ghost")
        clock.advance(3600)
    assert told == [(ANNI.id, stop, clock.now() - 2 * 3_600_000_000)]


async def test_a_flag_stays_until_the_next_password_even_while_its_owner_signs_in(passwords: PasswordService) -> None:
    passwords.policy = PasswordPolicy(minimum_length=len(RIGHT) + 1)  # so that this one has another reason to write
    under_way = await passwords.verify(ANNI, "anni", RIGHT, CALLER)
    await passwords.db.write(lambda: passwords.flag_compromised(ANNI.id))
    with suppress(InvalidCredentials):
        await passwords.db.write(under_way.succeeded)
    assert await passwords.change_wanted(ANNI.id) == "compromised"

    await set_password(passwords, "the blue tram goes home quietly")
    assert await passwords.change_wanted(ANNI.id) is None


# Floods --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.3.3")
async def test_a_flood_of_refusals_is_audited_once_a_minute_as_a_sum(
    passwords: PasswordService, clock: MovableClock
) -> None:
    for _ in range(17):
        await fail(passwords)
        clock.advance(3600)
    await fail(passwords)
    for _ in range(30):
        await refused(passwords)
    clock.advance(60)
    await refused(passwords)
    await refused(passwords)
    clock.advance(0.001)
    await passwords.refusals.flush()
    sums = [
        payload["refused"] for event, _, payload in await audited(passwords) if event == "excess_rate_limit_exceeded"
    ]
    assert sums == [1, 30, 1]


async def test_a_flood_at_one_name_does_not_hold_up_another(passwords: PasswordService) -> None:
    guesses = [asyncio.create_task(fail(passwords, None, name="ghost")) for _ in range(40)]
    await sign_in(passwords)
    await asyncio.gather(*guesses, return_exceptions=True)
