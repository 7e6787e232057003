"""Forged, altered, misdirected and outdated tokens at an app (C49; RFC 8725; RFC 9068 §4)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from doorward_client import InvalidToken, Settings, Unavailable
from doorward_client.flows import Call, Exclusive, Flow
from doorward_client.jws import encode
from doorward_client.provider import Provider, VerificationKey
from doorward_client.testing import Issuer, MovableClock, User
from doorward_client.testing.issuer import Client, algorithm, public, sign
from tests.support.client_calls import Asked, guarding

ALGORITHMS = ["ES256", "EdDSA", "RS256"]


@pytest.fixture(params=["threads", "tasks"])
def guard(request: pytest.FixtureRequest, settings: Settings, doorward_clock: MovableClock) -> Iterator[Asked]:
    with guarding(request.param, settings, doorward_clock.as_clock(real_monotonic=True)) as guard:
        yield guard


@pytest.fixture
def good(doorward_issuer: Issuer, app: Client, ada: User) -> str:
    return doorward_issuer.access_token(ada, app)


@pytest.fixture
def claims(good: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(opened(good, 1))
    return found


def opened(token: str, part: int) -> bytes:
    text = token.split(".")[part]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def refuse(guard: Asked, token: str) -> None:
    with pytest.raises(InvalidToken):
        guard.verify(token)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_good_token_tells_who_it_is(guard: Asked, doorward_issuer: Issuer, app: Client, ada: User, alg: Any) -> None:
    doorward_issuer.add_key(alg)
    ada.claims["coins"] = 5
    principal = guard.verify(doorward_issuer.access_token(ada, app, scope="read write", sid="s1"))
    assert (principal.sub, principal.sid, principal.amr, principal.acr) == (ada.sub, "s1", ("pwd",), "aal1")
    assert (principal.scope, principal.roles) == (frozenset({"read", "write"}), frozenset({"editor"}))
    assert principal.claims["coins"] == 5


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_is_refused(guard: Asked, good: str, alg: str) -> None:
    header = {**json.loads(opened(good, 0)), "alg": alg}
    for signature in ("", good.rpartition(".")[2]):
        refuse(guard, f"{encode(json.dumps(header).encode())}.{good.split('.')[1]}.{signature}")


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    guard: Asked, doorward_issuer: Issuer, good: str, alg: str
) -> None:
    key = doorward_issuer.keys[-1]
    start = f"{encode(json.dumps({**json.loads(opened(good, 0)), 'alg': alg}).encode())}.{good.split('.')[1]}"
    secrets = [key.as_pem(private=False), key.as_der(private=False), json.dumps(public(key)).encode()]
    for secret in secrets:
        digest = hmac.digest(secret, start.encode(), hashlib.new(f"sha{alg[2:]}").name)
        refuse(guard, f"{start}.{encode(digest)}")


@pytest.mark.asvs("9.1.2")
def test_a_key_is_for_one_algorithm(guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any]) -> None:
    rsa = doorward_issuer.add_key("RS256")
    assert guard.verify(doorward_issuer.sign(claims)).sub == claims["sub"]
    for alg in ("PS256", "RS512", "ES256", "EdDSA"):
        head = {"alg": alg, "typ": "at+jwt", "kid": rsa.thumbprint()}
        refuse(guard, sign(head, json.dumps(claims).encode(), rsa))


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_a_token_that_brings_its_own_key_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], member: str
) -> None:
    mine = ECKey.generate_key("P-256", private=True)
    offered: Any = {"jwk": public(mine), "jku": f"{doorward_issuer.url}/mine", "x5c": ["MIIB"]}.get(
        member, "https://evil.example"
    )
    for kid in (mine.thumbprint(), doorward_issuer.keys[-1].thumbprint()):
        head = {"alg": "ES256", "typ": "at+jwt", "kid": kid, member: offered}
        refuse(guard, sign(head, json.dumps(claims).encode(), mine))
    offers: dict[str, Any] = {member: offered}
    refuse(guard, doorward_issuer.sign(claims, **offers))  # even well signed
    assert "/mine" not in doorward_issuer.asked


@pytest.mark.parametrize(
    "more", [{"crit": ["x"], "x": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}]
)
def test_a_header_with_anything_more_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], more: dict[str, Any]
) -> None:
    refuse(guard, doorward_issuer.sign(claims, **more))


@pytest.mark.parametrize(
    "kid", [None, 1, ["a"], {"a": 1}, "", "../../etc/passwd", "' OR 1=1 --", "a" * 129, "a" * 4000, "\x00", "toString"],
    ids=lambda kid: f"{str(kid)[:20]!r}x{len(str(kid))}",
)  # fmt: skip
def test_no_trick_with_the_key_id_finds_a_key(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], kid: object
) -> None:
    refuse(guard, doorward_issuer.sign(claims, kid=kid))


@pytest.mark.asvs("9.1.1")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_altered_token_is_refused(guard: Asked, doorward_issuer: Issuer, app: Client, ada: User, alg: Any) -> None:
    doorward_issuer.add_key(alg)
    token = doorward_issuer.access_token(ada, app)
    guard.verify(token)
    head, payload, signature = token.split(".")
    other = encode(opened(token, 1).replace(b'"editor"', b'"admins"'))
    refuse(guard, f"{head}.{other}.{signature}")
    for changed in (signature[:-4], signature + "AAAA", "A" * len(signature), signature[::-1], ""):
        refuse(guard, f"{head}.{payload}.{changed}")


def test_a_token_written_in_any_other_way_is_refused(guard: Asked, good: str) -> None:
    guard.verify(good)
    last = chr(ord(good[-1]) + 1)  # the bits of the last letter that stand for nothing
    for written in (
        good.upper(),
        f" {good}",
        f"{good}\n",
        f"{good}=",
        f"{good}.x",
        f"{good}é",
        f".{good}",
        "",
        good * 20,
    ):
        refuse(guard, written)
    refuse(guard, good.replace(".", "..", 1))
    refuse(guard, good[:-1] + last)


@pytest.mark.asvs("9.2.2")
@pytest.mark.parametrize("typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "dpop+jwt", "", None, 1])
def test_a_token_of_another_type_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], typ: Any
) -> None:
    refuse(guard, doorward_issuer.sign(claims, typ))


@pytest.mark.asvs("9.2.2")
def test_an_id_token_is_no_access_token(guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any]) -> None:
    refuse(guard, doorward_issuer.sign({**claims, "nonce": "n"}, "JWT"))


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("seconds", [600, 601, 100_000])
def test_a_token_ends_at_its_second(guard: Asked, good: str, doorward_clock: MovableClock, seconds: int) -> None:
    doorward_clock.advance(599.9)
    guard.verify(good)
    doorward_clock.advance(seconds - 599.9)
    refuse(guard, good)
    refuse(guard, good)


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_of_the_future_is_refused_beyond_sixty_seconds(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], name: str
) -> None:
    assert guard.verify(doorward_issuer.sign({**claims, name: claims["iat"] + 60})).sub
    refuse(guard, doorward_issuer.sign({**claims, name: claims["iat"] + 61}))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "jti", "client_id"])
@pytest.mark.parametrize("value", [..., None, {}, 1.5, True, ["app"], "", -1], ids=repr)
def test_a_claim_that_is_missing_or_of_another_type_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], name: str, value: object
) -> None:
    changed = {**claims, name: value}
    refuse(guard, doorward_issuer.sign({name: value for name, value in changed.items() if value is not ...}))


@pytest.mark.parametrize(
    "changed",
    [{"roles": "editor"}, {"scope": ["read"]}, {"amr": [1]}, {"sid": 1}, {"fid": 1}, {"auth_time": "1"}, {"cnf": {}},
     {"cnf": {"x5t#S256": "a"}}, {"cnf": "a"}],
)  # fmt: skip
def test_a_claim_that_grants_something_is_not_guessed_at(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], changed: dict[str, Any]
) -> None:
    refuse(guard, doorward_issuer.sign({**claims, **changed}))


@pytest.mark.asvs("9.2.3")
@pytest.mark.parametrize("aud", ["other", "app/", "APP", "*", ["app"], ["app", "other"], {"app": 1}])
def test_a_token_for_somebody_else_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], aud: object
) -> None:
    refuse(guard, doorward_issuer.sign({**claims, "aud": aud}))


@pytest.mark.asvs("9.1.3")
def test_a_token_of_another_issuer_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], doorward_clock: MovableClock
) -> None:
    for iss in ("https://evil.example", doorward_issuer.url + "/", doorward_issuer.url.upper()):
        refuse(guard, doorward_issuer.sign({**claims, "iss": iss}))
    with Issuer(doorward_clock) as other:
        refuse(guard, other.sign({**claims, "iss": doorward_issuer.url}))


@pytest.mark.parametrize("raw", [b"[]", b"null", b"{", b"\xff", b'{"exp":NaN}', b"[" * 5000, b'{"a":' * 1000, b""])
def test_claims_that_are_no_json_object_are_refused(guard: Asked, doorward_issuer: Issuer, raw: bytes) -> None:
    key = doorward_issuer.keys[-1]
    refuse(guard, sign({"alg": algorithm(key), "typ": "at+jwt", "kid": key.thumbprint()}, raw, key))


@pytest.mark.parametrize("name", ["aud", "exp", "sub"])
def test_a_claim_given_twice_is_refused(
    guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any], name: str
) -> None:
    key = doorward_issuer.keys[-1]
    twice = f'{{"{name}":"evil",{json.dumps(claims)[1:]}'
    refuse(guard, sign({"alg": "ES256", "typ": "at+jwt", "kid": key.thumbprint()}, twice.encode(), key))


# Keys ----------------------------------------------------------------------------------------------------------------


def keys_read(issuer: Issuer) -> int:
    return issuer.asked.count("/.well-known/jwks.json")


def test_keys_are_read_once(guard: Asked, doorward_issuer: Issuer, app: Client, ada: User) -> None:
    for _ in range(20):
        guard.verify(doorward_issuer.access_token(ada, app))
    assert keys_read(doorward_issuer) == 1


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_unknown_key_ids_make_us_ask_at_most_every_five_seconds(
    settings: Settings, doorward_issuer: Issuer, app: Client, ada: User, doorward_clock: MovableClock, kind: str
) -> None:
    stranger = ECKey.generate_key("P-256", private=True)
    with guarding(kind, settings, doorward_clock.as_clock()) as guard:
        guard.verify(doorward_issuer.access_token(ada, app))
        for number in range(50):
            refuse(guard, sign({"alg": "ES256", "typ": "at+jwt", "kid": str(number)}, b"{}", stranger))
        assert keys_read(doorward_issuer) == 1
        doorward_clock.advance(5)
        doorward_issuer.add_key()
        assert guard.verify(doorward_issuer.access_token(ada, app)).sub
        assert keys_read(doorward_issuer) == 2


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_a_key_that_is_published_no_more_is_believed_no_more(
    settings: Settings, doorward_issuer: Issuer, app: Client, ada: User, doorward_clock: MovableClock, kind: str
) -> None:
    with guarding(kind, settings, doorward_clock.as_clock()) as guard:
        doorward_clock.advance(-10)
        guard.verify(doorward_issuer.access_token(ada, app))
        doorward_clock.advance(595)
        long = doorward_issuer.access_token(ada, app)
        guard.verify(long)
        stolen = doorward_issuer.keys.pop()
        doorward_issuer.add_key()
        doorward_clock.advance(6)
        theirs = doorward_issuer.access_token(ada, app)
        assert guard.verify(theirs).sub
        head = {"alg": "ES256", "typ": "at+jwt", "kid": stolen.thumbprint()}
        refuse(guard, sign(head, opened(theirs, 1), stolen))
        refuse(guard, long)  # though it was verified before


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_keys_that_cannot_be_had_are_no_reason_to_believe_and_not_asked_for_again_at_once(
    settings: Settings, doorward_issuer: Issuer, good: str, doorward_clock: MovableClock, kind: str
) -> None:
    with guarding(kind, settings, doorward_clock.as_clock()) as guard:
        doorward_issuer.broken.add("/.well-known/jwks.json")
        for _ in range(10):
            with pytest.raises(Unavailable):
                guard.verify(good)
        assert keys_read(doorward_issuer) == 1
        doorward_issuer.broken.clear()
        doorward_clock.advance(5)
        assert guard.verify(good).sub


def test_the_five_seconds_begin_when_an_attempt_has_ended_however_long_it_took(doorward_clock: MovableClock) -> None:
    provider = Provider("https://id.example", doorward_clock.as_clock())

    def attempt() -> Flow[None]:
        step = provider.find("k").send(None)
        assert isinstance(step, Exclusive)
        return step.flow()

    first = attempt()
    assert isinstance(first.send(None), Call)
    doorward_clock.advance(5)
    with pytest.raises(Unavailable, match="no answer"):
        first.throw(Unavailable("no answer"))
    with pytest.raises(Unavailable):
        attempt().send(None)
    doorward_clock.advance(5)
    assert isinstance(attempt().send(None), Call)


@pytest.mark.asvs("11.2.3")
def test_weak_private_and_misused_keys_are_passed_over() -> None:
    with pytest.warns(SecurityWarning):
        weak = RSAKey.generate_key(1024, private=True)
    good = ECKey.generate_key("P-256", private=True)
    other = ECKey.generate_key("P-384", private=True)
    for jwk in (
        weak.as_dict(private=False),
        good.as_dict(private=True),
        {**good.as_dict(private=False), "use": "enc"},
        {**good.as_dict(private=False), "alg": "RS256"},
        {**good.as_dict(private=False), "y": good.as_dict(private=False)["x"]},
        other.as_dict(private=False),
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "P-256"},
        {},
    ):
        with pytest.raises(ValueError, match=r"."):
            VerificationKey.read(jwk, "k")


# The cache -----------------------------------------------------------------------------------------------------------


def test_a_token_is_remembered_while_it_is_used_and_no_more_are_than_there_is_room_for(
    guard: Asked, doorward_issuer: Issuer, app: Client, ada: User
) -> None:
    guard.core.tokens.size = 8
    used, unused = (doorward_issuer.access_token(ada, app) for _ in range(2))
    kept, first = guard.verify(used), guard.verify(unused)
    assert guard.verify(unused) is first
    for _ in range(20):
        guard.verify(doorward_issuer.access_token(ada, app))
        assert guard.verify(used) is kept
        assert len(guard.core.tokens) <= 8
    assert guard.verify(unused) is not first


def test_refused_tokens_are_not_kept(guard: Asked, doorward_issuer: Issuer, claims: dict[str, Any]) -> None:
    for number in range(20):
        refuse(guard, doorward_issuer.sign({**claims, "iss": f"https://evil{number}.example"}))
    assert len(guard.core.tokens) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"issuer": "http://id.example"}, {"issuer": "https://id.example/"}, {"issuer": "https://u:p@id.example"},
     {"issuer": "https://id.example?x"}, {"issuer": "ftp://127.0.0.1"}, {"issuer": ""}, {"client_id": ""},
     {"client_secret": None}, {"app_url": "http://app.example"}, {"app_url": "https://app.example/path"},
     {"require_dpop": True, "app_url": None}, {"revocation": "introspect"}, {"revocation": "Feed"},
     {"private_key": "key.pem"}, {"revocation": "none"},
     {"revocation": ""}, {"app_url": "https://App.example"},
     {"app_url": "https://app.example:443"}, {"app_url": "http://localhost:80"}, {"app_url": "https://app.example:"},
     {"app_url": "https://app.example:70000"}, {"app_url": "https://bücher.example"}, {"prefix": ""}, {"prefix": "/"},
     {"prefix": "auth"}, {"prefix": "/auth/"}, {"prefix": "//auth"}, {"prefix": "/a b"}, {"prefix": "/auth?"},
     {"after_sign_out": "//evil.example"}, {"after_sign_out": "/\\evil.example"}, {"after_sign_out": "bye"},
     {"after_sign_out": "http://evil.example"}, {"after_sign_out": "javascript:1"}, {"after_sign_out": "/\r\nx: y"}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_safe_are_refused(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"issuer": "https://id.example", "client_id": "a", "client_secret": "s"}
    for url in ("https://app.example", "https://app.example:8443", "http://localhost:5001", "http://[::1]:5001"):
        Settings(**right, app_url=url, prefix="/sign/in", after_sign_out="/bye?from=app")
    Settings(**right, after_sign_out="https://www.example/bye")
    with pytest.raises(ValueError, match=next(iter(wrong))[:5]):
        Settings(**{**right, **wrong})
