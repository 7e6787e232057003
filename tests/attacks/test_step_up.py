"""Sensitive steps in a session whose thief knows the password, too: nothing without the factor (C20, C26; ASVS 7.5.1).

The list of steps comes from the route table: whatever asks for a fresh authentication is found by asking, and one that
stops to ask, or asks for a password alone, fails here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors, Signin
from doorward.datadir import DataDir
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.web.routing import FORM, Access, Operation
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World, running
from tests.support.attack import NOBODY, OPERATOR, dump, name_of, path_of, route_table
from tests.support.factors import OWN, STEP, app_code, signed_in
from tests.support.second_step import (
    AGAIN,
    PAGE,
    STALE,
    Member,
    add_passkey,
    full_member,
    lend,
    mailed,
    plain_member,
    prove_anew,
    steal_session,
)

NEW = "another quite different phrase"
NUMBER = "+4915123456789"
BODIES: Mapping[str, Mapping[str, Any]] = {  # what gets as far as to the question how fresh the session is
    "POST /api/invitations": {"email": "new@example.org"},
    "PATCH /api/users/me": {"email": "new@example.org"},
    "PUT /api/users/me": {"email": "new@example.org"},
    "PATCH /api/users/{id}": {"email": "new@example.org"},
    "PUT /api/users/{id}": {"email": "new@example.org"},
    "POST /api/users/{id}/email": {"email": "new@example.org"},
    "POST /api/users/{id}/phone": {"phone": NUMBER},
    "PUT /api/users/me/password": {"current_password": PASSWORD, "new_password": NEW},
    "POST /api/users/me/authenticators": {"kind": "totp"},
    "POST /api/users/me/authenticators/confirm": {"kind": "totp", "code": "000000"},
    "POST /api/users/me/authenticators/upgrade": {"credential": {}},
    "DELETE /api/users/me": {"password": PASSWORD},
    "DELETE /api/users/{id}": {"password": PASSWORD},
    "POST /account/password": {"current_password": PASSWORD, "new_password": NEW},
    "POST /account/not-me": {"event": NOBODY},
    "POST /account/email": {"email": "new@example.org"},
    "POST /account/phone": {"phone": NUMBER},
    "POST /account/delete": {"confirm": "chief"},
    "POST /account/security/sent": {"kind": "email_code"},
    "POST /account/security/codes/confirm": {"kept": "true"},
    "POST /api/users/me/keys": {"name": "Report", "scopes": ["profile:read"]},
    "POST /account/keys": {"name": "Report", "days": "90", "scope-profile:read": "true"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    factors = Factors(required="optional", sms=True, email=True, cool_off=True)
    return msgspec.structs.replace(settings, factors=factors, signin=Signin(email_link=True))


async def ask(visitor: Visitor, operation: Operation, subject: str) -> httpx.Response:
    path = path_of(operation, id=subject)
    body = BODIES.get(name_of(operation), {})
    if operation.reads == FORM:
        return await visitor.http.post(path, data={"csrf_token": visitor.csrf, **body}, headers=PAGE)
    return await visitor.send(operation.method, path, body if operation.reads else None)


def wants_proof(answer: httpx.Response) -> bool:
    """Whether it asks for a fresh authentication."""
    if answer.status_code == 303:
        return answer.headers["location"].startswith("/confirm?next=")
    return answer.status_code == 403 and answer.json()["code"] == "reauthentication_needed"


SENSITIVE = frozenset(  # a step that is to ask no more has to be taken out here on purpose
    {
        "POST /api/invitations",
        "PATCH /api/users/me",
        "PUT /api/users/me",
        "DELETE /api/users/me",
        "PUT /api/users/me/password",
        "PATCH /api/users/{id}",
        "PUT /api/users/{id}",
        "DELETE /api/users/{id}",
        "POST /api/users/{id}/email",
        "POST /api/users/{id}/phone",
        "DELETE /api/users/{id}/phone",
        "POST /api/users/me/authenticators",
        "POST /api/users/me/authenticators/confirm",
        "POST /api/users/me/authenticators/upgrade/options",
        "POST /api/users/me/authenticators/upgrade",
        "DELETE /api/users/me/authenticators/{id}",
        "DELETE /api/users/{id}/authenticators",
        "POST /api/users/me/export",
        "POST /api/users/me/keys",
        "POST /api/users/me/keys/{id}/rotate",
        "DELETE /api/users/me/keys/{id}",
        "POST /account/keys",
        "POST /account/keys/{id}/rotate",
        "POST /account/keys/{id}/delete",
        "GET /account/not-me/{id}",
        "POST /account/not-me",
        "POST /account/export",
        "GET /account/password",
        "POST /account/password",
        "POST /account/email",
        "POST /account/phone",
        "POST /account/phone/remove",
        "POST /account/delete",
        "POST /account/security/app",
        "POST /account/security/app/confirm",
        "POST /account/security/passkeys",
        "POST /account/security/sent",
        "POST /account/security/codes",
        "POST /account/security/codes/confirm",
        "POST /account/security/{id}/remove",
    }
)
ENDING = {
    "DELETE /api/sessions/current", "DELETE /api/sessions", "POST /sign-out", "POST /account/sessions/end-all",
    "POST /account/security/keep",
}  # fmt: skip


async def administrator(world: World) -> Member:
    """Somebody with every factor and the role; signed in with both just now."""
    chief = await full_member(world, "chief")
    await world.services.users.set_roles(chief.id, ["admin"], None, OPERATOR)
    assert (await chief.browser.http.post("/api/sessions", json=credentials("chief"))).status_code == 200
    done = await chief.browser.http.post(STEP, json={"kind": "totp", "code": app_code(world, chief.app)})
    assert done.status_code == 201, done.text
    chief.browser.csrf = done.json()["csrf_token"]
    world.clock.advance(30)
    return chief


def credentials(uid: str) -> dict[str, str]:
    return {"identifier": uid, "password": PASSWORD}


async def asking(world: World, visitor: Visitor, own: str, another: str) -> frozenset[str]:
    """Every operation that asks for a fresh authentication."""
    found = set()
    for operation in route_table(world):
        name = name_of(operation)
        if operation.access not in {Access.SIGNED_IN, Access.ADMIN} or name in ENDING:
            continue
        subject = another if name == "DELETE /api/users/{id}/authenticators" else own
        if wants_proof(await ask(visitor, operation, subject)):
            found.add(name)
    return frozenset(found)


async def kept(world: World) -> dict[str, Any]:
    """What no thief of a stale session may change."""
    tables = await dump(world.services.db)
    return {name: tables[name] for name in ("authenticator", "password", "identifier", "confirmation", "message")}


@pytest.mark.asvs("7.5.1")
@pytest.mark.asvs("7.5.3")
async def test_a_password_alone_makes_no_session_fresh_for_any_sensitive_step(world: World) -> None:
    chief, other = await administrator(world), await plain_member(world, "other")
    world.clock.advance(STALE)
    thief = await steal_session(world, chief.browser)
    before = await kept(world)
    assert await asking(world, thief, chief.id, other.id) == SENSITIVE

    assert (await thief.post(AGAIN, {"password": PASSWORD})).json()["next"] == "authenticator"
    assert await asking(world, thief, chief.id, other.id) == SENSITIVE
    assert (await thief.submit("/confirm", {"password": PASSWORD})).headers["location"] == "/sign-in/step"
    assert await asking(world, thief, chief.id, other.id) == SENSITIVE
    assert await kept(world) == before

    await prove_anew(world, thief, chief.app)
    assert await asking(world, thief, chief.id, other.id) == frozenset(), "with the factor none of them asks"


@pytest.mark.asvs("7.5.3")
async def test_a_code_by_mail_makes_no_session_fresh_beside_an_app(world: World) -> None:
    """What the session began with does not count: it was shown by its owner, long ago."""
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    thief = await steal_session(world, ada.browser)
    await thief.post(AGAIN, {"password": PASSWORD})
    assert (await thief.post(f"{STEP}/challenge", {"kind": "email_code"})).status_code == 200
    answer = await thief.post(
        STEP, {"kind": "email_code", "code": await mailed(world, ada.address, "code", "factor_code")}
    )
    assert answer.json().get("next") == "authenticator"
    assert wants_proof(await thief.post(OWN, {"kind": "totp"}))
    done = await thief.post(STEP, {"kind": "totp", "code": app_code(world, ada.app)})
    assert done.status_code == 200, "it goes on from there"
    assert (await thief.post(OWN, {"kind": "totp"})).status_code == 200


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("way", ["JSON", "page"])
async def test_a_passkey_that_is_one_factor_makes_no_session_fresh(world: World, way: str) -> None:
    ada, found = await plain_member(world, "ada"), SoftwareAuthenticator()
    assert (await add_passkey(ada.browser, found, by_itself=True)).status_code == 204
    assert (await add_passkey(ada.browser, ada.device)).status_code == 201
    world.clock.advance(STALE)
    thief = await steal_session(world, ada.browser)
    options = (await thief.post(f"{AGAIN}/passkey/options", {})).json()
    credential = found.get(options, ORIGIN)
    if way == "JSON":
        assert (await thief.post(f"{AGAIN}/passkey", {"credential": credential})).json()["next"] == "authenticator"
    else:
        answer = await thief.submit("/confirm", {"credential": json.dumps(credential)})
        assert answer.headers["location"] == "/sign-in/step"
    assert wants_proof(await thief.post(OWN, {"kind": "totp"}))
    asked = (await thief.post(f"{STEP}/challenge", {"kind": "passkey"})).json()["options"]
    again = await thief.post(STEP, {"kind": "passkey", "credential": found.get(asked, ORIGIN)})
    assert again.status_code == 400, "nor does the same one a second time"
    assert wants_proof(await thief.post(OWN, {"kind": "totp"}))


async def test_a_thiefs_copy_of_the_session_dies_when_its_owner_proves_who_they_are(world: World) -> None:
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    thief = await steal_session(world, ada.browser)
    await prove_anew(world, ada.browser, ada.app)
    assert not await signed_in(thief)


@pytest.mark.asvs("7.4.3")
async def test_a_jwt_from_before_the_first_factor_is_dead(world: World) -> None:
    ada, program = await plain_member(world, "ada"), world.visitor()
    old = await program.http.post("/api/users/authenticate", json={"uid": "ada", "password": PASSWORD})
    own = await ada.browser.http.post("/api/users/authenticate", json={"uid": "ada", "password": PASSWORD})
    await ada.browser.learn_csrf()
    assert (await add_passkey(ada.browser, ada.device)).status_code == 201
    for answer in (old, own):
        bearer = {"authorization": f"Bearer {answer.json()['data']['jwt']}"}
        assert (await world.visitor().get("/api/users/me", headers=bearer)).status_code == 401


# Another worker that has not heard of it ------------------------------------------------------------------------------


async def test_a_session_that_another_worker_still_believes_in_binds_and_removes_nothing(
    world: World, tmp_path: Path
) -> None:
    ada, thief = await plain_member(world, "ada"), world.visitor()
    assert (await thief.sign_in("ada")).status_code == 201
    async with running(world.services.settings, DataDir.open(tmp_path / "data"), world.clock) as second:
        elsewhere = second.visitor()
        lend(thief, elsewhere, "doorward")
        await elsewhere.learn_csrf()
        offer = (await elsewhere.post(OWN, {"kind": "totp"})).json()
        assert (await add_passkey(ada.browser, ada.device)).status_code == 201
        code = app_code(world, offer["secret"])
        refused = await elsewhere.post(f"{OWN}/confirm", {"kind": "totp", "code": code})
        assert refused.status_code == 401
        bound = (await ada.browser.get(OWN)).json()["data"]
        assert [one["kind"] for one in bound] == ["passkey"]


# The form that waits --------------------------------------------------------------------------------------------------


async def plant(thief: Visitor) -> None:
    """Send a form that waits until somebody proves who they are."""
    form = {"csrf_token": thief.csrf, "email": "thief@example.org"}
    answer = await thief.http.post("/account/email", data=form, headers=PAGE)
    assert answer.headers["location"] == "/confirm?next=/confirm/continue"


async def go_on(world: World, ada: Member) -> httpx.Response:
    """The owner proves who they are; what their browser is then given to send."""
    await ada.browser.submit("/confirm", {"password": PASSWORD, "next": "/confirm/continue"})
    done = await ada.browser.submit("/sign-in/step", {"kind": "totp", "code": app_code(world, ada.app)})
    assert done.headers["location"] == "/confirm/continue"
    return await ada.browser.get("/confirm/continue", headers={"sec-fetch-site": "same-origin"})


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize("when", ["alone", "over the owner's own"])
async def test_nobody_sends_a_form_that_a_thief_of_their_session_has_planted(world: World, when: str) -> None:
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    thief = await steal_session(world, ada.browser)
    if when != "alone":
        own = {"csrf_token": ada.browser.csrf, "email": "own@example.org"}
        await ada.browser.http.post("/account/email", data=own, headers=PAGE)
    await plant(thief)
    shown = await go_on(world, ada)
    assert "thief@example.org" not in shown.text
    assert shown.headers["location"] == "/account"


async def test_the_form_of_ones_own_browser_waits_for_its_owner(world: World) -> None:
    """The test above bites: the same, without a thief."""
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    own = {"csrf_token": ada.browser.csrf, "email": "own@example.org"}
    await ada.browser.http.post("/account/email", data=own, headers=PAGE)
    shown = await go_on(world, ada)
    assert 'name="email" value="own@example.org"' in shown.text
    assert "doorward-form" not in ada.browser.http.cookies


async def test_no_password_lies_in_a_form_that_waits(world: World) -> None:
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    form = {"csrf_token": ada.browser.csrf, "current_password": PASSWORD, "new_password": NEW}
    answer = await ada.browser.http.post("/account/password", data=form, headers=PAGE)
    assert answer.headers["location"] == "/confirm?next=/account/password"
    assert (await dump(world.services.db))["kept_form"] == []
