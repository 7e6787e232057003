"""Notices: mails to owners; and what a page says after a redirect of ours, to nobody who was sent there by a link."""

import pytest

from tests.http.conftest import ORIGIN, Inbox, Visitor, World
from tests.support.factors import step
from tests.support.second_step import Member, full_member, plain_member

PLACES = ["/account?saved=1", "/account?welcome=1", "/account/password?password=1", "/account/sessions?others=1"]


@pytest.fixture
async def member(world: World) -> Visitor:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    return visitor


@pytest.mark.parametrize("place", PLACES)
async def test_a_link_from_elsewhere_makes_no_page_claim_anything(member: Visitor, place: str) -> None:
    for sender in ("cross-site", "same-site", "none"):
        page = await member.get(place, headers={"sec-fetch-site": sender})
        assert page.status_code == 200
        assert 'class="notice' not in page.text
    assert 'class="notice' not in (await member.get(place)).text


@pytest.mark.parametrize("place", PLACES)
async def test_after_a_redirect_of_ours_the_page_says_what_was_done(member: Visitor, place: str) -> None:
    page = await member.get(place, headers={"sec-fetch-site": "same-origin", "referer": f"{ORIGIN}/account"})
    assert 'class="notice' in page.text


# Mails -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.5")
async def test_the_owner_is_told_of_a_browser_that_is_new_and_of_no_other(world: World) -> None:
    ada = await plain_member(world, "ada")
    world.clock.advance(3600)
    assert await kinds_sent(world, ada) == []
    stranger = world.visitor("198.51.100.7", **{"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/150.0"})
    for _ in range(2):
        assert (await stranger.sign_in("ada")).status_code == 201
    assert await kinds_sent(world, ada) == ["new_device"], "the second time it is known"
    told = (await Inbox(world).last(ada.address, "new_device")).values
    assert (told["device"], told["address"]) == ("Firefox on Linux", "198.51.100.7")
    assert str(told["path"]).startswith("/not-me/")


@pytest.mark.asvs("6.3.5")
async def test_the_owner_is_told_of_a_right_password_and_wrong_codes(world: World) -> None:
    ada = await full_member(world, "ada")
    thief = world.visitor("198.51.100.7")
    assert (await thief.sign_in("ada")).json()["next"] == "authenticator"
    for number in range(4):
        await step(thief, "totp", f"00000{number}")
    assert (await kinds_sent(world, ada)).count("factor_failed") == 1


@pytest.mark.asvs("6.3.7")
async def test_the_owner_is_told_of_a_recovery_code_that_was_used(world: World) -> None:
    ada = await full_member(world, "ada")
    browser = world.visitor("198.51.100.7")
    await browser.sign_in("ada")
    await step(browser, "recovery_code", ada.codes[0])
    told = (await Inbox(world).last(ada.address, "recovery_code_used")).values
    assert told["left"] == 9


async def kinds_sent(world: World, ada: Member) -> list[str]:
    """Which notices went out, without those of what the member set up."""
    set_up = {"factor_added", "recovery_codes_made", "confirm_sign_up", "confirm_email"}
    return [one.template for one in await Inbox(world).messages(ada.address) if one.template not in set_up]
