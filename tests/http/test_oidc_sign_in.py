"""Signing in to an app: a browser comes, proves who it is, and goes back with a code that becomes tokens."""

import asyncio
import json
import re
import secrets
from base64 import urlsafe_b64decode
from hashlib import sha256, sha512
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from doorward.kernel.errors import Conflict
from doorward.kernel.instant import SECOND
from doorward.sessions import SignedIn, password_proof
from doorward.tokens import ALGORITHMS, import_key, verified
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.apps import (
    API,
    CALLBACK,
    App,
    back,
    challenge_of,
    claims_of,
    member,
    part_of,
    register,
    register_public,
    register_service,
)
from tests.support.attack import OPERATOR
from tests.support.databases import Interrupted
from tests.support.factors import app_code, set_up_app

VERIFIER = secrets.token_urlsafe(32)


def next_of(answer: httpx.Response, page: str) -> str:
    """Where a page of ours is told to go on."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    assert (parts.netloc, parts.path) == ("", page)
    return parse_qs(parts.query)["next"][0]


@pytest.mark.asvs("10.4.6")
@pytest.mark.asvs("10.5.1")
async def test_a_member_comes_back_with_a_code_that_becomes_tokens(world: World) -> None:
    app, ada = await register(world), await member(world)
    answer = await ada.get(app.url(VERIFIER))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CALLBACK}?code=")
    brought = back(answer)
    assert (brought["state"], brought["iss"]) == ("a state", ORIGIN)

    got = await app.redeem(brought["code"], VERIFIER)
    assert got.status_code == 200, got.text
    assert got.headers["cache-control"] == "no-store"
    tokens = got.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    user = (await ada.get("/api/users/me")).json()
    session = (await ada.get("/api/sessions/current")).json()
    access, about = claims_of(tokens["access_token"]), claims_of(tokens["id_token"])
    assert part_of(tokens["access_token"], 0)["typ"] == "at+jwt"
    assert (access["iss"], access["aud"], access["client_id"]) == (ORIGIN, API, app.client.id)
    assert (access["sub"], access["sid"], access["acr"], access["amr"]) == (user["id"], session["id"], "aal1", ["pwd"])
    assert (access["roles"], access["exp"] - access["iat"]) == ([], 600)
    assert access["auth_time"] == session["auth_time"]
    assert access["fid"]
    assert (about["aud"], about["nonce"], about["sid"], about["sub"]) == (
        app.client.id, "a nonce", session["id"], user["id"]
    )  # fmt: skip
    assert (about["name"], about["preferred_username"]) == ("Name of ada", "ada")
    assert part_of(tokens["id_token"], 0)["typ"] == "JWT"
    half = urlsafe_b64decode(challenge_of(tokens["access_token"]) + "=")[:16]
    assert urlsafe_b64decode(about["at_hash"] + "==") == half


async def test_whoever_is_not_signed_in_signs_in_first_and_comes_back_to_the_same_request(world: World) -> None:
    app = await register(world)
    await member(world)
    stranger = world.visitor()
    target = next_of(await stranger.get(app.url(VERIFIER)), "/sign-in")
    page = f"/sign-in?next={httpx.QueryParams({'x': target})['x']}"
    shown = await stranger.http.get("/sign-in", params={"next": target})
    assert shown.status_code == 200, page
    token = shown.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"identifier": "ada", "password": PASSWORD, "next": target, "csrf_token": token}
    signed = await stranger.http.post("/sign-in", data=form)
    assert signed.headers["location"] == target
    assert (await app.redeem(back(await stranger.get(target))["code"], VERIFIER)).status_code == 200


async def test_a_browser_that_comes_from_our_own_form_leaves_through_a_page(world: World) -> None:
    """Chromium holds every redirect of a form's answer to its form-action policy."""
    app, ada = await register(world), await member(world)
    answer = await ada.get(app.url(VERIFIER), headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 200
    assert answer.headers["refresh"].startswith(f"0;url={CALLBACK}?code=")
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_request_may_come_as_a_form_from_elsewhere(world: World) -> None:
    app, ada = await register(world), await member(world)
    sent = dict(httpx.URL(app.url(VERIFIER)).params)
    answer = await ada.http.post("/oauth/authorize", data=sent, headers={"origin": "https://app.example"})
    assert answer.status_code == 303
    assert back(await ada.get(answer.headers["location"]))["code"]


# prompt, max_age, acr_values ------------------------------------------------------------------------------------------


async def test_prompt_none_shows_no_page(world: World) -> None:
    app, ada = await register(world), await member(world)
    refused = back(await world.visitor().get(app.url(VERIFIER, prompt="none")))
    assert (refused["error"], refused["state"], refused["iss"]) == ("login_required", "a state", ORIGIN)
    assert "code" in back(await ada.get(app.url(VERIFIER, prompt="none")))
    world.clock.advance(100)
    assert back(await ada.get(app.url(VERIFIER, prompt="none", max_age="60")))["error"] == "login_required"
    for mixed in ("none login", "login none"):
        assert back(await ada.get(app.url(VERIFIER, prompt=mixed)))["error"] == "invalid_request"


async def test_prompt_create_begins_at_the_sign_up_page_and_goes_on_to_the_app(world: World) -> None:
    """OpenID Connect: Initiating User Registration 1.0 §4. Whoever is signed in has an account already."""
    app, eve = await register(world), world.visitor()
    target = next_of(await eve.get(app.url(VERIFIER, prompt="create")), "/sign-up")
    await eve.sign_up("eve")
    assert back(await eve.get(target))["code"]
    assert back(await eve.get(app.url(VERIFIER, prompt="create")))["code"]
    assert back(await world.visitor().get(app.url(VERIFIER, prompt="none create")))["error"] == "invalid_request"
    assert "create" in (await eve.get("/.well-known/openid-configuration")).json()["prompt_values_supported"]


@pytest.mark.parametrize("asked", [{"prompt": "login"}, {"max_age": "0"}, {"max_age": "60"}])
async def test_a_fresh_proof_is_asked_for_once_and_the_request_goes_on(world: World, asked: dict[str, str]) -> None:
    app, ada = await register(world), await member(world)
    world.clock.advance(100)
    target = next_of(await ada.get(app.url(VERIFIER, **asked)), "/confirm")
    assert next_of(await ada.get(target), "/confirm"), "not before it was proven"
    world.clock.advance(5)
    done = await ada.submit("/confirm", {"password": PASSWORD, "next": target}, f"/confirm?next={target}")
    assert done.headers["location"] == target
    world.clock.advance(5)
    tokens = (await app.redeem(back(await ada.get(target))["code"], VERIFIER)).json()
    assert claims_of(tokens["id_token"])["auth_time"] == world.clock.now() // SECOND - 5
    world.clock.advance(901)
    assert next_of(await ada.get(target), "/confirm"), "the proof was for that moment"


async def test_a_mark_of_ones_own_making_skips_no_proof(world: World) -> None:
    app, ada = await register(world), await member(world)
    real = next_of(await ada.get(app.url(VERIFIER, prompt="login")), "/confirm")
    moved = real.replace("a+state", "another+state")
    marks = ("0.AAAA", "", "1", "\u0661.A", "9" * 30)
    for forged in (moved, *(app.url(VERIFIER, prompt="login", since=mark) for mark in marks)):
        world.clock.advance(1)
        assert next_of(await ada.get(forged), "/confirm")


async def test_a_level_is_reached_by_the_second_step_or_not_at_all(world: World) -> None:
    app, ada = await register(world), await member(world)
    unmet = "unmet_authentication_requirements"
    assert back(await ada.get(app.url(VERIFIER, acr_values="aal3")))["error"] == unmet
    for satisfied in ("aal1", "aal3 aal1", "urn:other", ""):
        assert "code" in back(await ada.get(app.url(VERIFIER, acr_values=satisfied)))
    key = await set_up_app(world, ada)
    tokens = (await app.redeem(await app.code(ada, VERIFIER, acr_values="aal2"), VERIFIER)).json()
    assert claims_of(tokens["access_token"])["acr"] == "aal2"
    world.clock.advance(100)
    target = next_of(await ada.get(app.url(VERIFIER, acr_values="aal2", max_age="60")), "/confirm")
    await ada.submit("/confirm", {"password": PASSWORD, "next": target})
    assert next_of(await ada.get(target), "/confirm"), "the password alone is half of it"
    answer = await ada.submit("/sign-in/step", {"kind": "totp", "code": app_code(world, key)})
    assert answer.headers["location"] == target
    tokens = (await app.redeem(back(await ada.get(target))["code"], VERIFIER)).json()
    assert claims_of(tokens["id_token"])["acr"] == "aal2"
    assert back(await ada.get(app.url(VERIFIER, acr_values="aal3")))["error"] == unmet


async def test_who_lacks_a_second_step_sets_one_up_on_the_way_and_goes_on(world: World) -> None:
    app, ada = await register(world), await member(world)
    assert back(await ada.get(app.url(VERIFIER, acr_values="aal2", prompt="none")))["error"] == "interaction_required"
    asked = await ada.get(app.url(VERIFIER, acr_values="aal2"))
    target = next_of(asked, "/account/security")
    page = await ada.get(asked.headers["location"])
    assert "asks for a second step" in page.text
    await set_up_app(world, ada)
    page = await ada.get("/account/security")
    (link,) = re.findall(r'<a class="button" href="(/oauth/authorize[^"]+)"', page.text)
    assert unescape(link) == target, "however many pages lie between"
    assert "That is all" not in (await ada.get("/account/security")).text, "said once"
    tokens = (await app.redeem(back(await ada.get(target))["code"], VERIFIER)).json()
    assert claims_of(tokens["access_token"])["acr"] == "aal2"


@pytest.mark.parametrize(
    "foreign", ["https://evil.example", "//evil.example", "javascript:alert(1)", "/account/delete?evil.example"]
)
async def test_the_page_of_second_steps_leads_nowhere_else(world: World, foreign: str) -> None:
    ada = await member(world)
    page = await ada.get("/account/security", params={"next": foreign})
    assert "evil.example" not in page.text
    assert "alert(1)" not in page.text
    assert "doorward-going-on" not in page.headers.get("set-cookie", "")


# What an app may ask for ----------------------------------------------------------------------------------------------


@pytest.mark.asvs("10.4.4")
@pytest.mark.asvs("10.4.6")
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": f"{API}/"}, "invalid_target"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1e3"}, "invalid_request"),
        ({"max_age": "\u0661"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://app.example/r"}, "request_uri_not_supported"),
        ({"dpop_jkt": "x"}, "invalid_request"),
        ({"state": "x" * 3000}, "invalid_request"),
    ],
    ids=str,
)
async def test_what_cannot_be_had_is_told_to_the_app(world: World, changed: dict[str, str | None], error: str) -> None:
    app, ada = await register(world), await member(world)
    brought = back(await ada.get(app.url(VERIFIER, **changed)))
    assert brought["error"] == error
    assert brought["iss"] == ORIGIN
    assert ("state" in brought) == (changed.get("state", "") is not None)
    assert "code" not in brought


