"""Who may do what, over the whole route table; everything is refused unless it was opened on purpose (C45)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from doorward.users import Declaration
from doorward.web.routing import FORM, JSON, Access, Operation
from tests.http.conftest import FITNESS, PASSWORD, Visitor, World, running
from tests.support.attack import (
    NOBODY,
    OPERATOR,
    UNSAFE,
    audited,
    call,
    dump,
    make_admin,
    name_of,
    path_of,
    route_table,
    with_every_operation,
)
from tests.support.factors import set_up_app

OPEN = {  # what strangers may call; a new one has to be added here on purpose
    "GET /",
    "GET /.well-known/change-password",
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/passkey-endpoints",
    "GET /api/docs",
    "GET /api/openapi.json",
    "GET /cool-off/{token}",
    "GET /dev/mail",  # to this machine alone, with a key: test_mailbox_exposure.py
    "GET /dev/mail.json",
    "GET /dev/mail/{id}",
    "GET /dev/mail/{id}/html",
    "GET /forward-auth/{client_id}/callback",  # of proxies: a cookie of the app's host says who it is, not ours
    "GET /forward-auth/{client_id}/check",
    "GET /forward-auth/{client_id}/gate",
    "GET /forward-auth/{client_id}/lost",
    "GET /forward-auth/{client_id}/refusal",
    "GET /forward-auth/{client_id}/sign-in",
    "GET /forward-auth/{client_id}/sign-out",
    "GET /invitation/{token}",
    "GET /livez",
    "GET /not-me/sent",
    "GET /not-me/{token}",
    "GET /oauth/authorize",  # shows nothing of ours: whoever is not signed in is sent to do so
    "GET /oauth/revocations",  # those of OAuth want a client or a token: test_what_oauth_opens_...
    "GET /oauth/userinfo",
    "GET /problems/{code}",
    "GET /readyz",
    "GET /recovery",
    "GET /recovery/code",
    "GET /recovery/sent",
    "GET /recovery/{token}",
    "GET /setup/{token}",
    "GET /sign-in",
    "GET /sign-in/email",
    "GET /sign-in/email/code",
    "GET /sign-in/link/{token}",
    "GET /sign-up",
    "GET /sign-up/passkey",
    "GET /sign-up/passkey/create",
    "GET /undo/{token}",
    "GET /verify",
    "GET /verify/{token}",
    "POST /api/invitations/accept",
    "POST /api/recovery",
    "POST /api/recovery/code",
    "POST /api/recovery/complete",
    "POST /api/sessions",
    "POST /api/sessions/email",
    "POST /api/sessions/passkey",
    "POST /api/sessions/passkey/options",
    "POST /api/users",
    "POST /api/users/authenticate",
    "POST /api/users/passkey",
    "POST /api/users/passkey/options",
    "POST /api/users/passkey/options/again",
    "POST /api/verifications",
    "POST /api/verifications/resend",
    "POST /cool-off/{token}",
    "POST /csp-reports",
    "POST /invitation/{token}",
    "POST /not-me/{token}",
    "POST /oauth/authorize",
    "POST /oauth/introspect",
    "POST /oauth/revocations",
    "POST /oauth/revoke",
    "POST /oauth/token",
    "POST /oauth/userinfo",
    "POST /preferences",
    "POST /recovery",
    "POST /recovery/code",
    "POST /recovery/{token}",
    "POST /setup/{token}",
    "POST /sign-in",
    "POST /sign-in/email",
    "POST /sign-in/email/code",
    "POST /sign-in/email/resend",
    "POST /sign-in/link/{token}",
    "POST /sign-in/link/{token}/not-me",
    "POST /sign-up",
    "POST /sign-up/passkey",
    "POST /sign-up/passkey/create",
    "POST /undo/{token}",
    "POST /verify",
    "POST /verify/resend",
    "POST /verify/{token}",
}
HALF_OPEN = {  # what whoever holds a ticket may call, and nobody else: test_half_signed_in.py
    "GET /sign-in/cool-off",
    "GET /sign-in/keep",
    "GET /sign-in/lost",
    "GET /sign-in/set-up",
    "GET /sign-in/step",
    "POST /api/sessions/authenticator",
    "POST /api/sessions/authenticator/challenge",
    "POST /api/sessions/enrolment",
    "POST /api/sessions/enrolment/confirm",
    "POST /api/sessions/enrolment/skip",
    "POST /api/sessions/restoration",
    "POST /sign-in/cool-off",
    "POST /sign-in/cool-off/code",
    "POST /sign-in/cool-off/go-on",
    "POST /sign-in/keep",
    "POST /sign-in/set-up",
    "POST /sign-in/set-up/app",
    "POST /sign-in/set-up/without",
    "POST /sign-in/step",
    "POST /sign-in/step/send",
}
_SENT = {"/api/users/me/authenticators/{id}": {"label": "Mine"}}  # where an empty object is refused in itself
PRIVATE: dict[str, Any] = {"dob": "1990-12-10", "email": "ada@example.org", "tracking": [1], "secret": "mine"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_every_operation(settings)


@asynccontextmanager
async def world_with(tmp_path: Path, settings: Settings, clock: MovableClock, **users: Any) -> AsyncIterator[World]:
    changed = msgspec.structs.replace(settings.users, **users)
    async with running(msgspec.structs.replace(settings, users=changed), DataDir.open(tmp_path / "d"), clock) as world:
        yield world


@pytest.mark.asvs("8.2.1")
async def test_strangers_are_refused_everything_that_was_not_opened(world: World) -> None:
    before = await dump(world.services.db)
    closed = [operation for operation in route_table(world) if name_of(operation) not in OPEN | HALF_OPEN]
    for operation in closed:
        assert operation.access in {Access.SIGNED_IN, Access.ADMIN}, name_of(operation)
        answer = await call(world.visitor(), operation)
        if operation.is_page:
            assert answer.status_code == 303, name_of(operation)
            assert answer.headers["location"].startswith("/sign-in?next="), name_of(operation)
        else:
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), name_of(operation)
    assert await dump(world.services.db) == before
    assert {name_of(operation) for operation in route_table(world)} - {name_of(o) for o in closed} == OPEN | HALF_OPEN


async def without_ticket(visitor: Visitor, operation: Operation) -> httpx.Response:
    body = {"kind": "totp", "code": "123456", "ticket": "A" * 43}
    if operation.reads == FORM:
        return await visitor.submit(operation.path, {"kind": "totp", "code": "123456"}, "/sign-in")
    fields = (operation.body_schema or {}).get("properties", {})
    sent = {name: value for name, value in body.items() if name in fields}
    return await visitor.send(operation.method, operation.path, sent if operation.reads == JSON else None)


@pytest.mark.asvs("8.2.1")
async def test_without_a_ticket_nothing_is_half_open(world: World) -> None:
    before = await dump(world.services.db)
    for operation in route_table(world):
        if name_of(operation) in HALF_OPEN:
            answer = await without_ticket(world.visitor(), operation)
            assert answer.status_code == (303 if operation.is_page else 401), name_of(operation)
            assert not operation.is_page or answer.headers["location"].startswith("/sign-in"), name_of(operation)
    assert await dump(world.services.db) == before


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize(
    "forged", ["Bearer x", "Bearer dws_" + "A" * 43, "Bearer a.b.c", "Basic YWRhOmFkYQ==", "Bearer ", "x", "DPoP x"]
)
async def test_a_made_up_token_opens_nothing(world: World, forged: str) -> None:
    for operation in route_table(world):
        if operation.access in {Access.SIGNED_IN, Access.ADMIN} and not operation.is_page:
            answer = await call(world.visitor(), operation, authorization=forged)
            assert answer.status_code == 401, name_of(operation)


@pytest.mark.asvs("8.2.1")
async def test_what_oauth_opens_is_opened_by_no_cookie(world: World) -> None:
    """An app shows who it is, or a token; a member's session is none of both, also with its CSRF token."""
    ada = world.visitor()
    await ada.sign_up("ada")
    before = await dump(world.services.db)
    for operation in route_table(world):
        if operation.oauth and not operation.is_page and not operation.path.startswith("/.well-known/"):
            for visitor in (ada, world.visitor()):
                answer = await call(visitor, operation, x_csrf_token=ada.csrf)
                assert answer.status_code == 401, name_of(operation)
                assert answer.json()["error"] in {"invalid_client", "invalid_request"}
                assert answer.headers["www-authenticate"]
    after = await dump(world.services.db)
    assert {**after, "audit_event": []} == {**before, "audit_event": []}


