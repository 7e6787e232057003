"""Which event of the OWASP vocabulary a thing is recorded as."""

import json
from typing import Any

import pytest

from tests.http.conftest import PASSWORD, World
from tests.support.attack import audited

WRONG = "seven noisy herons at noon"


async def payloads(world: World, event: str) -> list[dict[str, Any]]:
    return [json.loads(row.payload or "{}") for row in await audited(world, event)]


@pytest.mark.asvs("16.3.1")
async def test_a_sign_in_after_wrong_tries_says_how_many(world: World) -> None:
    await world.visitor().sign_up("ada")
    for _ in range(2):
        await world.visitor().sign_in("ada", WRONG)
    await world.visitor().sign_in("ada")
    assert [payload["failures"] for payload in await payloads(world, "authn_login_successafterfail")] == [2]
    assert await payloads(world, "authn_login_success") == []
    await world.visitor().sign_in("ada")
    assert len(await payloads(world, "authn_login_success")) == 1


@pytest.mark.asvs("16.3.1")
async def test_a_wrong_current_password_is_a_failed_change_and_no_failed_sign_in(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    body = {"current_password": WRONG, "new_password": "nine quiet herons at dawn"}
    assert (await ada.send("PUT", "/api/users/me/password", body)).status_code == 400
    assert [payload["reason"] for payload in await payloads(world, "authn_password_change_fail")] == ["wrong password"]
    assert await payloads(world, "authn_login_fail") == []
    assert (await ada.send("PUT", "/api/users/me/password", {**body, "current_password": PASSWORD})).status_code == 204
