"""The API's description: valid OpenAPI 3.1, complete, and true of every answer (ASVS 15.1, 4.1)."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from doorward.config import Settings
from doorward.confirmations import Purpose
from doorward.oidc import Client
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.web.routing import FORM, JSON, Access, Operation
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.apps import member as app_member
from tests.support.apps import register, register_service
from tests.support.attack import (
    NOBODY,
    OPERATOR,
    call,
    live_token,
    make_admin,
    path_of,
    route_table,
    with_every_operation,
)
from tests.support.factors import OWN, STEP, app_code, make_codes, set_up_app
from tests.support.json_schema import faults, resolve, schema_faults

METHODS = {"get", "put", "post", "delete", "patch"}
NEW = "another quite different phrase"
RARE = {"503", "429", "422", "409"}  # each has tests of its own
KEYS = "/api/users/me/keys"
LINKS: Mapping[str, Purpose] = {"/api/invitations/accept": "invitation", "/api/recovery/complete": "password"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_every_operation(settings)


@dataclass(repr=False)
class Described:
    """The document, and what was seen of the answers that it describes."""

    document: Mapping[str, Any]
    operations: tuple[Operation, ...]
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def operation(self, method: str, path: str) -> tuple[str, Mapping[str, Any]]:
        """The described operation that answers a request; exact paths go before those with places."""
        for template in sorted(self.document["paths"], key=lambda template: "{" in template):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method in self.document["paths"][template]:
                return template, self.document["paths"][template][method]
        raise AssertionError(f"{method} {path} is not described")

    def check(self, answer: httpx.Response) -> httpx.Response:
        """An answer is one of those described."""
        method, path = answer.request.method.lower(), answer.request.url.path
        template, operation = self.operation(method, path)
        status = str(answer.status_code)
        assert status in operation["responses"], (method, path, answer.text)
        self.seen.add((method, template, status))
        content = operation["responses"][status].get("content")
        if content is None:
            assert answer.content == b"", (method, path)
            return answer
        kind = answer.headers["content-type"].split(";")[0]
        assert kind in content, (method, path, kind)
        if "json" not in kind:
            assert answer.content, (method, path)
            return answer
        documents = answer.text.splitlines() if kind == "application/x-ndjson" else [answer.text]
        for text in documents:
            assert list(faults(json.loads(text), content[kind]["schema"], self.document)) == [], (method, path, status)
        return answer

    def check_body(self, method: str, path: str, body: Any) -> None:
        """A body that was accepted is one of those described."""
        _, operation = self.operation(method.lower(), path)
        schema = operation["requestBody"]["content"][JSON]["schema"]
        assert list(faults(body, schema, self.document)) == [], (method, path)


@pytest.fixture
async def described(world: World) -> Described:
    document = (await world.visitor().get("/api/openapi.json")).json()
    return Described(document, tuple(route_table(world)))


def described_operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_is_openapi(described: Described) -> None:
    document = described.document
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert set(document["info"]) >= {"title", "version"}
    assert set(document) <= {"openapi", "info", "servers", "tags", "paths", "components", "security", "externalDocs"}
    tags, schemes = {tag["name"] for tag in document["tags"]}, document["components"]["securitySchemes"]
    ids = [operation["operationId"] for _, _, operation in described_operations(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in described_operations(document):
        where = f"{method} {path}"
        assert path.startswith("/"), where
        assert method in METHODS, where
        assert operation["summary"], where
        assert set(operation["tags"]) <= tags, where
        assert {name for wanted in operation["security"] for name in wanted} <= set(schemes), where
        places = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path" and p["required"]}
        assert places == set(re.findall(r"\{(\w+)\}", path)), where
        assert all(parameter["in"] in {"path", "query", "header"} for parameter in operation.get("parameters", ()))
        assert operation["responses"], where
        for status, answer in operation["responses"].items():
            assert re.fullmatch("[2345]\\d\\d", status), where
            assert answer["description"], where
    for where, schema in schemas(document):
        assert list(schema_faults(schema)) == [], where
        if "$ref" in schema:
            assert resolve(schema["$ref"], document), where


def schemas(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema, with where it stands."""
    yield from document["components"]["schemas"].items()
    for path, method, operation in described_operations(document):
        for parameter in operation.get("parameters", ()):
            yield f"{method} {path} {parameter['name']}", parameter["schema"]
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [answer.get("content", {}) for answer in operation["responses"].values()]
        for content in contents:
            for kind, media in content.items():
                yield f"{method} {path} {kind}", media["schema"]


