"""What was sent comes back once: tokens and codes on both databases, with many at the same moment.

ASVS 5.0: 6.5.1 (single use), 6.5.5 (lifetime), 6.6.2 (bound to the request), 6.6.3 (codes against brute force).
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from doorward.adapters.database_limiter import DatabaseLimiter
from doorward.audit import AuditTrail, Refusals
from doorward.confirmations import Confirmations, Opened, Purpose, holder_of_cookie, holder_of_session
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Invalid, RateLimited
from doorward.kernel.limits import load_limits
from doorward.ports import Database, Sealer
from doorward.testing import MovableClock

CALLER = Caller("192.0.2.7", "test")
HOLDER = holder_of_cookie("the browser that asked")
ADDRESS = "ada@example.org"


@pytest.fixture
def room(database: Database, clock: MovableClock, sealer: Sealer) -> Confirmations:
    audit = AuditTrail(sealer, clock)
    limiter = DatabaseLimiter(database, clock, sealer, load_limits())
    return Confirmations(database, clock, sealer, limiter, Refusals(database, clock, audit))


async def begin(room: Confirmations, purpose: Purpose = "sign_up", address: str = ADDRESS, **more: Any) -> Opened:
    now = room.clock.now()
    return await room.db.write(lambda: room.begin(purpose, address, address, now=now, **{"holder": HOLDER, **more}))


async def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        await call
    return caught.value.errors[0].field, caught.value.errors[0].code


def using(room: Confirmations, opened: Opened) -> Callable[[], Any]:
    async def use() -> bool:
        try:
            found = await room.by_token(opened.token, "sign_up")
            await room.db.write(lambda: room.use(found, room.clock.now()))
        except Invalid:
            return False
        return True

    return use


@pytest.mark.asvs("6.5.1")
async def test_of_twenty_at_the_same_moment_one_uses_a_link(room: Confirmations) -> None:
    opened = await begin(room)
    use = using(room, opened)
    assert sum(await asyncio.gather(*(use() for _ in range(20)))) == 1
    assert await refusal(room.by_token(opened.token, "sign_up")) == ("token", "used")


async def test_looking_changes_nothing(room: Confirmations) -> None:
    opened = await begin(room)
    for _ in range(3):
        assert (await room.look(opened.token, "sign_up"))[0] == "live"
    assert await using(room, opened)()


async def test_a_link_opens_only_what_it_was_made_for(room: Confirmations) -> None:
    opened = await begin(room, "recovery")
    assert (await room.look(opened.token, "sign_up", "email"))[0] == "unknown"
    assert (await room.look(opened.token, "recovery"))[0] == "live"
    for made_up in ("", "x", "A" * 43, "A" * 5_000, "\ud800", opened.token[:-1]):
        assert (await room.look(made_up, "recovery"))[0] == "unknown"


@pytest.mark.asvs("6.5.5")
async def test_links_and_codes_expire(room: Confirmations, clock: MovableClock) -> None:
    opened = await begin(room)
    found = await room.by_token(opened.token, "sign_up")
    clock.advance(600)
    assert await refusal(room.check_code(found, opened.code, CALLER)) == ("code", "wrong")
    clock.advance(24 * 3600 - 601)
    assert (await room.look(opened.token, "sign_up"))[0] == "live"
    clock.advance(1)
    assert (await room.look(opened.token, "sign_up"))[0] == "expired"
    with pytest.raises(Invalid):
        await room.db.write(lambda: room.use(found, clock.now()))


@pytest.mark.asvs("6.6.3")
async def test_of_fifty_guesses_at_the_same_moment_five_are_compared(room: Confirmations) -> None:
    opened = await begin(room)
    found = await room.by_token(opened.token, "sign_up")
    wrong = f"{(int(opened.code) + 1) % 10**6:06}"
    await asyncio.gather(*(refusal(room.check_code(found, wrong, CALLER)) for _ in range(50)), return_exceptions=True)
    with pytest.raises((Invalid, RateLimited)):  # the right one comes too late
        await room.check_code(found, opened.code, CALLER)
    assert (await room.by_token(opened.token, "sign_up")).failures == 5
    assert await using(room, opened)()  # the link still works: nobody is shut out by a stranger's guesses


@pytest.mark.asvs("6.6.3")
async def test_a_newer_code_kills_the_old_one_and_keeps_the_count(room: Confirmations) -> None:
    opened = await begin(room)
    found = await room.by_token(opened.token, "sign_up")
    for _ in range(4):
        await refusal(room.check_code(found, "no code", CALLER))
    newer = await room.db.write(lambda: room.renew(found, room.clock.now()))  # `found` is as it was before
    assert newer.token == opened.token
    if newer.code != opened.code:
        assert await refusal(room.check_code(found, opened.code, CALLER)) == ("code", "wrong")  # the fifth
    else:  # once in a million
        await refusal(room.check_code(found, "no code", CALLER))
    assert await refusal(room.check_code(found, newer.code, CALLER)) == ("code", "wrong")


async def test_a_right_code_costs_no_try_and_may_be_typed_in_groups(room: Confirmations) -> None:
    opened = await begin(room)
    found = await room.by_token(opened.token, "sign_up")
    for typed in (f"{opened.code[:3]} {opened.code[3:]}", f" {opened.code[:3]}-{opened.code[3:]} ", *[opened.code] * 8):
        assert await room.check_code(found, typed, CALLER) == found
    assert (await room.by_token(opened.token, "sign_up")).failures == 0


@pytest.mark.asvs("6.6.2")
async def test_a_browser_finds_only_what_it_began(room: Confirmations) -> None:
    opened = await begin(room)
    session = await begin(room, "phone", "+491701234567", holder=holder_of_session("the browser that asked"))
    found = await room.of_holder(HOLDER, "sign_up", "phone")
    assert found is not None
    assert found.id == opened.id
    assert found.held_by(HOLDER)
    assert not found.held_by(holder_of_cookie("another"))
    assert not found.held_by(None)
    assert await room.of_holder(None, "sign_up") is None
    assert await room.of_holder(holder_of_cookie("another"), "sign_up") is None
    other = await room.of_holder(holder_of_session("the browser that asked"), "sign_up", "phone")
    assert other is not None
    assert other.id == session.id


async def test_without_anything_begun_each_sender_uses_up_their_own_tries(room: Confirmations) -> None:
    for _ in range(30):
        assert await refusal(room.check_code(None, "123456", CALLER)) == ("code", "wrong")
    with pytest.raises(RateLimited):
        await room.check_code(None, "123456", CALLER)
    assert await refusal(room.check_code(None, "123456", Caller("198.51.100.9"))) == ("code", "wrong")


async def test_after_five_wrong_codes_no_newer_one_is_made(room: Confirmations) -> None:
    opened = await begin(room)
    found = await room.by_token(opened.token, "sign_up")
    for _ in range(5):
        await refusal(room.check_code(found, "no code", CALLER))
    found = await room.by_token(opened.token, "sign_up")
    assert await refusal(room.check_code(found, opened.code, CALLER)) == ("code", "exhausted")
    assert await refusal(room.db.write(lambda: room.renew(found, room.clock.now()))) == ("code", "exhausted")


async def test_what_is_sent_without_a_code_takes_none(room: Confirmations) -> None:
    opened = await begin(room, "recovery")
    found = await room.by_token(opened.token, "recovery")
    assert found.code_mac is None
    assert (await refusal(room.check_code(found, opened.code, CALLER)))[0] == "code"


async def test_what_was_sent_to_an_address_is_void_when_its_owner_is_found(room: Confirmations) -> None:
    first, second = await begin(room), await begin(room, holder=None)
    elsewhere = await begin(room, address="eve@example.org")
    await room.db.write(lambda: room.void_of_target(ADDRESS, room.clock.now(), "sign_up"))
    assert await refusal(room.by_token(first.token, "sign_up")) == ("token", "void")
    assert await refusal(room.by_token(second.token, "sign_up")) == ("token", "void")
    assert (await room.look(elsewhere.token, "sign_up"))[0] == "live"


@pytest.mark.asvs("11.3.2")
async def test_the_table_holds_neither_token_nor_code_nor_what_is_kept_with_them(room: Confirmations) -> None:
    opened = await begin(room, payload={"digest": "canary-of-a-digest"})
    found = await room.by_token(opened.token, "sign_up")
    assert found.payload["digest"] == "canary-of-a-digest"
    assert opened.code not in repr(found)
    assert opened.token not in repr(found)
    assert "canary" not in repr(found)
    assert opened.token not in repr(opened)


@pytest.mark.asvs("14.2.4")
async def test_what_was_kept_goes_as_soon_as_it_is_over(room: Confirmations, clock: MovableClock) -> None:
    """A pending sign-up keeps the digest of a password."""
    used, void, expired = [await begin(room, payload={"digest": "x"}) for _ in range(3)]
    now = clock.now()
    found = [await room.by_token(opened.token, "sign_up") for opened in (used, void)]
    await room.db.write(lambda: room.use(found[0], now))
    await room.db.write(lambda: room.void(found[1], now))
    clock.advance(24 * 3600)
    await room.purge()
    for opened, state in ((used, "used"), (void, "void"), (expired, "expired")):
        known, row = await room.look(opened.token, "sign_up")
        assert row is not None
        assert (known, dict(row.payload)) == (state, {})


async def test_long_after_its_end_a_row_is_forgotten(room: Confirmations, clock: MovableClock) -> None:
    opened = await begin(room)
    clock.advance(8 * 86_400 - 1)
    await room.purge()
    assert (await room.look(opened.token, "sign_up"))[0] == "expired"
    clock.advance(1)
    await room.purge()
    assert (await room.look(opened.token, "sign_up"))[0] == "unknown"
