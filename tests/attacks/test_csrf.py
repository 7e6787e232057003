"""Requests that another site makes a browser send (C38): every unsafe operation, every wrong proof."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
import pytest

from doorward.config import Settings
from doorward.confirmations import Purpose
from doorward.web.routing import FORM, JSON, Access, Operation
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import (
    UNSAFE,
    audited,
    dump,
    live_token,
    make_admin,
    name_of,
    path_of,
    route_table,
    with_every_operation,
)

FOREIGN = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:8000.evil.example"},
    {"origin": "http://localhost:8001"},
    {"origin": "https://localhost:8000"},
    {"origin": "http://evil.localhost:8000"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": ORIGIN},
    {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    {"sec-fetch-site": "none", "origin": "null"},
    {"sec-fetch-site": "Same-Origin"},
    {"sec-fetch-site": ""},
)
HARMLESS = {"POST /csp-reports"}  # changes nothing and tells nothing, so it asks for no token

LINKS: Mapping[str, Purpose] = {
    "/cool-off/": "cool_off_stop",
    "/invitation/": "invitation",
    "/not-me/": "not_me",
    "/recovery/": "recovery",
    "/sign-in/link/": "sign_in",
    "/undo/": "email_undo",
    "/verify/": "email",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_every_operation(settings)


@dataclass
class Site:
    """A member of the site, and the same operations sent with a token of choice."""

    visitor: Visitor

    async def send(self, operation: Operation, token: str | None, headers: dict[str, str]) -> httpx.Response:
        path = path_of(operation)
        if operation.reads == FORM:
            form = urlencode({} if token is None else {"csrf_token": token})
            return await self.visitor.http.post(path, content=form, headers={"content-type": FORM, **headers})
        proof = {} if token is None else {"x-csrf-token": token}
        kind = {"content-type": JSON} if operation.reads == JSON else {}
        content = b"{}" if operation.reads == JSON else b""
        return await self.visitor.http.request(
            operation.method, path, content=content, headers={**kind, **proof, **headers}
        )


async def member(world: World, uid: str) -> Visitor:
    visitor = world.visitor()
    await visitor.sign_up(uid)
    return visitor


def unsafe(world: World) -> list[Operation]:
    # Those of OAuth look at no cookie (test_authorisation.py), so nobody's browser lends them anything.
    return [operation for operation in route_table(world) if operation.method in UNSAFE and not operation.oauth]


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_requests_from_elsewhere_are_refused_even_with_the_right_token(world: World) -> None:
    ada, stranger = world.visitor(), world.visitor()
    await make_admin(world, ada, "ada")
    token = await visit_token(stranger)
    before = await dump(world.services.db)
    for operation in unsafe(world):
        for headers in FOREIGN:
            answer = await Site(ada).send(operation, ada.csrf, headers)
            assert is_refused_for_its_sender(operation, answer), (name_of(operation), headers)
            answer = await Site(stranger).send(operation, token, headers)
            refused = {303, 401} if operation.access in {Access.SIGNED_IN, Access.ADMIN} else {403}
            assert answer.status_code in refused, (name_of(operation), headers)
    assert await dump(world.services.db) == before


def is_refused_for_its_sender(operation: Operation, answer: httpx.Response) -> bool:
    """Whether it was refused for who sent it, not for what they lack."""
    return answer.status_code == 403 and (operation.is_page or answer.json()["code"] == "csrf_refused")


async def visit_token(visitor: Visitor) -> str:
    return (await visitor.get("/sign-in")).text.split('name="csrf_token" value="')[1].split('"')[0]


@pytest.mark.asvs("3.5.1")
async def test_without_the_sessions_own_token_nothing_happens(world: World) -> None:
    ada, eve, stranger = world.visitor(), await member(world, "eve"), world.visitor()
    await make_admin(world, ada, "ada")
    other_session = world.visitor()
    await other_session.sign_in("ada")
    tokens = {
        "none": None,
        "empty": "",
        "another user's": eve.csrf,
        "another session's": other_session.csrf,
        "a visit's": await visit_token(stranger),
        "altered": ada.csrf[:-1] + ("A" if ada.csrf[-1] != "A" else "B"),
        "cut": ada.csrf[:-1],
        "longer": ada.csrf + "A",
        "not ASCII": "\u00e9" * 43,
    }
    before = await dump(world.services.db)
    for operation in unsafe(world):
        if name_of(operation) in HARMLESS or (operation.claimant and operation.reads == JSON):
            continue
        for what, token in tokens.items():
            if what == "not ASCII" and operation.reads != FORM:
                continue  # no header holds it
            answer = await Site(ada).send(operation, token, {})
            assert is_refused_for_its_sender(operation, answer), (name_of(operation), what)
    assert await dump(world.services.db) == before


@pytest.mark.asvs("3.5.1")
async def test_forms_for_strangers_want_the_token_of_their_own_visit(world: World) -> None:
    victim, attacker = world.visitor(), world.visitor()
    stolen = await visit_token(attacker)
    own = await visit_token(victim)
    await member(world, "ada")
    forms = {
        "/sign-in": {"identifier": "ada", "password": PASSWORD},
        "/sign-up": {"uid": "eve", "name": "Eve", "password": PASSWORD},
        "/preferences": {"theme": "dark"},
    }
    before = await dump(world.services.db)
    for path, form in forms.items():
        for token in (stolen, "", None):
            sent = form if token is None else {**form, "csrf_token": token}
            answer = await victim.http.post(path, data=sent)
            assert answer.status_code == 403, path
            assert "doorward=" not in answer.headers.get("set-cookie", "")
    assert await dump(world.services.db) == before
    assert (await victim.http.post("/sign-in", data={**forms["/sign-in"], "csrf_token": own})).status_code == 303
    assert (await victim.http.post("/sign-out", data={"csrf_token": own})).status_code == 403, (
        "a visit's token is spent"
    )


@pytest.mark.asvs("3.5.2")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["", "text/plain", FORM, "multipart/form-data; boundary=x"])
async def test_json_operations_read_nothing_that_a_form_can_send(world: World, kind: str) -> None:
    ada = await member(world, "ada")
    for operation in unsafe(world):
        if operation.reads == JSON:
            headers = {"content-type": kind} if kind else {}
            content = b'{"name":"Mallory","uid":"ada","identifier":"ada","password":"x"}'
            answer = await ada.http.request(operation.method, path_of(operation), content=content, headers=headers)
            assert answer.status_code == 415, name_of(operation)
    assert (await ada.get("/api/users/me")).json()["name"] == "Name of ada"


@pytest.mark.asvs("3.5.3")
async def test_reading_changes_nothing(world: World) -> None:
    ada = world.visitor()
    user = (await ada.sign_up("ada", email="ada@example.org"))["id"]
    assert world.services.mailbox is not None
    (mail,) = await world.services.mailbox.newest()
    key = {"x-mailbox-key": world.services.mailbox.path.partition("=")[2]}
    tokens = {place: await live_token(world, purpose, user) for place, purpose in LINKS.items()}
    tokens["/setup/"] = (await world.services.setup.new_link()).removeprefix("/setup/")
    (event,) = await audited(world, "user_created")
    subjects = {"/dev/mail/": mail.id, "/account/not-me/": event.id}
    before = await dump(world.services.db)
    for operation in route_table(world):
        if operation.method == "GET":
            token = tokens[operation.path.partition("{")[0]] if "{token}" in operation.path else ""
            subject = subjects.get(operation.path.partition("{")[0], user)
            for visitor in (ada, world.visitor()):
                for method in ("GET", "HEAD"):
                    path = path_of(operation, id=subject, token=token)
                    answer = await visitor.http.request(method, path, headers=key)
                    # No app is named to those two; what the second does for one: test_forward_auth.py.
                    refused = {
                        "oauth/authorize": {400}, "forward-auth": {404}
                    }.get(operation.path.strip("/").split("/{")[0], {401, 403})  # fmt: skip
                    assert answer.status_code in {200, 302, 303, *refused}, (method, name_of(operation))
    for path in ("/sign-out", "/account/profile", "/csp-reports", "/account/sessions/end-others"):
        assert (await ada.get(path)).status_code == 405
    assert await dump(world.services.db) == before


@pytest.mark.asvs("3.5.1")
async def test_a_method_cannot_be_overridden(world: World) -> None:
    ada = await member(world, "ada")
    for name in ("x-http-method-override", "x-http-method", "x-method-override"):
        assert (await ada.get("/api/users/me", headers={name: "DELETE"})).status_code == 200
    assert (await ada.get("/api/users/me?_method=DELETE")).status_code == 200
    assert (await ada.get("/api/users/me")).status_code == 200


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("header", ["", " ", "Basic eDp5", " Bearer x"])
async def test_an_empty_or_foreign_authorization_header_replaces_no_csrf_token(world: World, header: str) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    visitor.csrf = ""
    answer = await visitor.send("PATCH", "/api/users/me", {"name": "Mallory"}, headers={"authorization": header})

    assert answer.status_code == 401
    assert (await visitor.get("/api/users/me")).json()["name"] == "Name of ada"