@pytest.mark.asvs("10.2.1")
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": f"{CALLBACK}/"}, "invalid_grant"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"code": None}, "invalid_request"),
        ({"code": "x" * 43}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
    ],
    ids=str,
)
async def test_what_does_not_fit_a_code_does_not_use_it_up(
    world: World, changed: dict[str, str | None], error: str
) -> None:
    app, ada = await register(world), await member(world)
    code = await app.code(ada, VERIFIER)
    refused = await app.redeem(code, VERIFIER, **changed)
    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert (await app.redeem(code, VERIFIER)).status_code == 200


@pytest.mark.asvs("10.4.3")
async def test_a_code_is_good_for_a_minute(world: World) -> None:
    app, ada = await register(world), await member(world)
    code, late = await app.code(ada, VERIFIER), await app.code(ada, VERIFIER)
    world.clock.advance(59.9)
    assert (await app.redeem(code, VERIFIER)).status_code == 200
    world.clock.advance(0.1)
    assert (await app.redeem(late, VERIFIER)).json()["error"] == "invalid_grant"


async def test_a_code_of_a_session_that_has_ended_is_good_for_nothing(world: World) -> None:
    app, ada = await register(world), await member(world)
    code = await app.code(ada, VERIFIER)
    await ada.send("DELETE", "/api/sessions/current")
    assert (await app.redeem(code, VERIFIER)).json()["error"] == "invalid_grant"