async def test_it_names_exactly_what_runs(world: World, described: Described) -> None:
    named = {(method.upper(), path) for path, method, _ in described_operations(described.document)}
    assert named == {(one.method, one.path) for one in described.operations if not one.is_page}
    for operation in described.operations:
        if not operation.is_page:
            answer = await call(world.visitor(), operation)
            assert answer.status_code != 405
            assert answer.status_code != 404 or "{" in operation.path
    for path, methods in described.document["paths"].items():
        real = re.sub(r"\{\w+\}", NOBODY, path)
        for method in METHODS - set(methods):
            answer = await world.visitor().http.request(method.upper(), real)
            assert answer.status_code == 405, (method, path)
            assert {allowed.strip().lower() for allowed in answer.headers["allow"].split(",")} == set(methods)


async def test_every_plain_and_every_broken_request_gets_a_described_answer(world: World, described: Described) -> None:
    for number, operation in enumerate(described.operations):
        if operation.is_page:
            continue
        member, stranger = world.visitor(f"198.51.100.{number + 1}"), world.visitor()
        await member.sign_up(f"member-{number}")
        proof = {"x-csrf-token": member.csrf}
        for visitor in (stranger, member):
            described.check(await call(visitor, operation, authorization="Bearer x"))
            described.check(await call(visitor, operation, sec_fetch_site="same-origin", authorization="Basic x"))
            if operation.reads == JSON or operation.method != "GET":
                described.check(await call(visitor, operation, origin="https://evil.example"))
            for content, kind in ((b"[", JSON), (b"[]", JSON), (b"x" * 1_000_000, JSON), (b"x", "text/plain")):
                if operation.reads == FORM:
                    headers = {"content-type": kind if kind != JSON else FORM}
                    described.check(
                        await visitor.http.request(
                            operation.method, path_of(operation), content=content, headers=headers
                        )
                    )
                if operation.reads == JSON:
                    headers = {"content-type": kind, **proof}
                    described.check(
                        await visitor.http.request(
                            operation.method, path_of(operation), content=content, headers=headers
                        )
                    )
        body = {"identifier": f"member-{number}", "password": PASSWORD, "transport": "bearer"}
        token = (await stranger.post("/api/sessions", body)).json()["token"]
        described.check(await call(stranger, operation, authorization=f"Bearer {token}", sec_fetch_site="same-origin"))
        described.check(await call(member, operation))
        described.check(await call(member, operation, x_csrf_token=member.csrf))


Send = Callable[..., Awaitable[Any]]


