"""What a page says after a redirect of ours is said to nobody who was sent there by a link."""

import pytest

from tests.http.conftest import ORIGIN, Visitor, World

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
