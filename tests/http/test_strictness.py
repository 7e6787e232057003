"""Small strictnesses of the API and the pages that nothing else asks for."""

import pytest

from tests.http.conftest import PASSWORD, Visitor, World

BASIC = {"authorization": "Basic YWRhOmFkYQ=="}


@pytest.mark.parametrize("field", ["remember", "Password", "uid"])
async def test_signing_in_takes_no_field_it_does_not_know(visitor: Visitor, field: str) -> None:
    await visitor.sign_up("ada")
    body = {"identifier": "ada", "password": PASSWORD, field: "x"}
    answer = await visitor.post("/api/sessions", body)
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, "unknown_field")]


async def test_a_proxys_own_password_does_not_stand_in_the_way_of_pages(visitor: Visitor) -> None:
    """A site behind Basic authentication: browsers send the header along with our cookie."""
    await visitor.sign_up("ada")
    assert (await visitor.get("/account", headers=BASIC)).status_code == 200
    assert (await visitor.get("/api/sessions/current", headers=BASIC)).status_code == 401


async def test_a_taken_handle_costs_a_place(world: World) -> None:
    """Else a stranger reads the list of members here."""
    await world.visitor().sign_up("ada")
    stranger = world.visitor("203.0.113.5")
    body = {"uid": "ada", "name": "Ada", "password": PASSWORD}
    answers = [(await stranger.post("/api/users", body)).status_code for _ in range(101)]
    assert answers == [400] * 100 + [429]


@pytest.mark.parametrize("length", [37, 2_000, 60_000])
async def test_an_id_that_is_too_long_is_nobodys(visitor: Visitor, length: int) -> None:
    await visitor.sign_up("ada")
    for method in ("GET", "PUT", "DELETE"):
        json: dict[str, str] | None = {} if method == "PUT" else None
        assert (await visitor.send(method, f"/api/users/{'0' * length}", json)).status_code == 404