@pytest.mark.asvs("10.4.11")
async def test_an_app_that_registers_scopes_gets_no_others(world: World) -> None:
    app, ada = await register(world, scopes=("openid", "notes:read")), await member(world)
    assert back(await ada.get(app.url(VERIFIER)))["error"] == "invalid_scope"
    tokens = await app.tokens(ada, scope="openid notes:read")
    assert claims_of(tokens["access_token"])["scope"] == tokens["scope"] == "openid notes:read"
    assert "refresh_token" not in tokens
    assert "name" not in claims_of(tokens["id_token"])


async def test_each_resource_gets_tokens_of_its_own(world: World) -> None:
    app, ada = await register(world, resources=(API, "https://files.example")), await member(world)
    for resource, audience in ((None, API), ("https://files.example", "https://files.example")):
        tokens = await app.tokens(ada, resource=resource)
        assert claims_of(tokens["access_token"])["aud"] == audience
    bare = await register(world, resources=())
    assert claims_of((await bare.tokens(ada))["access_token"])["aud"] == bare.client.id


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_a_client_has_its_algorithm_and_the_key_is_published(world: World, alg: str) -> None:
    app, ada = await register(world, alg=alg), await member(world)
    published = {key["kid"]: key for key in (await ada.get("/.well-known/jwks.json")).json()["keys"]}
    tokens = await app.tokens(ada)
    for token in (tokens["access_token"], tokens["id_token"]):
        head = part_of(token, 0)
        assert head["alg"] == alg
        assert json.loads(verified(token, import_key(published[head["kid"]])[1], alg))["iss"] == ORIGIN
    whole = (sha512 if alg == "EdDSA" else sha256)(tokens["access_token"].encode()).digest()
    about = claims_of(tokens["id_token"])
    assert urlsafe_b64decode(about["at_hash"] + "=" * (-len(about["at_hash"]) % 4)) == whole[: len(whole) // 2]


async def test_custom_fields_are_claims_where_that_is_registered_and_a_mere_claim_of_an_address_never(
    mail_world: World,
) -> None:
    app, other = await register(mail_world, claims=("coins", "motto")), await register(mail_world)
    ada = mail_world.visitor()
    user = await mail_world.services.users.create(
        mail_world.services.users.validate_sign_up({"uid": "ada", "name": "Ada", "email": "ada@example.org"}),
        OPERATOR, also=mail_world_session(mail_world),
    )  # fmt: skip
    ada.http.cookies.set("doorward", user[1])
    tokens = await app.tokens(ada)
    for token in (tokens["access_token"], tokens["id_token"]):
        assert (claims_of(token)["coins"], "motto" in claims_of(token)) == (0, False)
        assert "email" not in claims_of(token)
    assert "coins" not in claims_of((await other.tokens(ada))["access_token"])
    users, now = mail_world.services.users, mail_world.clock.now()
    await mail_world.services.db.write(lambda: users.prove(user[0].id, "email", "ada@example.org", OPERATOR, now))
    for told in (claims_of((await app.tokens(ada))["access_token"]), claims_of((await app.tokens(ada))["id_token"])):
        assert (told["email"], told["email_verified"]) == ("ada@example.org", True)


def mail_world_session(world: World) -> Any:
    """A session for somebody whose address is not proven, as an operator could make one."""

    def also(user: Any, now: int) -> Any:
        outcome = yield from world.services.sessions.finish(user, password_proof(now), OPERATOR)
        assert isinstance(outcome, SignedIn)
        return outcome.token

    return also


# Clients --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("10.4.10")
async def test_only_the_registered_way_of_authentication_counts(world: World) -> None:
    app, public, ada = await register(world), await register_public(world), await member(world)
    code = await app.code(ada, VERIFIER)
    body = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    wrong = App(world, app.client, "dwc_" + "A" * 43, app.http)
    tries: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({}, {"client_id": app.client.id}),
        ({}, {"client_id": "nobody"}),
        (wrong.basic, {}),
        ({"authorization": "Basic !"}, {}),
        ({"authorization": "Basic "}, {}),
        ({"authorization": "Bearer x"}, {"client_id": app.client.id}),
        (app.basic, {"client_id": public.client.id}),
        (App(world, public.client, app.secret, app.http).basic, {}),
        ({}, {"client_assertion": "x", "client_assertion_type": "x", "client_id": app.client.id}),
    ]
    for headers, more in tries:
        refused = await app.http.post("/oauth/token", data={**body, **more}, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client"), (headers, more)
        assert refused.headers["www-authenticate"].startswith("Basic")
    for more in ({"client_secret": str(app.secret)}, {"client_assertion": "x.y.z"}):
        refused = await app.http.post("/oauth/token", data={**body, **more}, headers=app.basic)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert (await public.redeem(code, VERIFIER)).json()["error"] == "invalid_grant", "another client's code"
    assert (await app.redeem(code, VERIFIER)).status_code == 200


@pytest.mark.asvs("13.3.4")
async def test_a_secret_is_replaced_without_a_gap(world: World) -> None:
    app, ada, clients = await register(world), await member(world), world.services.apps.clients
    first = app.secret
    world.clock.advance(1)
    second = await clients.new_secret(app.client.id, OPERATOR, 3600)
    for secret in (first, second):
        app.secret = secret
        await app.tokens(ada)
    world.clock.advance(1)
    third = await clients.new_secret(app.client.id, OPERATOR, 3600)
    app.secret = first
    assert (await app.token(grant_type="refresh_token", refresh_token="x")).status_code == 401
    app.secret = third
    await app.tokens(ada)
    with pytest.raises(Conflict):
        await clients.new_secret((await register_public(world)).client.id, OPERATOR, 3600)


@pytest.mark.asvs("13.3.4")
async def test_a_secret_that_somebody_else_may_have_ends_at_once_or_after_its_overlap(world: World) -> None:
    app, clients = await register(world), world.services.apps.clients
    first = app.secret
    app.secret = await clients.new_secret(app.client.id, OPERATOR, 60)
    world.clock.advance(59)
    assert await proves(app, first)
    world.clock.advance(1)
    assert not await proves(app, first)
    second = str(app.secret)
    third = await clients.new_secret(app.client.id, OPERATOR, 0)
    assert not await proves(app, second)
    assert await proves(app, third)


async def proves(app: App, secret: str | None) -> bool:
    """Whether a secret counts: what comes with it is refused for another reason."""
    app.secret = secret
    return (await app.token(grant_type="refresh_token", refresh_token="x")).status_code == 400


async def test_a_service_acts_for_itself_alone(world: World) -> None:
    service = await register_service(world)
    got = (await service.token(grant_type="client_credentials")).json()
    claims = claims_of(got["access_token"])
    assert (claims["sub"], claims["client_id"]) == (f"client:{service.client.id}", service.client.id)
    assert (claims["aud"], claims["scope"]) == (API, "reports revocations")
    assert not {"sid", "fid", "roles", "auth_time", "amr"} & set(claims)
    assert set(got) == {"access_token", "token_type", "expires_in", "scope"}
    narrow = await service.token(grant_type="client_credentials", scope="reports", resource=ORIGIN)
    assert (claims_of(narrow.json()["access_token"])["aud"], narrow.json()["scope"]) == (ORIGIN, "reports")
    for changed, error in (
        ({"scope": "admin"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"grant_type": "refresh_token"}, "unauthorized_client"),
    ):
        refused = await service.token(**{"grant_type": "client_credentials", **changed})
        assert refused.json()["error"] == error
    assert (await world.visitor().get(service.url(VERIFIER))).status_code == 400


async def test_a_client_that_is_removed_has_nothing_any_more(world: World) -> None:
    app, ada = await register(world), await member(world)
    tokens, code = await app.tokens(ada), await app.code(ada, VERIFIER)
    await world.services.apps.clients.remove(app.client.id, OPERATOR)
    assert (await app.redeem(code, VERIFIER)).status_code == 401
    assert (await app.refresh(tokens["refresh_token"])).status_code == 401
    assert (await app.userinfo(tokens["access_token"])).status_code == 401
    assert (await ada.get(app.url(VERIFIER))).status_code == 400


async def test_an_id_is_given_once(world: World) -> None:
    await register(world, id="notes")
    with pytest.raises(Conflict):
        await register(world, id="notes")


# Userinfo, discovery, CORS --------------------------------------------------------------------------------------------


async def test_userinfo_tells_what_the_scopes_allow(world: World) -> None:
    app, ada = await register(world), await member(world)
    user = (await ada.get("/api/users/me")).json()
    tokens = await app.tokens(ada)
    told = (await app.userinfo(tokens["access_token"])).json()
    assert (told["sub"], told["name"], told["preferred_username"]) == (user["id"], "Name of ada", "ada")
    assert "email" not in told
    posted = await app.http.post("/oauth/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert posted.json() == told
    without = await app.tokens(ada, scope="profile")
    refused = await app.userinfo(without["access_token"])
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    for header in ({}, {"authorization": "Bearer x"}, {"authorization": f"Bearer {tokens['id_token']}"}):
        refused = await app.http.get("/oauth/userinfo", headers=header)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer error=")
    in_address = await app.http.get(f"/oauth/userinfo?access_token={tokens['access_token']}")
    assert in_address.json()["error"] == "invalid_request"


async def test_both_documents_say_where_everything_is_and_it_is_there(world: World) -> None:
    first = (await world.visitor().get("/.well-known/openid-configuration")).json()
    assert (await world.visitor().get("/.well-known/oauth-authorization-server")).json() == first
    assert first["issuer"] == ORIGIN
    known = {operation.path for operation in world.app._front.operations}  # type: ignore[union-attr]  # noqa: SLF001
    for name, value in first.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            assert value.startswith(ORIGIN)
            assert value.removeprefix(ORIGIN) in known, name
    assert first["code_challenge_methods_supported"] == ["S256"]
    assert first["authorization_response_iss_parameter_supported"] is True
    assert "none" not in first["introspection_endpoint_auth_methods_supported"]


@pytest.mark.asvs("3.4.2")
async def test_scripts_of_registered_pages_may_call_and_no_others(world: World) -> None:
    """C41: never with credentials, never /oauth/authorize."""
    await register_public(world, redirect_uris=("https://spa.example/cb",))
    await register(world)
    visitor = world.visitor()
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "dpop"}
    open_paths = ("/oauth/token", "/oauth/userinfo", "/oauth/revoke", "/.well-known/jwks.json",
                  "/.well-known/openid-configuration")  # fmt: skip
    for path in open_paths:
        for origin, known in (("https://spa.example", True), ("https://app.example", False), ("null", False),
                              ("https://spa.example.evil.example", False)):  # fmt: skip
            world.clock.advance(10)
            preflight = await visitor.http.options(path, headers={"origin": origin, **asked})
            answer = await visitor.http.request("GET", path, headers={"origin": origin})
            assert preflight.status_code == (204 if known else 405)
            for one in (preflight, answer):
                assert one.headers.get("access-control-allow-origin") == (origin if known else None), (path, origin)
                assert "access-control-allow-credentials" not in one.headers
                shown = one.headers.get("access-control-expose-headers")
                assert shown == ("WWW-Authenticate, DPoP-Nonce, Date" if known else None)
                assert one.headers["vary"] == "Origin"
    for path in ("/oauth/authorize", "/oauth/introspect", "/oauth/revocations", "/api/users/me", "/sign-in"):
        for method in ("OPTIONS", "GET"):
            answer = await visitor.http.request(method, path, headers={"origin": "https://spa.example", **asked})
            assert not [name for name in answer.headers if name.startswith("access-control-")], path


async def test_twenty_browsers_sign_in_at_once(world: World) -> None:
    app, ada = await register(world), await member(world)
    found = await asyncio.gather(*(app.tokens(ada) for _ in range(20)))
    assert len({claims_of(tokens["access_token"])["fid"] for tokens in found}) == 20


async def test_a_program_with_a_bearer_session_is_no_browser(world: World) -> None:
    app = await register(world)
    await member(world)
    program: Visitor = world.visitor()
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await program.post("/api/sessions", body)).json()["token"]
    answer = await program.get(app.url(VERIFIER), headers={"authorization": f"Bearer {token}"})
    assert answer.headers["location"].startswith("/sign-in")


