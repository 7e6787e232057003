"""A thief who knows the password against what is to give the account back, and pages that tell what others do.

Each was seen to succeed against a running server. ASVS 5.0: 6.3.7, 6.3.8, 7.4.3, 15.4.2.
"""

import contextlib

import httpx
import pytest

from doorward.kernel.errors import Problem
from tests.attacks.test_compromised import flag
from tests.attacks.test_sign_in_link import people  # noqa: F401  a fixture
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR
from tests.support.members import code, email_of, follow, headings, link, member

OLD, EVES, THIRD = "ada@example.org", "eve@example.net", "third@example.net"
NEW = "three brass lamps in the fog"


async def to(visitor: Visitor, world: World, user_id: str, address: str) -> None:
    """Change the address, with the new mailbox at hand."""
    assert (await visitor.post(f"/api/users/{user_id}/email", {"email": address})).status_code == 202
    answer = await visitor.post("/api/verifications", {"code": await code(world, address), "purpose": "email"})
    assert answer.status_code == 200, answer.text


async def owns(world: World, user_id: str) -> str | None:
    user = await world.services.users.find(user_id)
    assert user is not None
    return user.email


@pytest.mark.asvs("6.3.7")
async def test_undoing_a_later_change_does_not_void_the_undo_of_an_earlier_one(world: World) -> None:
    """Two changes, then the undo of the second: the thief is asked at an address of their own."""
    thief, user_id = await member(world, "ada", OLD)
    await to(thief, world, user_id, EVES)
    owners = await link(world, OLD)
    await to(thief, world, user_id, THIRD)
    assert (await follow(world.visitor(), await link(world, EVES))).status_code == 303
    assert await owns(world, user_id) == EVES
    assert (await follow(world.visitor(), owners)).status_code == 303
    assert await owns(world, user_id) == OLD


@pytest.mark.asvs("6.3.7")
async def test_an_owner_who_changes_the_address_back_gives_the_thief_no_undo(world: World) -> None:
    """They need not have seen the mail with the link: they sign in by handle, change it back and choose a password."""
    thief, user_id = await member(world, "ada", OLD)
    await to(thief, world, user_id, EVES)
    assert "/undo/" in await link(world, OLD)
    owner = world.visitor()
    await owner.sign_in("ada")
    await to(owner, world, user_id, OLD)
    changed = {"current_password": PASSWORD, "new_password": NEW}
    assert (await owner.send("PUT", "/api/users/me/password", changed)).status_code == 204
    for mail in await Inbox(world).messages(EVES):
        if str(mail.values["path"]).startswith("/undo/"):
            with contextlib.suppress(AssertionError):  # the page has no form once the link is over
                await follow(world.visitor(), str(mail.values["path"]))
    assert await owns(world, user_id) == OLD


@pytest.mark.asvs("6.3.7")
async def test_an_owner_who_removes_the_thiefs_address_gives_him_no_undo(world: World) -> None:
    thief, user_id = await member(world, "ada", OLD)
    await to(thief, world, user_id, EVES)
    owners = await link(world, OLD)
    owner = world.visitor()
    await owner.sign_in("ada")
    answer = await owner.send("PUT", f"/api/users/{user_id}", {"email": None})
    assert answer.status_code == 200, answer.text
    assert not [mail for mail in await Inbox(world).messages(EVES) if "/undo/" in str(mail.values["path"])]
    assert (await follow(world.visitor(), owners)).status_code == 303
    assert await owns(world, user_id) == OLD


@pytest.mark.asvs("7.4.3")
@pytest.mark.asvs("15.4.2")
async def test_a_session_that_another_worker_still_believes_in_begins_no_change(world: World) -> None:
    """Workers hear of an end within a second; what began in that second must not outlive it."""
    thief, user_id = await member(world, "ada", OLD)
    (believed,) = await world.services.sessions.list_of(user_id)
    await to(thief, world, user_id, EVES)
    assert (await follow(world.visitor(), await link(world, OLD))).status_code == 303
    with contextlib.suppress(Problem):
        await world.services.contacts.ask(believed, user_id, THIRD, OPERATOR)
    assert not await world.services.confirmations.of_user(user_id, "email")


@pytest.mark.asvs("6.3.8")
async def test_a_reported_password_does_not_tell_which_address_goes_with_a_handle(world: World) -> None:
    """Each sign-in takes a place of the owner's address; what is left there shows to whoever asks for a link."""
    await member(world, "ada", OLD)
    await flag(world, "ada")
    world.clock.advance(15 * 60)
    for number in range(5):
        assert (await world.visitor(f"198.51.100.{number}").sign_in("ada")).status_code == 403
    answers = {address: await _ask(world, address) for address in (OLD, "else@example.org")}
    assert {answer.status_code for answer in answers.values()} == {202}


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("what", ["not me", "new password"])
async def test_what_the_owner_does_shows_in_no_strangers_browser(people: World, what: str) -> None:  # noqa: F811  the fixture of that name
    """For an address that nobody has, the page goes on to ask for a code."""
    stranger, other = people.visitor(), people.visitor()
    for visitor, address in ((stranger, "active@example.org"), (other, "nobody@example.org")):
        await visitor.http.post("/api/sessions/email", json={"email": address})
    if what == "not me":
        path = await link(people, "active@example.org")
        assert (await people.visitor().submit(f"{path}/not-me", {}, path)).status_code == 303
    else:
        owner = people.visitor()
        await owner.sign_in("ada")
        changed = {"current_password": PASSWORD, "new_password": NEW}
        assert (await owner.send("PUT", "/api/users/me/password", changed)).status_code == 204
    seen, unseen = [await visitor.get("/sign-in/email/code") for visitor in (stranger, other)]
    assert headings(seen) == headings(unseen)


@pytest.mark.asvs("6.3.8")
async def test_that_somebody_has_signed_up_shows_in_no_strangers_browser(mail_world: World) -> None:
    stranger, owner = mail_world.visitor(), mail_world.visitor()
    for visitor in (stranger, owner):
        await visitor.post("/api/users", {"email": OLD, "password": PASSWORD})
        mail_world.clock.advance(1)
    before = headings(await stranger.get("/verify"))
    assert (await owner.post("/api/verifications", {"code": await code(mail_world, OLD)})).status_code == 200
    assert await email_of(owner) == (OLD, True)
    assert headings(await stranger.get("/verify")) == before


async def _ask(world: World, address: str) -> httpx.Response:
    return await world.visitor("203.0.113.99").http.post("/api/recovery", json={"email": address})
