"""What a thief began in a stolen session must not outlive it, and strangers' mails must not keep an owner out.

ASVS 5.0: 6.1.1 (no malicious lock-out), 6.4.3 (recovery), 7.4.2, 7.4.3 (ending sessions).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from doorward.kernel.caller import LOCAL_OPERATOR
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.members import email_of, follow, link, member

OLD, EVES = "ada@example.org", "eve@example.org"
NEW_PASSWORD = "three brass lamps in the fog"


@dataclass
class Theft:
    """A member, and a thief in a session of theirs who has asked for an address of his own."""

    world: World
    owner: Visitor
    user_id: str
    path: str  # of the thief's link


async def steal(world: World) -> Theft:
    owner, user_id = await member(world, "ada", OLD)
    thief = world.visitor("203.0.113.66")
    assert (await thief.sign_in("ada")).status_code == 201
    assert (await thief.post(f"/api/users/{user_id}/email", {"email": EVES})).status_code == 202
    return Theft(world, owner, user_id, await link(world, EVES))


async def recover(theft: Theft) -> None:
    browser = theft.world.visitor("198.51.100.7")
    assert (await browser.post("/api/recovery", {"email": OLD})).status_code == 202
    token = (await link(theft.world, OLD)).removeprefix("/recovery/")
    body = {"token": token, "password": NEW_PASSWORD}
    assert (await browser.post("/api/recovery/complete", body)).status_code == 200


async def change_password(theft: Theft) -> None:
    form = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await theft.owner.submit("/account/password", form)).status_code == 303


async def end_the_others(theft: Theft) -> None:
    assert (await theft.owner.submit("/account/sessions/end-others", {}, page="/account/sessions")).status_code == 303


async def be_reported(theft: Theft) -> None:
    await theft.world.services.recovery.flag_compromised(theft.user_id, LOCAL_OPERATOR)


async def be_shut_out_for_a_while(theft: Theft) -> None:
    users = theft.world.services.users
    await users.set_status(theft.user_id, "disabled", None, LOCAL_OPERATOR)
    await users.set_status(theft.user_id, "active", None, LOCAL_OPERATOR)


@pytest.mark.asvs("7.4.2")
@pytest.mark.asvs("7.4.3")
@pytest.mark.parametrize(
    "defend",
    [recover, change_password, end_the_others, be_reported, be_shut_out_for_a_while],
    ids=lambda one: one.__name__,
)
async def test_a_change_of_address_dies_with_the_session_it_was_asked_in(
    world: World, defend: Callable[[Theft], Awaitable[None]]
) -> None:
    theft = await steal(world)
    await defend(theft)
    answer = await follow_or_see(world.visitor("203.0.113.66"), theft.path)
    assert answer == 410
    user = await world.services.users.find(theft.user_id)
    assert user is not None
    assert (user.email, user.email_verified) == (OLD, True)


async def test_without_any_defence_the_link_works(world: World) -> None:
    """So that the test above tests something."""
    theft = await steal(world)
    assert (await follow(world.visitor(), theft.path)).status_code == 303
    assert await email_of(theft.owner) == (EVES, True)


async def follow_or_see(visitor: Visitor, path: str) -> int:
    page = await visitor.get(path)
    return page.status_code if page.status_code != 200 else (await follow(visitor, path)).status_code


# Lock-out -----------------------------------------------------------------------------------------------------------


async def ask_to_sign_up(visitor: Visitor, address: str) -> int:
    return (await visitor.post("/api/users", {"email": address, "password": PASSWORD})).status_code


async def ask_to_recover(visitor: Visitor, address: str) -> int:
    return (await visitor.post("/api/recovery", {"email": address})).status_code


async def exhaust(world: World, ask: Callable[[Visitor, str], Awaitable[int]], address: str) -> None:
    statuses = []
    for number in range(30):
        statuses.append(await ask(world.visitor(f"203.0.113.{number}"), address))
        world.clock.advance(300)
    assert 429 in statuses


@pytest.mark.asvs("6.1.1")
@pytest.mark.parametrize("address", [OLD, "nobody@example.org"])
async def test_sign_ups_with_somebodys_address_do_not_keep_them_from_recovering(
    mail_world: World, inbox: Inbox, address: str
) -> None:
    owner = mail_world.visitor()
    await owner.post("/api/users", {"email": OLD, "password": PASSWORD})
    assert (await owner.post("/api/verifications", {"code": (await inbox.last(OLD)).values["code"]})).status_code == 200
    await exhaust(mail_world, ask_to_sign_up, address)
    assert await ask_to_recover(mail_world.visitor("198.51.100.7"), address) == 202


@pytest.mark.asvs("6.1.1")
async def test_recoveries_for_somebodys_address_do_not_keep_them_from_signing_up(mail_world: World) -> None:
    await exhaust(mail_world, ask_to_recover, "new@example.org")
    assert await ask_to_sign_up(mail_world.visitor("198.51.100.7"), "new@example.org") == 202