async def test_a_new_name_or_second_factor_signs_nobody_out_of_an_app(world: World) -> None:
    app, ada = await register(world), await member(world)
    token = (await app.tokens(ada, scope="openid profile"))["access_token"]
    world.clock.advance(1)
    assert (await ada.send("PATCH", "/api/users/me", {"name": "Ada Byron"})).is_success
    assert (await app.introspect(token))["active"] is True
    assert (await app.userinfo(token)).json()["name"] == "Ada Byron"


@pytest.mark.asvs("10.4.6")
@pytest.mark.parametrize("nonce", ["\0", "a\r\nb", "\u202e"])
async def test_a_nonce_that_is_no_text_is_refused_alike_everywhere(world: World, nonce: str) -> None:
    app, ada = await register(world), await member(world)
    answer = back(await ada.get(app.url(VERIFIER, nonce=nonce)))
    assert answer["error"] == "invalid_request"


async def test_a_request_object_is_refused_by_a_form_as_by_an_address(world: World) -> None:
    app, ada = await register(world), await member(world)
    sent = dict(parse_qs(urlsplit(app.url(VERIFIER)).query))
    form = {**{name: values[0] for name, values in sent.items()}, "request": "x.y.z"}
    moved = await ada.http.post("/oauth/authorize", data=form)
    assert back(await ada.get(moved.headers["location"]))["error"] == "request_not_supported"


async def test_with_the_database_down_no_origin_is_known_and_nothing_is_unforeseen(world: World) -> None:
    await register_public(world, redirect_uris=("https://spa.example/callback",))
    world.clock.advance(6)

    world.services.apps.clients.db = database = Interrupted(world.services.db)
    database.silent = True
    answer = await world.visitor().http.get(
        "/.well-known/openid-configuration", headers={"origin": "https://spa.example"}
    )
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
