"""A JWT that leaked before its owner proved anew who they are. ASVS 7.2.4, 7.4.3."""

import pytest

from tests.http.conftest import PASSWORD, Visitor, World

NEW = "a wholly different phrase"


async def leaked(visitor: Visitor) -> dict[str, str]:
    """A bearer header that a thief has."""
    answer = await visitor.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})
    await visitor.learn_csrf()
    return {"authorization": f"Bearer {answer.json()['data']['jwt']}"}


@pytest.mark.asvs("7.2.4")
async def test_it_dies_when_the_password_is_changed(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    thief = await leaked(visitor)
    assert (await world.visitor().get("/api/users/me", headers=thief)).status_code == 200
    changed = await visitor.send("PUT", "/api/users/me/password", {"current_password": PASSWORD, "new_password": NEW})

    assert changed.status_code == 204
    assert (await world.visitor().get("/api/users/me", headers=thief)).status_code == 401
    assert (await world.visitor().send("DELETE", "/api/users/me", headers=thief)).status_code == 401


@pytest.mark.asvs("7.5.3")
async def test_it_inherits_no_fresh_authentication(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    thief = await leaked(visitor)
    world.clock.advance(1)
    assert (await visitor.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})).status_code == 200

    assert (await world.visitor().send("DELETE", "/api/users/me", headers=thief)).status_code == 401
    assert (await visitor.get("/api/users/me")).status_code == 200
