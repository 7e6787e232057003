"""Fields that nobody may write by naming them: refused by name everywhere, and nothing changes (C44)."""

from typing import Any

import pytest

from tests.http.conftest import PASSWORD, World
from tests.support.attack import OPERATOR, dump, fields_of

PRIVILEGED: dict[str, Any] = {
    "roles": ["admin"],
    "role": "admin",
    "is_admin": True,
    "admin": True,
    "status": "active",
    "email_verified": True,
    "verified_at": 1,
    "created_at": "2000-01-01T00:00:00Z",
    "updated_at": 0,
    "version": 99,
    "legacy_id": "x:1",
    "uid_key": "eve",
    "coins": 1_000_000,
    "digest": "$argon2id$",
    "fields": {"coins": 5},
    "user_id": "x",
    "rank": 1,
    "session": {},
    "__class__": "User",
    "__proto__": {"coins": 5},
    "constructor": {},
    "name\u200b": "x",
    "NAME": "x",
    "coins ": 5,
}


@pytest.mark.asvs("15.3.3")
@pytest.mark.parametrize("field", [*PRIVILEGED, "id"])
async def test_a_newcomer_sets_nothing_privileged(world: World, field: str) -> None:
    before = await dump(world.services.db)
    body = {"uid": "ada", "name": "Ada", "password": PASSWORD, field: PRIVILEGED.get(field, "x")}
    answer = await world.visitor().post("/api/users", body)

    assert answer.status_code == 400
    assert fields_of(answer) == {field}
    assert (await dump(world.services.db))["users"] == before["users"] == []


@pytest.mark.asvs("15.3.3")
async def test_a_member_sets_nothing_privileged(world: World) -> None:
    visitor = world.visitor()
    user = await visitor.sign_up("ada")
    before = await dump(world.services.db)
    for field, value in {**PRIVILEGED, "uid": "other", "password": PASSWORD}.items():
        for method in ("PATCH", "PUT"):
            for path in ("/api/users/me", f"/api/users/{user['id']}"):
                answer = await visitor.send(method, path, {"name": "Changed", field: value})
                assert answer.status_code == 400, (method, path, field)
                assert fields_of(answer) == {field}
    assert await dump(world.services.db) == before


@pytest.mark.asvs("15.3.3")
async def test_forms_set_nothing_privileged_either(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    before = await dump(world.services.db)
    for field in PRIVILEGED:
        if field != "session":
            form = {"name": "Changed", field: "1"}
            assert (await visitor.submit("/account/profile", form, "/account")).status_code == 400, field
            newcomer = {"uid": "eve", "name": "Eve", "password": PASSWORD, field: "1"}
            assert (await world.visitor().submit("/sign-up", newcomer)).status_code == 400, field
    assert await dump(world.services.db) == before


@pytest.mark.asvs("8.2.3")
async def test_an_administrator_sets_what_is_declared_and_no_roles(world: World) -> None:
    admin, member = world.visitor(), world.visitor()
    chief = await admin.sign_up("chief")
    user = await member.sign_up("ada")
    await world.services.users.set_roles(chief["id"], ["admin"], None, OPERATOR)
    await admin.sign_in("chief")
    path = f"/api/users/{user['id']}"

    assert (await admin.send("PATCH", path, {"coins": 7, "uid": "ada2"})).json()["coins"] == 7
    for field in ("roles", "status", "email_verified", "legacy_id", "created_at", "password", "version"):
        answer = await admin.send("PATCH", path, {field: PRIVILEGED.get(field, PASSWORD)})
        assert (answer.status_code, fields_of(answer)) == (400, {field})


@pytest.mark.asvs("15.3.3")
async def test_credentials_take_no_other_fields(world: World) -> None:
    await world.visitor().sign_up("ada")
    for path, name in (("/api/sessions", "identifier"), ("/api/users/authenticate", "uid")):
        for field in ("user_id", "roles", "amr", "aal", "auth_time", "expires_at", "device"):
            answer = await world.visitor().post(path, {name: "ada", "password": PASSWORD, field: "x"})
            assert (answer.status_code, fields_of(answer)) == (400, {field})