async def accepted(world: World, described: Described) -> None:
    """One whole life over the API."""
    ada, eve, program = world.visitor(), world.visitor(), world.visitor()

    async def send(visitor: Visitor, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = described.check(await visitor.send(method, path, body, headers=named))
        if body is not None and answer.status_code < 300:
            described.check_body(method, path, body)
        return answer.json() if "json" in answer.headers.get("content-type", "") else None

    new = {"uid": "ada", "name": "Ada", "password": PASSWORD, "email": "ada@example.org", "dob": "1990-12-10",
           "tracking": {"steps": [1, 2.5, None]}, "motto": "on"}  # fmt: skip
    user = await send(ada, "POST", "/api/users", new)
    await send(ada, "POST", "/api/users", new)
    await ada.learn_csrf()
    other = await send(eve, "POST", "/api/users", {"uid": "eve", "name": "Eve", "password": PASSWORD})
    await eve.learn_csrf()
    await send(ada, "GET", "/api/users/me")
    await send(ada, "PATCH", "/api/users/me", {"name": "Ada L.", "email": None, "dob": None})
    await send(ada, "PUT", f"/api/users/{user['id']}", {"id": user["id"], "exercise": []})
    await send(ada, "PUT", "/api/users/me", {"motto": "off"})
    await conditions(send, ada, user["id"])
    await contacts(world, send, ada, eve, user["id"])
    await send(ada, "PATCH", f"/api/users/{user['id']}", {"secret": None})
    await send(ada, "POST", "/api/users/me/export")
    await looks(send, ada, eve, user["id"])
    bearer = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await send(program, "POST", "/api/sessions", bearer))["token"]
    await send(program, "GET", "/api/sessions/current", authorization=f"Bearer {token}")
    change = {"current_password": PASSWORD, "new_password": NEW}
    await send(program, "PUT", "/api/users/me/password", change, authorization=f"Bearer {token}")
    await send(eve, "PUT", "/api/users/me/password", change)
    await eve.sign_in("eve", NEW)
    await send(world.visitor(), "PUT", "/api/users/me/password", change)
    assert (await ada.sign_in("ada", NEW)).status_code == 201
    bearer["password"] = NEW
    token = (await send(program, "POST", "/api/sessions", bearer))["token"]
    path = "/api/sessions/current/reauthenticate"
    await send(program, "POST", path, {"password": NEW}, authorization=f"Bearer {token}")
    await send(ada, "POST", path, {"password": NEW})
    await send(ada, "POST", path, {"password": "wrong"})
    await send(ada, "POST", "/api/sessions", {"identifier": "ada", "password": "wrong"})
    await send(ada, "POST", "/api/sessions", {"identifier": "ada", "password": NEW})
    await send(world.visitor(), "POST", "/api/users/authenticate", {"uid": "ada", "password": NEW})
    await send(world.visitor(), "POST", "/api/users/authenticate", {"uid": "ada", "password": "wrong"})
    await ada.learn_csrf()
    await ends(send, ada)
    await ada.sign_in("ada", NEW)
    for chapter in (recoveries, newcomers, authenticators, api_keys, behind_a_proxy, second_steps):
        await chapter(world, send)
    await apps(world, described)
    await deletions(world, send, ada, eve, user["id"], other["id"])


