"""What a stolen, leaked or over-trusted API key must not be good for (C36, C48)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from doorward.apikeys import OWN_SCOPES
from doorward.app import open_services
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.kernel.api_key import new_api_key
from doorward.web.routing import Access, Operation
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, call, make_admin, name_of, route_table, with_every_operation
from tests.support.members import STALE, member
from tests.support.notices import notice

KEYS = "/api/users/me/keys"
ME = "/api/users/me"
FOR_KEYS = {  # what some key may do; a new one has to be added here on purpose
    "GET /api/events": {"events:read"},
    "GET /api/users": {"users:read"},
    "GET /api/users/me": {"profile:read"},
    "GET /api/users/me/activity": {"activity:read"},
    "GET /api/users/{id}": {"users:read"},
    "PATCH /api/users/me": {"profile:write"},
    "PATCH /api/users/{id}": {"users:write", "profile:write"},
    "PUT /api/users/me": {"profile:write"},
    "PUT /api/users/{id}": {"users:write", "profile:write"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_every_operation(settings)


async def make(visitor: Visitor, *scopes: str, **body: Any) -> dict[str, Any]:
    answer = await visitor.post(KEYS, {"name": "Report", "scopes": list(scopes or ("profile:read",)), **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def works(world: World, key: dict[str, Any]) -> bool:
    answer = await world.visitor().get(ME, headers={"x-api-key": key["secret"]})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def wants_somebody(operation: Operation) -> bool:
    return operation.access is not Access.ANYONE


@pytest.mark.asvs("8.2.1")
async def test_a_key_with_every_scope_opens_what_is_listed_and_no_page(world: World) -> None:
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    key = await make(chief, *OWN_SCOPES)
    opened: dict[str, set[str]] = {}
    for operation in filter(wants_somebody, route_table(world)):
        for headers in ({"authorization": f"Bearer {key['secret']}"}, {"x_api_key": key["secret"]}):
            answer = await call(world.visitor(), operation, **headers)
            world.clock.advance(1)
            if operation.is_page:
                closed = operation.access is not Access.OPTIONAL
                assert not closed or answer.headers["location"].startswith("/sign-in"), name_of(operation)
                assert "chief" not in answer.text, name_of(operation)
            elif operation.scopes:
                opened[name_of(operation)] = set(operation.scopes)
                assert answer.status_code not in {401, 500}, name_of(operation)
                assert answer.status_code != 403 or operation.method != "GET", name_of(operation)
            else:
                assert answer.status_code in {401, 403}, name_of(operation)
                assert answer.json()["code"] in {"insufficient_scope", "not_signed_in"}, name_of(operation)
    assert opened == FOR_KEYS


@pytest.mark.asvs("7.5.1")
async def test_a_key_changes_nothing_that_opens_the_account(world: World) -> None:
    ada, user_id = await member(world, "ada", "ada@example.org")
    key = await make(ada, "profile:read", "profile:write", "users:read")
    program = {"authorization": f"Bearer {key['secret']}"}
    tries: list[tuple[str, str, Any]] = [
        ("PATCH", ME, {"email": "eve@example.org"}),
        ("PATCH", ME, {"email": None}),
        ("PUT", f"{ME}/password", {"current_password": PASSWORD, "new_password": "another quite different phrase"}),
        ("POST", f"{ME}/authenticators", {"kind": "totp"}),
        ("POST", KEYS, {"name": "More", "scopes": ["profile:read"]}),
        ("POST", f"{KEYS}/{key['id']}/rotate", {}),
        ("DELETE", f"{KEYS}/{key['id']}", None),
        ("DELETE", ME, {"password": PASSWORD}),
        ("DELETE", "/api/sessions", None),
        ("POST", f"/api/users/{user_id}/email", {"email": "eve@example.org"}),
        ("POST", f"{ME}/export", None),
        ("POST", "/api/sessions/current/reauthenticate", {"password": PASSWORD}),
    ]
    for method, path, body in tries:
        answer = await world.visitor().send(method, path, body, headers=program)
        assert answer.status_code == 403, (method, path, answer.text)
    assert (await ada.get(ME)).json()["email"] == "ada@example.org"
    assert await works(world, key)


async def test_a_key_with_users_write_is_not_for_members(world: World) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    refused = await ada.post(KEYS, {"name": "x", "scopes": ["users:write"]})
    assert [error["field"] for error in refused.json()["errors"]] == ["scopes"]
    own = await make(ada, "profile:write")
    for path in (ME, f"/api/users/{user['id']}"):
        answer = await world.visitor().send("PATCH", path, {"coins": 1_000}, headers={"x-api-key": own["secret"]})
        assert answer.status_code == 400, "nobody writes their own coins"


@pytest.mark.asvs("14.2.1")
@pytest.mark.parametrize("path", [ME, "/api/sessions/current", "/account", "/", "/sign-in", "/nothing", "/api/nothing"])
async def test_a_key_in_an_address_is_refused_and_written_down(world: World, path: str) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    key = await make(ada)
    for query in (f"key={key['secret']}", f"a=%64w%5F{key['secret'][3:]}"):
        for visitor in (ada, world.visitor()):
            answer = await visitor.get(f"{path}?{query}", headers={"x-api-key": key["secret"]})
            assert answer.status_code == 400, path
            assert key["secret"] not in answer.text
    (row,) = await audited(world, "authn_login_fail")
    assert row.user_id == user["id"]
    assert key["secret"] not in (row.payload or "")
    await ada.get(f"{path}?key={new_api_key()}")
    assert await works(world, key), "a stranger with a link ends nobody's key"


@pytest.mark.asvs("3.5.3")
async def test_a_browser_sends_no_key(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await make(ada, "profile:read", "profile:write")
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": ORIGIN}):
        for name, value in (("x-api-key", key["secret"]), ("authorization", f"Bearer {key['secret']}")):
            answer = await world.visitor().send("PATCH", ME, {"name": "Eve"}, headers={name: value, **headers})
            assert answer.status_code == 403, (headers, name)


async def test_the_header_takes_the_place_of_the_cookie(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await make(ada)
    for wrong in ("", "x", "dws_" + "A" * 43, new_api_key(), key["secret"][:-1]):
        assert (await ada.get(ME, headers={"x-api-key": wrong})).status_code == 401, wrong
        assert (await ada.get("/api/sessions/current", headers={"x-api-key": wrong})).status_code == 401, wrong
        assert (await ada.http.patch(ME, json={"name": "Eve"}, headers={"x-api-key": wrong})).status_code == 401
    both = {"x-api-key": key["secret"], "authorization": f"Bearer {key['secret']}"}
    assert (await ada.get(ME, headers=both)).status_code == 401


async def test_only_a_fresh_owner_makes_replaces_or_ends_one(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    await eve.sign_up("eve")
    key = await make(ada)
    for method, path in (("POST", f"{KEYS}/{key['id']}/rotate"), ("DELETE", f"{KEYS}/{key['id']}")):
        assert (await eve.send(method, path, {} if method == "POST" else None)).status_code == 404
    world.clock.advance(STALE)
    for method, path, body in (
        ("POST", KEYS, {"name": "x", "scopes": ["profile:read"]}),
        ("POST", f"{KEYS}/{key['id']}/rotate", {}),
        ("DELETE", f"{KEYS}/{key['id']}", None),
    ):
        answer = await ada.send(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "reauthentication_needed")
    assert await works(world, key)


End = Callable[[World, Visitor, str], Awaitable[None]]


async def _disabled(world: World, _: Visitor, user_id: str) -> None:
    await world.services.users.set_status(user_id, "disabled", None, OPERATOR)
    await world.services.users.set_status(user_id, "active", None, OPERATOR)


async def _role(world: World, _: Visitor, user_id: str) -> None:
    await world.services.users.set_roles(user_id, ["auditor"], None, OPERATOR)


async def _deleted(world: World, _: Visitor, user_id: str) -> None:
    await world.services.users.delete(user_id, None, OPERATOR)


async def _leaving(_: World, visitor: Visitor, __: str) -> None:
    assert (await visitor.send("DELETE", ME, {"password": PASSWORD})).status_code == 204
    assert (await visitor.sign_in("ada")).json()["next"] == "restoration"
    assert (await visitor.post("/api/sessions/restoration", {})).status_code < 300


async def _recovered(world: World, _: Visitor, __: str) -> None:
    stranger = world.visitor()
    await stranger.post("/api/recovery", {"email": "ada@example.org"})
    token = str((await Inbox(world).last("ada@example.org")).values["path"]).rpartition("/")[2]
    body = {"token": token, "password": "another quite different phrase"}
    assert (await stranger.post("/api/recovery/complete", body)).status_code == 200


async def _compromised(world: World, _: Visitor, user_id: str) -> None:
    await world.services.recovery.flag_compromised(user_id, OPERATOR)


async def _not_me(world: World, _: Visitor, user_id: str) -> None:
    path = await notice(world, user_id)
    assert (await world.visitor().submit(path, {})).status_code == 303


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("end", [_disabled, _role, _deleted, _leaving, _recovered, _compromised, _not_me])
async def test_whatever_shuts_everybody_out_ends_every_key_at_once_on_every_node(
    world: World, tmp_path: Path, end: End
) -> None:
    ada, user_id = await member(world, "ada", "ada@example.org")
    key = await make(ada)
    async with open_services(world.services.settings, DataDir.open(tmp_path / "data"), world.clock) as other:
        assert await works(world, key)
        assert await other.api_keys.find(key["secret"], OPERATOR) is not None
        world.clock.advance(1)
        await end(world, ada, user_id)
        assert not await works(world, key)
        assert await other.api_keys.find(key["secret"], OPERATOR) is None


async def test_signing_out_everywhere_or_a_new_password_leaves_programs_running(world: World) -> None:
    ada, _ = await member(world, "ada", "ada@example.org")
    key = await make(ada)
    change = {"current_password": PASSWORD, "new_password": "another quite different phrase"}
    assert (await ada.send("PUT", f"{ME}/password", change)).status_code == 204
    await ada.sign_in("ada", change["new_password"])
    assert (await ada.send("DELETE", "/api/sessions")).status_code == 204
    assert await works(world, key)
