"""Tokens of apps that are forged, outdated or meant for somebody else, wherever we take one (C49; ASVS 9.1, 9.2)."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from doorward.kernel.instant import SECOND
from doorward.tokens import AppToken
from tests.http.conftest import ORIGIN, World
from tests.support.apps import (
    API,
    App,
    claims_of,
    encoded,
    member,
    part_of,
    register,
    register_service,
)


async def counts(app: App, token: str) -> set[bool]:
    """Whether userinfo and introspection believe a token."""
    told = await app.http.post("/oauth/introspect", data={"token": token}, headers=app.basic)
    shown = await app.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {token}"})
    assert shown.status_code in {200, 401}, shown.text
    return {told.json()["active"], shown.status_code == 200}


def signed_by(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    text = f"{encoded(header)}.{encoded(claims)}"
    signature = jws.default_registry.algorithms["ES256"].sign(text.encode(), key)
    return f"{text}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def macced(public: dict[str, Any], header: dict[str, Any], claims: dict[str, Any], form: str) -> str:
    key = ECKey.import_key({name: public[name] for name in ("kty", "crv", "x", "y")})
    secret = {"PEM": key.as_pem(private=False), "DER": key.as_der(private=False), "jwk": json.dumps(public).encode()}
    text = f"{encoded({**header, 'alg': 'HS256'})}.{encoded(claims)}"
    return f"{text}.{urlsafe_b64encode(hmac.digest(secret[form], text.encode(), hashlib.sha256)).rstrip(b'=').decode()}"


@pytest.mark.asvs("9.1.1")
@pytest.mark.asvs("9.1.2")
@pytest.mark.asvs("9.1.3")
async def test_no_forgery_counts_anywhere(world: World) -> None:
    app, ada = await register(world), await member(world)
    good = (await app.tokens(ada))["access_token"]
    assert await counts(app, good) == {True}
    header, claims = part_of(good, 0), claims_of(good)
    (public,) = (await ada.get("/.well-known/jwks.json")).json()["keys"]
    own = ECKey.generate_key("P-256", private=True)
    jwk = own.as_dict(private=False)
    head, body, signature = good.split(".")
    forged = {
        **{f"alg {alg!r}": f"{encoded({**header, 'alg': alg})}.{body}." for alg in ("none", "None", "NONE", "nOnE")},
        **{f"HS256 by {form}": macced(public, header, claims, form) for form in ("PEM", "DER", "jwk")},
        "jwk": signed_by(own, {**header, "jwk": jwk}, claims),
        "jku": signed_by(own, {**header, "jku": "https://evil.example/jwks.json"}, claims),
        "x5u": signed_by(own, {**header, "x5u": "https://evil.example/x"}, claims),
        "x5c": signed_by(own, {**header, "x5c": ["MIIB"]}, claims),
        "own kid": signed_by(own, {**header, "kid": own.thumbprint()}, claims),
        "our kid": signed_by(own, header, claims),
        **{f"kid {kid!r}": signed_by(own, {**header, "kid": kid}, claims)
           for kid in ("../../dev/null", "' OR 1=1 --", "", None, 0, ["x"])},
        "other claims": f"{head}.{encoded({**claims, 'sub': 'x'})}.{signature}",
        "crit": signed_by(own, {**header, "crit": ["exp"]}, claims),
        "cut": good[:-1],
        "grown": good + "A",
        "padded": good + "=",
        "empty": "",
        "dots": "..",
        "huge": "x" * 9000,
    }  # fmt: skip
    for what, token in forged.items():
        assert await counts(app, token) == {False}, what
    assert await counts(app, good) == {True}


@pytest.mark.asvs("9.2.1")
@pytest.mark.asvs("9.2.2")
@pytest.mark.asvs("9.2.3")
async def test_what_we_signed_ourselves_counts_only_as_what_it_is(world: World) -> None:
    """With our own key: only a bug elsewhere could sign these."""
    app, ada = await register(world), await member(world)
    tokens = await app.tokens(ada)
    claims, keys = claims_of(tokens["access_token"]), world.services.keys
    now = world.clock.now() // SECOND
    assert await counts(app, keys.sign(claims, "at+jwt")) == {True}, "so that the refusals below mean something"
    wrong: dict[str, str] = {
        "an ID token": tokens["id_token"],
        "typ JWT": keys.sign(claims, "JWT"),
        "typ logout": keys.sign(claims, "logout+jwt"),
        "another issuer": keys.sign({**claims, "iss": "https://evil.example"}, "at+jwt"),
        "issuer with a slash": keys.sign({**claims, "iss": f"{ORIGIN}/"}, "at+jwt"),
        "expired": keys.sign({**claims, "exp": now}, "at+jwt"),
        "not yet": keys.sign({**claims, "iat": now + 61}, "at+jwt"),
        "no exp": keys.sign({name: value for name, value in claims.items() if name != "exp"}, "at+jwt"),
        "exp as text": keys.sign({**claims, "exp": str(now + 9)}, "at+jwt"),
        "two audiences": keys.sign({**claims, "aud": [API, ORIGIN]}, "at+jwt"),
        "no session": keys.sign({**claims, "sid": "none", "fid": "none"}, "at+jwt"),
        "nobody": keys.sign({**claims, "sub": "01890000-0000-7000-8000-000000000000"}, "at+jwt"),
        "an unknown client": keys.sign({**claims, "client_id": "nobody"}, "at+jwt"),
        "a client as a user": keys.sign({**claims, "sub": app.client.id}, "at+jwt"),
    }
    for what, token in wrong.items():
        assert await counts(app, token) == {False}, what
    audience = keys.sign({**claims, "aud": "https://other.example"}, "at+jwt")
    assert (await app.userinfo(audience)).status_code == 401


@pytest.mark.asvs("9.2.4")
@pytest.mark.asvs("10.3.1")
async def test_no_token_of_an_app_opens_our_own_api(world: World) -> None:
    """Not even one whose audience we are: an app has what its scope names, not the account."""
    app, ada = await register(world, resources=(API, ORIGIN)), await member(world)
    service = await register_service(world)
    tokens = await app.tokens(ada)
    user = claims_of(tokens["access_token"])["sub"]
    own = await app.tokens(ada, resource=ORIGIN)
    machine = (await service.token(grant_type="client_credentials", resource=ORIGIN)).json()
    assert claims_of(own["access_token"])["aud"] == ORIGIN
    for token in (*tokens.values(), *own.values(), machine["access_token"]):
        if isinstance(token, str) and len(token) > 40:
            for path in ("/api/users/me", "/api/sessions", f"/api/users/{user}"):
                answer = await world.visitor().get(path, headers={"authorization": f"Bearer {token}"})
                assert answer.status_code in {200, 401}
                assert (answer.status_code == 200) is False, path


async def test_our_own_api_still_takes_its_own_tokens(world: World) -> None:
    ada = await member(world)
    answer = await world.visitor().post("/api/users/authenticate", {"uid": "ada", "password": "wrong"})
    assert answer.status_code == 401
    session = (await ada.get("/api/sessions/current")).json()
    token = world.services.tokens.issue(
        user_id=session["user"]["id"], sid=session["id"], auth_time=session["auth_time"] * SECOND, amr=("pwd",),
        audience=ORIGIN,
    )  # fmt: skip
    assert (await world.visitor().get("/api/users/me", headers={"authorization": f"Bearer {token}"})).is_success


async def test_introspection_tells_an_app_nothing_of_what_is_not_its_business(world: World) -> None:
    app, ada = await register(world), await member(world)
    api = await register_service(world)
    other = await register(world, name="Other", resources=("https://other.example",))
    token = (await app.tokens(ada))["access_token"]
    told = await api.introspect(token)
    assert told["active"], "the API that it is for"
    assert {"scope", "client_id", "sub", "sid", "aud", "iss", "exp", "iat", "nbf", "jti", "token_type", "auth_time",
            "amr", "acr"} <= set(told)  # fmt: skip
    assert await other.introspect(token) == {"active": False}
    refresh = (await app.tokens(ada))["refresh_token"]
    assert (await app.introspect(refresh))["token_type"] == "refresh_token"
    assert await other.introspect(refresh) == {"active": False}
    for headers in ({}, {"authorization": "Basic x"}):
        assert (await app.http.post("/oauth/introspect", data={"token": token}, headers=headers)).status_code == 401


async def test_a_token_lasts_ten_minutes_and_a_machines_can_be_given_back(world: World) -> None:
    app, ada, service = await register(world), await member(world), await register_service(world)
    token = (await app.tokens(ada))["access_token"]
    machine = (await service.token(grant_type="client_credentials")).json()["access_token"]
    assert (await service.introspect(machine))["active"]
    await service.http.post("/oauth/revoke", data={"token": machine}, headers=service.basic)
    assert await service.introspect(machine) == {"active": False}
    world.clock.advance(599)
    assert (await app.introspect(token))["active"]
    world.clock.advance(1)
    assert not (await app.introspect(token))["active"]


async def test_a_name_that_changes_calls_no_token_back_and_is_in_the_next(world: World) -> None:
    app, ada = await register(world), await member(world)
    tokens = await app.tokens(ada)
    world.clock.advance(1)
    assert (await ada.send("PATCH", "/api/users/me", {"name": "Ada L."})).is_success
    assert (await app.introspect(tokens["access_token"]))["active"]
    assert (await app.userinfo(tokens["access_token"])).json()["name"] == "Ada L."
    fresh = (await app.refresh(tokens["refresh_token"])).json()
    assert (await app.introspect(fresh["access_token"]))["active"]


async def test_a_claim_of_an_app_takes_the_place_of_none_of_ours() -> None:
    token = AppToken("user", API, "app", "openid", "ES256", more={"sub": "other", "aud": "x", "roles": ["admin"]})
    assert (token.claims()["sub"], token.claims()["aud"]) == ("user", API)