async def apps(world: World, described: Described) -> None:
    """An app whose user signs in, and a service; and what they are refused."""
    rosa = await app_member(world, "rosa")
    app, service = await register(world), await register_service(world)
    tokens = await app.tokens(rosa)
    described.check(await app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"]))
    token = described.check(await service.token(grant_type="client_credentials", resource=ORIGIN)).json()
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    own = {"authorization": f"Bearer {token['access_token']}"}
    nothing = await service.token(grant_type="client_credentials", resource=ORIGIN, scope="reports")
    scopeless = {"authorization": f"Bearer {nothing.json()['access_token']}"}
    without = {"authorization": f"Bearer {(await app.tokens(rosa, scope='profile'))['access_token']}"}
    for method in ("GET", "POST"):
        for headers in (bearer, without, own):
            described.check(await app.http.request(method, "/oauth/userinfo", headers=headers))
    for path in ("/oauth/introspect", "/oauth/revoke"):
        for headers in (app.basic, {}):
            described.check(await app.http.post(path, data={"token": "x"}, headers=headers))
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        described.check(await app.http.get(path))
    for headers in (scopeless, bearer):
        described.check(await app.http.get("/oauth/revocations", headers=headers))
    described.check(await app.http.get("/oauth/revocations?after=x", headers=app.basic))
    narrow = await register(world, scopes=("openid",))
    for headers, after in ((app.basic, "x"), ({}, "1"), (narrow.basic, "1")):
        described.check(await app.http.post("/oauth/revocations", data={"after": after}, headers=headers))
    await world.services.sessions.feed.read_once()  # the clock was moved, and nobody believes a feed of before
    streams = [
        asyncio.create_task(app.http.get("/oauth/revocations", headers=own)),
        asyncio.create_task(app.http.post("/oauth/revocations", data={"after": ""}, headers=app.basic)),
    ]
    while world.services.apps.following.streams < len(streams):
        await asyncio.sleep(0.01)
        assert not any(stream.done() for stream in streams)
    world.services.apps.following.stop()  # a test client reads an answer to its end
    for stream in streams:
        described.check(await stream)


async def conditions(send: Send, ada: Visitor, user_id: str) -> None:
    """Changes meant for another version, and one that comes twice."""
    for method in ("PATCH", "PUT"):
        for path in ("/api/users/me", f"/api/users/{user_id}"):
            await send(ada, method, path, {"motto": "x"}, if_match='"0"')
    for path in ("/api/users/me", f"/api/users/{user_id}"):
        await send(ada, "DELETE", path, {"password": PASSWORD}, if_match='"0"')
    for motto in ("once", "once", "twice"):
        await send(ada, "PATCH", "/api/users/me", {"motto": motto}, idempotency_key="k1")


async def looks(send: Send, ada: Visitor, eve: Visitor, user_id: str) -> None:
    """Somebody else's record, the list, and what happened to one's own account."""
    await send(eve, "PATCH", f"/api/users/{user_id}", {"name": "Mallory"})
    await send(eve, "GET", f"/api/users/{user_id}")
    await send(eve, "GET", f"/api/users/{NOBODY}")
    for query in ("", "?sort=-coins&limit=1", "?sort=name", "?limit=0", "?sort=secret", "?cursor=x"):
        await send(eve, "GET", f"/api/users{query}")
    for query in ("", "?limit=2", "?limit=0", "?cursor=x"):
        await send(ada, "GET", f"/api/users/me/activity{query}")
    await send(eve, "DELETE", f"/api/users/{user_id}")


async def ends(send: Send, ada: Visitor) -> None:
    """One session, all others and all."""
    sessions = (await send(ada, "GET", "/api/sessions"))["data"]
    await send(ada, "DELETE", f"/api/sessions/{next(row['id'] for row in sessions if not row['current'])}")
    await send(ada, "DELETE", f"/api/sessions/{NOBODY}")
    await send(ada, "DELETE", "/api/sessions?others=perhaps")
    await send(ada, "DELETE", "/api/sessions?others=true")
    await send(ada, "DELETE", "/api/sessions")


async def recoveries(world: World, send: Send) -> None:
    """A password forgotten by somebody with a proven address, and one that others know."""
    for path in ("/livez", "/readyz", "/.well-known/jwks.json", "/api/openapi.json"):
        await send(world.visitor(), "GET", path)
    grace, stranger = world.visitor(), world.visitor()
    new = {"uid": "grace", "name": "Grace", "password": PASSWORD, "email": "grace@example.org"}
    user = await send(grace, "POST", "/api/users", new)
    await grace.learn_csrf()
    code = (await Inbox(world).last("grace@example.org")).values["code"]
    await send(grace, "POST", "/api/verifications", {"code": code})
    world.clock.advance(1)
    await send(stranger, "POST", "/api/sessions/email", {"email": "grace@example.org"})
    world.clock.advance(1)
    await send(stranger, "POST", "/api/recovery", {"email": "grace@example.org"})
    token = str((await Inbox(world).last("grace@example.org")).values["path"]).rpartition("/")[2]
    for _ in range(2):
        await send(stranger, "POST", "/api/recovery/complete", {"token": token, "password": NEW})
    await world.services.recovery.flag_compromised(user["id"], OPERATOR)
    await send(stranger, "POST", "/api/sessions", {"identifier": "grace", "password": NEW})
    await send(stranger, "POST", "/api/users/authenticate", {"uid": "grace", "password": NEW})


async def newcomers(world: World, send: Send) -> None:
    """Somebody who signs up with a passkey, comes back by a recovery code, and sets a password."""
    hedy, device = world.visitor(), SoftwareAuthenticator()
    await send(hedy, "POST", "/api/users/passkey/options", {"uid": "hedy", "name": "Hedy", "motto": "on"})
    options = await send(hedy, "POST", "/api/users/passkey/options/again", {})
    credential = device.create(options, ORIGIN)
    for _ in range(2):
        await send(hedy, "POST", "/api/users/passkey", {"credential": credential})
    await hedy.learn_csrf()
    await send(hedy, "PUT", "/api/users/me/password", {"new_password": NEW})
    await send(hedy, "PUT", "/api/users/me/password", {"new_password": PASSWORD})
    code = (await make_codes(hedy))[0]
    for _ in range(2):
        await send(world.visitor(), "POST", "/api/recovery/code", {"identifier": "hedy", "code": code})


async def authenticators(world: World, send: Send) -> None:
    """An app, passkeys and recovery codes, set up, renamed, used and removed."""
    mary, device, paul = world.visitor(), SoftwareAuthenticator(), world.visitor()
    await mary.sign_up("mary")
    await paul.sign_up("paul")
    options = await send(mary, "POST", f"{OWN}/upgrade/options", {})
    made = device.create(options, ORIGIN, conditional=True, up=False, uv=False)
    await send(mary, "POST", f"{OWN}/upgrade", {"credential": made})
    for kind in ("passkey", "recovery_code", "nothing"):
        await send(mary, "POST", OWN, {"kind": kind})
    await send(mary, "POST", f"{OWN}/confirm", {"kind": "recovery_code", "kept": True})
    offer = await send(mary, "POST", OWN, {"kind": "totp"})
    confirm = {"kind": "totp", "code": app_code(world, offer["secret"])}
    await send(mary, "POST", f"{OWN}/confirm", confirm)
    own = (await send(mary, "GET", OWN))["data"]
    for bound_id in (own[0]["id"], NOBODY):
        await send(mary, "PATCH", f"{OWN}/{bound_id}", {"label": "Telephone"})
    again = "/api/sessions/current/reauthenticate"
    await send(mary, "POST", again, {"password": PASSWORD})
    options = await send(mary, "POST", f"{again}/passkey/options", {})
    await send(mary, "POST", f"{again}/passkey", {"credential": device.get(options, ORIGIN)})

    bearer = {"identifier": "paul", "password": PASSWORD, "transport": "bearer"}
    token = {"authorization": f"Bearer {(await send(paul, 'POST', '/api/sessions', bearer))['token']}"}
    offer = await send(paul, "POST", OWN, {"kind": "totp"}, **token)
    confirm = {"kind": "totp", "code": app_code(world, offer["secret"])}
    await send(paul, "POST", f"{OWN}/confirm", confirm, **token)

    # One that a browser made by itself is a factor only after it was used beside another (here: it just was).
    browser = world.visitor()
    options = await send(browser, "POST", "/api/sessions/passkey/options", {})
    await send(browser, "POST", "/api/sessions/passkey", {"credential": device.get(options, ORIGIN)})
    await send(mary, "DELETE", f"{OWN}/{own[0]['id']}")


async def api_keys(world: World, send: Send) -> None:
    """Keys for programs: made, used, replaced and ended."""
    lise, program = world.visitor(), world.visitor()
    await lise.sign_up("lise")
    everything = ["profile:read", "profile:write", "activity:read", "users:read"]
    secrets = []
    for scopes in (everything, ["profile:read"], []):
        made = await send(lise, "POST", KEYS, {"name": "Report", "scopes": scopes})
        secrets.append({"x-api-key": made.get("secret", "")})
    await send(program, "GET", "/api/users/me", **secrets[0])
    await send(program, "PATCH", "/api/users/me", {"name": "Lise M."}, **secrets[0])
    await send(program, "PATCH", "/api/users/me", {"email": "lise@example.org"}, **secrets[0])
    for path in ("/api/users", "/api/users/me/activity", KEYS):
        await send(program, "GET", path, **secrets[1])
    own = (await send(lise, "GET", KEYS))["data"]
    for key_id in (own[0]["id"], NOBODY):
        await send(lise, "POST", f"{KEYS}/{key_id}/rotate", {"overlap_hours": 0})
        await send(lise, "DELETE", f"{KEYS}/{key_id}")


async def behind_a_proxy(world: World, send: Send) -> None:
    """An app that nginx asks for: entered, and refused to whoever is unknown or lacks a role."""
    callback = "http://127.0.0.1:5002/.doorward/callback"
    wanted = Client("wiki", "Wiki", "proxy", "none", (callback,))
    await world.services.apps.clients.add(wanted, OPERATOR)
    wanda, stranger, base = world.visitor(), world.visitor(), "/forward-auth/wiki"
    await wanda.sign_up("wanda")
    there = await wanda.get((await wanda.get(f"{base}/sign-in")).headers["location"])
    await wanda.get(f"{base}/callback?{urlsplit(there.headers['location']).query}")
    for path in ("check", "gate", "check?role=editor", "gate?role=editor", "refusal", "check?acr=x", "gate?acr=x",
                 "refusal?acr=x"):  # fmt: skip
        await send(wanda, "GET", f"{base}/{path}")
        await send(stranger, "GET", f"{base}/{path}")
    for path in ("gate", "refusal"):
        await send(stranger, "GET", f"{base}/{path}", accept="text/html")
    await send(stranger, "GET", "/forward-auth/nobody/check")


async def second_steps(world: World, send: Send) -> None:
    """Half signed in, by every way on."""

    async def half(uid: str, how: str = "cookie") -> tuple[Visitor, dict[str, str]]:
        visitor = world.visitor()
        if how == "jwt":
            await send(visitor, "POST", "/api/users/authenticate", {"uid": uid, "password": PASSWORD})
            return visitor, {}
        body = {"identifier": uid, "password": PASSWORD, "transport": how}
        told = await send(visitor, "POST", "/api/sessions", body)
        return visitor, {"ticket": told["ticket"]} if how == "bearer" else {}

    for number, how in enumerate(("cookie", "bearer", "jwt")):
        rose, device = world.visitor(), SoftwareAuthenticator()
        await rose.sign_up(f"rose{number}")
        options = (await rose.post(OWN, {"kind": "passkey"})).json()["options"]
        made = {"kind": "passkey", "credential": device.create(options, ORIGIN)}
        assert (await rose.post(f"{OWN}/confirm", made)).status_code == 201
        key = await set_up_app(world, rose)
        codes = await make_codes(rose)
        visitor, ticket = await half(f"rose{number}", how)
        await send(visitor, "POST", f"{STEP}/challenge", {"kind": "passkey", **ticket})
        await send(visitor, "POST", STEP, {"kind": "totp", "code": app_code(world, key), **ticket})
        world.clock.advance(30)
        visitor, ticket = await half(f"rose{number}", how)
        await send(visitor, "POST", STEP, {"kind": "recovery_code", "code": codes[0], **ticket})
        visitor, ticket = await half(f"rose{number}", how)
        lost = await send(visitor, "POST", STEP, {"kind": "recovery_code", "code": codes[1], **ticket})
        ticket = {"ticket": lost["ticket"]} if ticket else {}
        await send(visitor, "POST", "/api/sessions/enrolment", {"kind": "passkey", **ticket})
        offer = await send(visitor, "POST", "/api/sessions/enrolment", {"kind": "totp", **ticket})
        confirm = {"kind": "totp", "code": app_code(world, offer["secret"]), **ticket}
        await send(visitor, "POST", "/api/sessions/enrolment/confirm", confirm)
        world.clock.advance(30)
        visitor, ticket = await half(f"rose{number}", how)
        lost = await send(visitor, "POST", STEP, {"kind": "recovery_code", "code": codes[2], **ticket})
        ticket = {"ticket": lost["ticket"]} if ticket else {}
        await send(visitor, "POST", "/api/sessions/enrolment/skip", ticket)
        await leave_and_come_back(world, send, device, f"rose{number}", how)


async def leave_and_come_back(
    world: World, send: Send, device: SoftwareAuthenticator, uid: str, how: str
) -> None:  # fmt: skip
    """An account about to be erased: whoever signs in is asked whether it shall stay."""
    rose, browser = world.visitor(), world.visitor()
    assert (await rose.sign_in(uid)).status_code == 201
    options = (await rose.post(OWN, {"kind": "passkey"})).json()["options"]
    made = {"kind": "passkey", "credential": device.create(options, ORIGIN)}
    assert (await rose.post(f"{OWN}/confirm", made)).status_code == 201
    await send(rose, "DELETE", "/api/users/me", {"password": PASSWORD})
    options = await send(browser, "POST", "/api/sessions/passkey/options", {})
    ticket = {}
    if how == "jwt":
        await send(browser, "POST", "/api/users/authenticate", {"uid": uid, "password": PASSWORD})
        asked = (await send(browser, "POST", f"{STEP}/challenge", {"kind": "passkey"}))["options"]
        await send(browser, "POST", STEP, {"kind": "passkey", "credential": device.get(asked, ORIGIN)})
    else:
        body = {"credential": device.get(options, ORIGIN), "transport": how, "next": "/members"}
        told = await send(browser, "POST", "/api/sessions/passkey", body)
        ticket = {"ticket": told["ticket"]} if how == "bearer" else {}
    await send(browser, "POST", "/api/sessions/restoration", ticket)


async def contacts(world: World, send: Send, ada: Visitor, eve: Visitor, ada_id: str) -> None:
    """Another address and a number, asked for, refused and called off."""
    path = f"/api/users/{ada_id}"
    await send(ada, "POST", f"{path}/email", {"email": "ada@example.net"})
    await send(ada, "DELETE", f"{path}/email/pending")
    await send(ada, "POST", f"{path}/email", {"email": "ada@example.net"})
    await send(ada, "POST", "/api/verifications/resend", {"purpose": "email"})
    world.clock.advance(1)
    await send(ada, "POST", "/api/verifications/resend", {})
    code = (await Inbox(world).last("ada@example.net")).values["code"]
    await send(ada, "POST", "/api/verifications", {"code": code, "purpose": "email"})
    await send(ada, "POST", f"{path}/phone", {"phone": "+49 1512 3456789"})
    await send(ada, "DELETE", f"{path}/phone")
    for method, below, body in (
        ("POST", "email", {"email": "eve@example.net"}),
        ("DELETE", "email/pending", None),
        ("POST", "phone", {"phone": "+49 1512 3456789"}),
        ("DELETE", "phone", None),
    ):
        await send(eve, method, f"{path}/{below}", body)
        await send(ada, method, f"/api/users/none/{below}", body)


async def invitations(world: World, send: Send, chief: Visitor) -> None:
    """Somebody invited, and a link that works once."""
    await send(chief, "POST", "/api/invitations", {"email": "hedy@example.org", "roles": ["auditor"]})
    await send(chief, "POST", "/api/invitations", {"email": "nowhere", "roles": ["king"]})
    token = str((await Inbox(world).last("hedy@example.org")).values["path"]).rpartition("/")[2]
    for _ in range(2):
        await send(world.visitor(), "POST", "/api/invitations/accept", {"token": token, "password": NEW})


async def deletions(world: World, send: Send, ada: Visitor, eve: Visitor, ada_id: str, eve_id: str) -> None:
    program = world.visitor()
    await world.services.users.set_roles(eve_id, ["admin"], None, OPERATOR)
    await eve.sign_in("eve", NEW)
    await invitations(world, send, eve)
    for query in ("", "?limit=0"):
        await send(eve, "GET", f"/api/events{query}")
    for method, body in (("PATCH", {"name": "Nobody"}), ("PUT", {"name": "Nobody"}), ("DELETE", None)):
        await send(eve, method, f"/api/users/{NOBODY}", body)
    await send(eve, "DELETE", "/api/users/me")  # the last administrator
    await send(eve, "DELETE", f"/api/users/{eve_id}")
    await send(eve, "GET", f"/api/users/{ada_id}")
    await send(eve, "PATCH", f"/api/users/{ada_id}", {"coins": 5, "uid": "ada2"})
    await send(eve, "DELETE", "/api/sessions/current")
    await send(ada, "DELETE", "/api/users/me", {"password": NEW})
    await eve.sign_in("eve", NEW)
    third = await send(program, "POST", "/api/users", {"uid": "third", "name": "Third", "password": NEW})
    for user_id in (third["id"], NOBODY):
        await send(eve, "DELETE", f"/api/users/{user_id}/authenticators")
    await send(eve, "DELETE", f"/api/users/{third['id']}")


async def test_a_whole_life_gets_described_answers_and_sees_every_described_success(
    world: World, described: Described
) -> None:
    await accepted(world, described)
    successes = {
        (method, path, status)
        for path, method, operation in described_operations(described.document)
        for status in operation["responses"]
        if status.startswith("2")
    }
    assert sorted(successes - described.seen) == []


async def test_every_described_refusal_happens(world: World, described: Described) -> None:
    await test_every_plain_and_every_broken_request_gets_a_described_answer(world, described)
    await accepted(world, described)
    unseen = {
        (method, path, status)
        for path, method, operation in described_operations(described.document)
        for status in operation["responses"]
        if (method, path, status) not in described.seen and status not in RARE
    }
    assert sorted(unseen) == []


async def test_what_is_not_described_is_refused(world: World, described: Described) -> None:
    for number, operation in enumerate(described.operations):
        schema = operation.body_schema or {}
        if operation.reads != JSON or schema.get("additionalProperties", True) is not False:
            continue
        visitor = world.visitor(f"198.51.100.{number + 1}")
        if operation.access is Access.ADMIN:
            user = await make_admin(world, visitor, f"member-{number}")
        else:
            user = await visitor.sign_up(f"member-{number}")
        good: dict[str, Any] = {"uid": f"new-{number}", "name": "New", "identifier": f"member-{number}"}
        good |= {"email": "new@example.org", "credential": {}, "scopes": ["profile:read"]}
        if operation.path in LINKS:
            good["token"] = await live_token(world, LINKS[operation.path], user["id"])
        # Whoever has a password needs it to choose another; whoever has none, not.
        needed = {*schema.get("required", ()), "current_password"} & schema["properties"].keys()
        body = {name: good.get(name, PASSWORD) for name in needed}
        path = path_of(operation, id=user["id"])
        answer = await visitor.send(operation.method, path, {**body, "not_described": 1})
        assert answer.status_code == 400, path
        assert [error["field"] for error in answer.json()["errors"]] == ["not_described"]


async def test_problems_have_the_page_that_their_type_names(world: World) -> None:
    refused = [await world.visitor().get(path) for path in ("/api/users/me", "/api/nothing")]
    refused.append(await world.visitor().post("/api/users", {}))
    for answer in refused:
        page = await world.visitor().get(answer.json()["type"])
        assert page.status_code == 200
        assert answer.json()["title"] in page.text
