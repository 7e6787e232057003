"""C5: every path that sets a password asks the same questions of it, the site's name among them."""

import httpx
import pytest

from doorward.authenticators import PasswordPolicy
from tests.http.conftest import PASSWORD, World

WEAK = {
    "Doorward is the best": "too_personal",
    "qwertyuiopasdfghjkl": "key_row",
    "passwordpassword": "repeats",
    "to be or not to be, that is the question": "well_known_phrase",
    "iloveyou1234567": "too_common",
    "fourteen chars": "too_short",
}


async def sign_up(world: World, password: str) -> httpx.Response:
    return await world.visitor().post("/api/users", {"uid": "ada", "name": "Ada", "password": password})


async def change(world: World, password: str) -> httpx.Response:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    body = {"current_password": PASSWORD, "new_password": password}
    return await visitor.send("PUT", "/api/users/me/password", body)


async def set_up(world: World, password: str) -> httpx.Response:
    path = await world.services.setup.new_link()
    return await world.visitor().submit(path, {"uid": "root", "name": "Root", "password": password})


@pytest.mark.asvs("6.2.4")
@pytest.mark.asvs("6.2.11")
@pytest.mark.parametrize("password", WEAK)
async def test_sign_up_and_a_change_refuse_a_weak_password_with_its_reason(world: World, password: str) -> None:
    for answer in (await sign_up(world, password), await change(world, password)):
        assert answer.status_code == 400, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] in {"password", "new_password"}
        assert error["code"] == WEAK[password]


@pytest.mark.asvs("6.2.11")
async def test_the_administrators_link_refuses_the_name_of_the_site(world: World) -> None:
    answer = await set_up(world, "Doorward is the best")
    assert answer.status_code == 400
    assert "made of your name or address" in answer.text


def test_the_page_knows_a_sentence_for_each_advice() -> None:
    assert set(PasswordPolicy().advice) == {"missing", "repeats", "key_row", "too_personal"}
