"""Proofs of possession that are forged, replayed or meant for something else (RFC 9449 §4.3, §11; ASVS 10.3.5)."""

import asyncio
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from doorward.tokens.jose import sign
from tests.http.conftest import World
from tests.support.apps import App, Key, claims_of, member, register, register_public, register_service

USERINFO = "/oauth/userinfo"


async def bound(world: World) -> tuple[App, Key, str]:
    """A token that is bound to a key."""
    app, ada, key = await register_public(world), await member(world), Key(world)
    return app, key, (await app.tokens(ada, key.proof()))["access_token"]


@pytest.mark.asvs("10.3.5")
async def test_a_bound_token_counts_with_its_proof_alone(world: World) -> None:
    app, key, token = await bound(world)
    right = await app.userinfo(token, "DPoP", dpop=key.proof("GET", USERINFO, token))
    assert right.status_code == 200
    tries: dict[str, tuple[str, dict[str, str]]] = {
        "as a bearer token": ("Bearer", {}),
        "as a bearer token with a proof": ("Bearer", {"dpop": key.proof("GET", USERINFO, token)}),
        "without a proof": ("DPoP", {}),
        "another key": ("DPoP", {"dpop": Key(world).proof("GET", USERINFO, token)}),
        "another token": ("DPoP", {"dpop": key.proof("GET", USERINFO, "another")}),
        "no ath": ("DPoP", {"dpop": key.proof("GET", USERINFO)}),
        "another method": ("DPoP", {"dpop": key.proof("POST", USERINFO, token)}),
        "another place": ("DPoP", {"dpop": key.proof("GET", "/oauth/token", token)}),
    }
    for what, (scheme, headers) in tries.items():
        refused = await app.userinfo(token, scheme, **headers)
        assert refused.status_code in {400, 401}, what
        assert refused.json()["error"] in {"invalid_token", "invalid_dpop_proof"}, what


async def test_a_proof_does_not_make_a_bearer_token_a_bound_one(world: World) -> None:
    app, ada, key = await register(world), await member(world), Key(world)
    token = (await app.tokens(ada))["access_token"]
    assert (await app.userinfo(token, "DPoP", dpop=key.proof("GET", USERINFO, token))).status_code == 401


@pytest.mark.asvs("10.3.5")
async def test_a_proof_counts_once_also_among_twenty_at_once(world: World) -> None:
    app, key, token = await bound(world)
    proof = key.proof("GET", USERINFO, token)
    answers = await asyncio.gather(*(app.userinfo(token, "DPoP", dpop=proof) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    world.clock.advance(59)
    assert (await app.userinfo(token, "DPoP", dpop=proof)).status_code == 400


@pytest.mark.parametrize(("seconds", "good"), [(-60, True), (-61, False), (60, True), (61, False)])
async def test_a_proof_is_of_this_minute(world: World, seconds: int, *, good: bool) -> None:
    service = await register_service(world)
    now = world.clock.now() // 1_000_000
    answer = await service.token(Key(world).proof(iat=now + seconds), grant_type="client_credentials")
    assert answer.is_success is good


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize(
    "changed",
    [
        {"htm": "GET"}, {"htm": ...}, {"htu": "https://evil.example/oauth/token"}, {"htu": ...}, {"iat": ...},
        {"iat": "now"}, {"iat": 1.5}, {"iat": True}, {"jti": ...}, {"jti": ""}, {"jti": 7}, {"jti": "x" * 201},
        {"header": {"typ": "JWT"}}, {"header": {"crit": ["exp"]}}, {"header": {"jwk": "x"}}, {"header": {"jwk": None}},
    ],
    ids=str,
)  # fmt: skip
async def test_a_proof_that_is_not_quite_one_is_refused(world: World, changed: dict[str, Any]) -> None:
    service, key = await register_service(world), Key(world)
    proof = key.proof(**changed)
    refused = await service.token(proof, grant_type="client_credentials")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.asvs("9.1.2")
async def test_keys_that_nobody_should_sign_with_are_refused(world: World) -> None:
    service, own = await register_service(world), Key(world)
    private = own.jwk.as_dict(private=True)
    proofs = {
        "private": own.proof(header={"jwk": private}),
        "another key than it names": own.proof(header={"jwk": Key(world).jwk.as_dict(private=False)}),
        "another curve": own.proof(header={"jwk": ECKey.generate_key("P-384").as_dict(private=False)}),
        "symmetric": own.proof(header={"jwk": {"kty": "oct", "k": "AAAA"}}),
        "weak": own.proof(header={"alg": "RS256", "jwk": {"kty": "RSA", "n": "x" * 340, "e": "AQAB"}}),
        "none": own.proof(header={"alg": "none"}),
        "HS256": own.proof(header={"alg": "HS256"}),
        "unsigned": own.proof().rpartition(".")[0] + ".",
        "nothing": "",
        "not a JWS": "x",
        "huge": "x" * 10_000,
    }  # fmt: skip
    for what, proof in proofs.items():
        refused = await service.token(proof, grant_type="client_credentials")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof"), what
    key = OKPKey.generate_key("Ed25519", private=True)
    good: Any = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.as_dict(private=False)}
    proof = sign(good, claims_of(own.proof()), key)
    assert (await service.token(proof, grant_type="client_credentials")).status_code == 200


@pytest.mark.asvs("10.4.14")
async def test_a_client_registered_for_proofs_gets_nothing_without(world: World) -> None:
    service = await register_service(world, dpop=True)
    assert (await service.token(grant_type="client_credentials")).json()["error"] == "invalid_dpop_proof"
    answer = (await service.token(Key(world).proof(), grant_type="client_credentials")).json()
    assert answer["token_type"] == "DPoP"


async def test_two_proofs_are_none(world: World) -> None:
    service = await register_service(world)
    key = Key(world)
    headers = [*service.basic.items(), ("dpop", key.proof()), ("dpop", key.proof())]
    answer = await service.http.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=headers)
    assert answer.status_code == 400
