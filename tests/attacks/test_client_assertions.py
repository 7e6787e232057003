"""Clients that prove who they are by a signature (RFC 7523; ASVS 10.4.16)."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest

from doorward.oidc import check_public_keys
from tests.http.conftest import ORIGIN, World
from tests.support.apps import App, Key, assertion, register, register_public, register_service, shown
from tests.support.attack import audited, dump


async def registered(world: World) -> tuple[App, Key]:
    key = Key(world)
    jwks = {"keys": [{**key.jwk.as_dict(private=False), "kid": "one"}]}
    return await register_service(world, auth_method="private_key_jwt", jwks=check_public_keys(jwks)), key


async def status(app: App, sent: str, **more: str) -> int:
    body = {"grant_type": "client_credentials", **shown(sent), **more}
    answer = await app.http.post("/oauth/token", data=body)
    assert answer.is_success or answer.json()["error"] == "invalid_client", answer.text
    return answer.status_code


@pytest.mark.asvs("10.4.16")
async def test_a_signature_of_the_registered_key_counts_once(world: World) -> None:
    app, key = await registered(world)
    for audience in (ORIGIN, f"{ORIGIN}/oauth/token"):
        sent = assertion(world, app, key, aud=audience)
        answers = await asyncio.gather(*(status(app, sent) for _ in range(20)))
        assert sorted(answers) == [200] + [401] * 19
    assert await status(app, assertion(world, app, key), client_id=app.client.id) == 200


@pytest.mark.asvs("10.4.16")
@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "x"}, {"sub": "x"}, {"aud": "https://evil.example"}, {"aud": [ORIGIN]}, {"aud": ...}, {"exp": ...},
        {"exp": 0}, {"exp": 2**40}, {"exp": "soon"}, {"jti": ...}, {"jti": ""}, {"nbf": 2**40},
        {"header": {"alg": "none"}}, {"header": {"alg": "HS256"}}, {"header": {"alg": "RS256"}},
        {"header": {"kid": "two"}}, {"header": {"crit": ["exp"]}},
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_not_quite_one_is_refused(world: World, changed: dict[str, Any]) -> None:
    app, key = await registered(world)
    assert await status(app, assertion(world, app, key, **changed)) == 401


async def test_keys_that_an_assertion_brings_along_are_nobodys(world: World) -> None:
    app, _ = await registered(world)
    thief = Key(world)
    public = thief.jwk.as_dict(private=False)
    for header in ({}, {"jwk": public}, {"jku": "https://evil.example/jwks"}, {"x5c": ["MIIB"]}):
        assert await status(app, assertion(world, app, thief, header)) == 401


async def test_another_clients_assertion_is_its_own(world: World) -> None:
    (app, key), (other, _) = await registered(world), await registered(world)
    assert await status(app, assertion(world, app, key), client_id=other.client.id) == 401
    basic = await register_service(world)
    assert await status(app, assertion(world, basic, key)) == 401


@pytest.mark.parametrize("wrong", [None, {}, {"keys": []}, {"keys": ["x"]}, {"keys": [{"kty": "oct", "k": "AA"}]}])
def test_what_is_no_set_of_public_keys_is_not_registered(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"key|keys"):
        check_public_keys(wrong)


def test_a_private_key_is_not_registered(world: World) -> None:
    with pytest.raises(ValueError, match="private"):
        check_public_keys({"keys": [Key(world).jwk.as_dict(private=True)]})


# Those who only try ---------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.4.1")
async def test_a_flood_of_made_up_apps_is_slowed_and_leaves_a_row_a_minute(world: World) -> None:
    app = await register(world)
    for number in range(100):
        answer = await app.http.post(
            "/oauth/token", data={"grant_type": "refresh_token"}, headers=basic(f"app-{number}", "x")
        )
        assert answer.status_code == 401
    refused = await app.http.post("/oauth/introspect", data={"token": "x"}, headers=basic("app", "x"))
    assert (refused.status_code, refused.json()["error"]) == (429, "temporarily_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert await written(world) == [{"client": "unknown", "why": "unknown client or wrong secret", "refused": 1}]
    assert (await app.introspect("x")) == {"active": False}, "nobody keeps an app out"


@pytest.mark.asvs("16.3.1")
async def test_the_audit_names_the_app_that_somebody_tries_to_be(world: World) -> None:
    app, key = await registered(world)
    secret = await register(world)
    await app.http.post("/oauth/introspect", data={"token": "x"}, headers=basic(secret.client.id, "a guess"))
    world.clock.advance(1)  # ids alone put events in order
    assert await status(app, assertion(world, app, key, aud="elsewhere")) == 401
    assert [payload["client"] for payload in await written(world)] == [secret.client.id, app.client.id]


@pytest.mark.asvs("2.4.1")
async def test_whoever_says_that_they_are_a_public_app_leaves_nothing_behind(world: World) -> None:
    app, own = await register_public(world), Key(world)
    before = await dump(world.services.db)
    nonsense = await app.http.post(
        "/oauth/token", data={"client_id": app.client.id, "grant_type": "nonsense"}, headers={"dpop": own.proof()}
    )
    assert nonsense.json()["error"] == "unsupported_grant_type"
    for number in range(150):
        for made_up in (
            {"grant_type": "refresh_token", "refresh_token": "made up"},
            {"grant_type": "authorization_code", "code": "made up", "code_verifier": "v" * 43},
        ):
            answer = await app.token(own.proof() if number < 5 else None, **made_up)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    after = await dump(world.services.db)
    assert after == before, "proofs are for what counts"


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()}


async def written(world: World) -> list[dict[str, Any]]:
    """What the audit says of apps that failed."""
    found = [json.loads(row.payload or "") for row in await audited(world, "authn_login_fail")]
    return [{name: value for name, value in one.items() if name != "device"} for one in found if "client" in one]