@pytest.mark.asvs("8.3.1")
async def test_members_are_refused_what_only_administrators_may(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    closed = [operation for operation in route_table(world) if operation.access is Access.ADMIN]
    assert closed
    for operation in closed:
        answer = await call(visitor, operation, x_csrf_token=visitor.csrf)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), name_of(operation)


@pytest.mark.asvs("8.2.2")
async def test_nobody_touches_somebody_else_by_any_verb(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    user = await ada.sign_up("ada", **PRIVATE)
    await eve.sign_up("eve")
    await set_up_app(world, ada)
    (bound,) = (await ada.get("/api/users/me/authenticators")).json()["data"]
    session = (await ada.get("/api/sessions/current")).json()["id"]
    key = (await ada.post("/api/users/me/keys", {"name": "Mine", "scopes": ["profile:read"]})).json()
    before = await dump(world.services.db)
    for operation in route_table(world):
        if "{id}" not in operation.path or operation.method not in UNSAFE:
            continue
        stolen = user["id"] if "/users/{id}" in operation.path else session
        if "/authenticators/{id}" in operation.path or "/security/{id}" in operation.path:
            stolen = bound["id"]
        if "/keys/{id}" in operation.path:
            stolen = key["id"]
        answers = [
            await (
                eve.submit(path_of(operation, id=subject), {"label": "Mine"})
                if operation.is_page
                else eve.send(operation.method, path_of(operation, id=subject), _SENT.get(operation.path, {}))
            )
            for subject in (stolen, NOBODY)
        ]
        assert answers[0].status_code in {303, 403, 404}, name_of(operation)
        assert answers[0].status_code == answers[1].status_code, "whether it exists is not told"
    after = await dump(world.services.db)
    assert {name: rows for name, rows in after.items() if name != "audit_event"} == {
        name: rows for name, rows in before.items() if name != "audit_event"
    }
    refused = [json.loads(event.payload or "") for event in await audited(world, "authz_fail")]
    told = {(payload["verb"], payload["resource"]) for payload in refused}
    assert told == {("update", "user"), ("delete", "user"), ("end", "session")}


@pytest.mark.asvs("8.2.3")
@pytest.mark.asvs("15.3.1")
async def test_answers_hold_what_each_reader_may_read(world: World) -> None:
    ada, eve, chief = world.visitor(), world.visitor(), world.visitor()
    user = await ada.sign_up("ada", motto="on", **PRIVATE)
    await eve.sign_up("eve")
    await make_admin(world, chief, "chief")
    path = f"/api/users/{user['id']}"
    own = {"id", "uid", "name", "email", "dob", "email_verified", "status", "roles", "created_at", *FITNESS}

    assert set((await ada.get(path)).json()) == own == set((await ada.get("/api/users/me")).json())
    assert set((await chief.get(path)).json()) == own | {"legacy_id"}
    assert set((await eve.get(path)).json()) == {"id", "uid", "name", "coins", "motto"}
    for query in ("", "?sort=-coins", "?sort=name&limit=1"):
        listed = (await eve.get(f"/api/users{query}")).json()
        for row in [*listed["data"], *([listed["own"]] if listed["own"] else [])]:
            assert set(row) - {"rank"} == {"id", "uid", "name", "coins", "motto"}
    for page in ("/members", "/members?sort=-coins"):
        shown = (await eve.get(page)).text
        assert not [text for text in ("1990-12-10", "ada@example.org", "mine") if text in shown]


@pytest.mark.asvs("8.2.3")
async def test_a_public_directory_shows_public_fields_only(
    tmp_path: Path, settings: Settings, clock: MovableClock
) -> None:
    async with world_with(tmp_path, settings, clock, directory="public") as world:
        user = await world.visitor().sign_up("ada", motto="on", **PRIVATE)
        stranger = world.visitor()
        assert set((await stranger.get(f"/api/users/{user['id']}")).json()) == {"id", "coins"}
        assert [set(row) for row in (await stranger.get("/api/users")).json()["data"]] == [{"id", "coins"}]
        assert (await stranger.get("/api/users?sort=name")).status_code == 400
        assert (await stranger.get("/api/users/me")).status_code == 401
        await world.services.users.set_status(user["id"], "disabled", None, OPERATOR)
        assert (await stranger.get(f"/api/users/{user['id']}")).status_code == 404
        assert (await stranger.get("/api/users")).json()["data"] == []


@pytest.mark.asvs("8.2.2")
async def test_without_a_directory_members_see_themselves_only(
    tmp_path: Path, settings: Settings, clock: MovableClock
) -> None:
    async with world_with(tmp_path, settings, clock, directory="off") as world:
        ada, eve, chief = world.visitor(), world.visitor(), world.visitor()
        user = await ada.sign_up("ada")
        await eve.sign_up("eve")
        await make_admin(world, chief, "chief")
        path = f"/api/users/{user['id']}"
        assert [(await who.get(path)).status_code for who in (ada, eve, chief)] == [200, 404, 200]
        assert [(await who.get("/api/users")).status_code for who in (ada, chief)] == [403, 200]
        assert [(await who.get("/members")).status_code for who in (ada, chief)] == [404, 200]


@pytest.mark.asvs("8.2.3")
@pytest.mark.parametrize("read", ["private", "members"])
async def test_the_order_of_a_list_tells_nothing_of_a_field_its_reader_may_not_read(
    tmp_path: Path, settings: Settings, clock: MovableClock, read: Literal["private", "members"]
) -> None:
    fields = {"points": Declaration(type="integer", read=read, sortable=True, default=0)}
    settings = msgspec.structs.replace(settings, fields=fields)
    async with world_with(tmp_path, settings, clock, directory="public") as world:
        ada = world.visitor()
        await ada.sign_up("ada")
        assert (await world.visitor().get("/api/users?sort=-points")).status_code == 400
        assert (await ada.get("/api/users?sort=-points")).status_code == (400 if read == "private" else 200)


@pytest.mark.asvs("8.3.1")
async def test_an_administrator_needs_a_fresh_sign_in_to_delete_and_stays_the_last_one(world: World) -> None:
    chief = world.visitor()
    boss = await make_admin(world, chief, "chief")
    user = await world.visitor().sign_up("ada")
    world.clock.advance(601)
    assert (await chief.send("DELETE", f"/api/users/{user['id']}")).status_code == 403
    await chief.sign_in("chief")
    assert (await chief.send("DELETE", f"/api/users/{user['id']}")).status_code == 204
    for body in (None, {"password": PASSWORD}):
        assert (await chief.send("DELETE", f"/api/users/{boss['id']}", body)).status_code == 409
    assert (await chief.submit("/account/delete", {"confirm": "chief"})).status_code == 409
    assert (await chief.get("/api/users/me")).status_code == 200


@pytest.mark.asvs("8.3.2")
async def test_a_role_taken_away_is_gone_at_once(world: World) -> None:
    chief, other = world.visitor(), world.visitor()
    boss = await make_admin(world, chief, "chief")
    await make_admin(world, other, "other")
    user = await world.visitor().sign_up("ada")
    await world.services.users.set_roles(boss["id"], [], None, OPERATOR)

    assert (await chief.send("PATCH", f"/api/users/{user['id']}", {"coins": 5})).status_code == 401
    await chief.sign_in("chief")
    assert (await chief.send("PATCH", f"/api/users/{user['id']}", {"coins": 5})).status_code == 403
