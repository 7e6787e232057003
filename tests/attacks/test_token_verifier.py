"""Forged, altered, misdirected and outdated access tokens.

ASVS 9.1.1, 9.1.2, 9.1.3, 9.2.1, 9.2.2, 9.2.3; RFC 8725 §2 and §3; C49.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from doorward.adapters.sealing import KeyFileSealer
from doorward.kernel.errors import NotSignedIn
from doorward.kernel.instant import SECOND
from doorward.testing import MovableClock
from doorward.tokens import AccessTokens, SigningKeys
from doorward.tokens.service import VerifiedTokens
from tests.support.databases import migrate, open_database

ISSUER = "https://id.example"
APP = "https://app.example"
NOW = MovableClock().now() // SECOND
STRANGERS = ECKey.import_key(  # RFC 7515 appendix A.3
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    }
)
GOOD_CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "user-1",
    "aud": ISSUER,
    "client_id": "doorward",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 600,
    "jti": "token-1",
    "sid": "session-1",
    "auth_time": NOW,
    "amr": ["pwd"],
    "acr": "aal1",
}


@pytest.fixture(scope="module")
def keys() -> Iterator[SigningKeys]:
    """Keys made once for the file: nothing here changes them."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"{folder}/test.db")
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            yield runner.run(_keys(Path(folder)))


async def _keys(folder: Path) -> SigningKeys:
    database = await open_database(f"{folder}/test.db")
    keys = SigningKeys(database, MovableClock(), KeyFileSealer.open_or_create(folder / "sealing.key"))
    await keys.ready()
    await database.close()
    return keys


@pytest.fixture
def tokens(keys: SigningKeys, clock: MovableClock) -> AccessTokens:
    return AccessTokens(keys, ISSUER, clock)


@pytest.fixture
def good(tokens: AccessTokens, clock: MovableClock) -> str:
    return tokens.issue(user_id="user-1", sid="session-1", auth_time=clock.now(), amr=("pwd",), audience=ISSUER)


def encode(part: bytes | dict[str, Any] | list[Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(decode(token.partition(".")[0]))
    return header


def private_key(keys: SigningKeys) -> ECKey:
    kid = json.loads(keys.jwks())["keys"][0]["kid"]
    found = next(key.jwk for key in keys._keys.values() if key.kid == kid)  # noqa: SLF001  an insider's forgery
    assert isinstance(found, ECKey)
    return found


def es256(signed: str, key: ECKey) -> str:
    """Sign any two segments as they are, which no library would."""
    return f"{signed}.{encode(jws.default_registry.algorithms['ES256'].sign(signed.encode(), key))}"


def forge(keys: SigningKeys, claims: bytes | dict[str, Any] | list[Any], **header: Any) -> str:
    """Make a token with our own key: what only a bug elsewhere could have signed."""
    kid = json.loads(keys.jwks())["keys"][0]["kid"]
    given = {"alg": "ES256", "typ": "at+jwt", "kid": kid, **header}
    kept = {name: value for name, value in given.items() if value is not ...}
    return es256(f"{encode(kept)}.{encode(claims)}", private_key(keys))


def refuse(tokens: AccessTokens, token: str, audience: str = ISSUER) -> str:
    """Expect a refusal, twice (the second time nothing may come from the cache), and give its private reason."""
    reasons = set()
    for _ in range(2):
        with pytest.raises(NotSignedIn) as refused:
            tokens.verify(token, audience)
        assert refused.value.detail == "You are not signed in"
        reasons.add(refused.value.reason)
    (reason,) = reasons
    return reason.removeprefix("access token: ")


def test_an_issued_token_is_believed_and_says_what_was_issued(
    tokens: AccessTokens, good: str, clock: MovableClock
) -> None:
    claims = tokens.verify(good, ISSUER)
    assert (claims.iss, claims.aud, claims.sub, claims.sid) == (ISSUER, ISSUER, "user-1", "session-1")
    assert (claims.amr, claims.acr, claims.auth_time) == (("pwd",), "aal1", clock.now() // SECOND)
    assert claims.exp - claims.iat == 600
    assert header_of(good)["typ"] == "at+jwt"


def test_a_forged_twin_of_a_good_token_is_believed_so_that_the_refusals_below_mean_something(
    tokens: AccessTokens, keys: SigningKeys
) -> None:
    assert tokens.verify(forge(keys, GOOD_CLAIMS), ISSUER).sub == "user-1"


# Algorithms ----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "null"])
@pytest.mark.parametrize("signature", ["", "A" * 86, "x"])
def test_an_unsigned_token_is_refused(tokens: AccessTokens, good: str, alg: str, signature: str) -> None:
    _, payload, _ = good.split(".")
    refuse(tokens, f"{encode({**header_of(good), 'alg': alg})}.{payload}.{signature}")


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("alg", ["none", "ES384", "ES256K", "RS256", "EdDSA", "es256", "ES256 ", ["ES256"], None, 256])
def test_another_algorithm_name_is_refused_even_over_a_right_signature(
    tokens: AccessTokens, keys: SigningKeys, alg: object
) -> None:
    assert refuse(tokens, forge(keys, GOOD_CLAIMS, alg=alg)) == "header is not one of ours"


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["PEM", "DER", "jwk", "jwks", "point", "x"])
def test_an_hmac_keyed_with_the_public_key_is_refused(
    tokens: AccessTokens, keys: SigningKeys, good: str, alg: str, form: str
) -> None:
    public = json.loads(keys.jwks())["keys"][0]
    key = ECKey.import_key(public)
    secret: dict[str, Callable[[], bytes]] = {
        "PEM": lambda: key.as_pem(private=False),
        "DER": lambda: key.as_der(private=False),
        "jwk": lambda: json.dumps(public).encode(),
        "jwks": keys.jwks,
        "point": lambda: b"\x04" + decode(public["x"]) + decode(public["y"]),
        "x": public["x"].encode,
    }
    signed = f"{encode({**header_of(good), 'alg': alg})}.{good.split('.')[1]}"
    mac = hmac.digest(secret[form](), signed.encode(), getattr(hashlib, f"sha{alg[2:]}"))
    refuse(tokens, f"{signed}.{encode(mac)}")
    # The same MAC where a signature would stand, under the right header.
    refuse(tokens, f"{good.rsplit('.', 1)[0]}.{encode((mac + bytes(64))[:64])}")


# Keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize(
    "further",
    [
        {"jwk": STRANGERS.as_dict(private=False)},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA", "x5t#S256": "AAAA"},
        {},
    ],
    ids=["jwk", "jku", "x5u", "x5c", "x5t", "none"],
)
def test_a_key_that_the_token_brings_along_is_never_used(
    tokens: AccessTokens, good: str, further: dict[str, Any]
) -> None:
    refuse(tokens, es256(f"{encode({**header_of(good), **further})}.{encode(GOOD_CLAIMS)}", STRANGERS))


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize(
    "kid",
    [
        STRANGERS.thumbprint(), "../../../../dev/null", "/dev/null", "' UNION SELECT 'x' --", "", "0", "*", "\x00",
        None, 0, True, [], {}, ["x"], ...,
    ],
    ids=repr,
)  # fmt: skip
def test_a_kid_that_is_not_one_of_ours_is_refused(tokens: AccessTokens, keys: SigningKeys, kid: object) -> None:
    assert refuse(tokens, forge(keys, GOOD_CLAIMS, kid=kid)) == "header is not one of ours"
    empty_key = hmac.digest(b"\x00", b"x", "sha256")
    refuse(tokens, f"{forge(keys, GOOD_CLAIMS, kid=kid).rsplit('.', 1)[0]}.{encode(empty_key * 2)}")


@pytest.mark.asvs("9.1.1")
def test_the_signature_of_another_key_under_our_kid_is_refused(tokens: AccessTokens, good: str) -> None:
    assert refuse(tokens, es256(f"{good.partition('.')[0]}.{encode(GOOD_CLAIMS)}", STRANGERS)) == "signature"


# The signature and the three parts -----------------------------------------------------------------------------------


@pytest.mark.asvs("9.1.1")
def test_other_claims_under_a_right_signature_are_refused(tokens: AccessTokens, good: str) -> None:
    header, payload, signature = good.split(".")
    claims = {**json.loads(decode(payload)), "sub": "user-2"}
    assert refuse(tokens, f"{header}.{encode(claims)}.{signature}") == "signature"


@pytest.mark.asvs("9.1.1")
@pytest.mark.parametrize(
    "signature",
    [bytes(64), b"\xff" * 64, bytes(63) + b"\x01", b"\x01" * 63, b"\x01" * 65, b"", bytes(31) + b"\x01" + bytes(32)],
    ids=["zero", "ones", "r=0", "short", "long", "empty", "s=0"],
)
def test_a_signature_of_special_numbers_is_refused(tokens: AccessTokens, good: str, signature: bytes) -> None:
    """CVE-2022-21449: r = s = 0 was right for every message."""
    refuse(tokens, f"{good.rsplit('.', 1)[0]}.{encode(signature)}")


@pytest.mark.asvs("9.1.1")
def test_a_der_signature_is_refused(tokens: AccessTokens, good: str, keys: SigningKeys) -> None:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415  for this one test
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey  # noqa: PLC0415

    private = private_key(keys).get_op_key("sign")
    assert isinstance(private, EllipticCurvePrivateKey)
    signed = good.rsplit(".", 1)[0]
    refuse(tokens, f"{signed}.{encode(private.sign(signed.encode(), ECDSA(hashes.SHA256())))}")


def variants(good: str) -> dict[str, str]:
    header, payload, signature = good.split(".")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = letters[letters.index(signature[-1]) + 1]  # differs only in bits that decode to nothing
    spaced = encode(json.dumps(json.loads(decode(header))).encode())
    return {
        "empty": "",
        "dots": "..",
        "one part": header,
        "two parts": f"{header}.{payload}",
        "no signature": f"{header}.{payload}.",
        "trailing dot": good + ".",
        "leading dot": "." + good,
        "four parts": f"{good}.{signature}",
        "five parts (JWE)": f"{header}..{payload}.{payload}.{signature}",
        "doubled dot": f"{header}..{payload}.{signature}",
        "trailing newline": good + "\n",
        "leading newline": "\n" + good,
        "newline within": f"{header}.{payload[:5]}\n{payload[5:]}.{signature}",
        "crlf in the signature": f"{header}.{payload}.{signature[:9]}\r\n{signature[9:]}",
        "space": good + " ",
        "tab": f"{header}\t.{payload}.{signature}",
        "nul": good + "\x00",
        "padding": good + "==",
        "padding of the header": f"{header}=.{payload}.{signature}",
        "padding of the payload": f"{header}.{payload}=.{signature}",
        "standard alphabet": f"{header}.{payload}.{signature[:-2]}+/",
        "unused bits": f"{header}.{payload}.{signature[:-1]}{sibling}",
        "signature cut": good[:-1],
        "signature grown": good + "A",
        "other header spelling": f"{spaced}.{payload}.{signature}",
        "swapped": f"{payload}.{header}.{signature}",
        "no header": f".{payload}.{signature}",
        "no payload": f"{header}..{signature}",
        "wide letters": good.replace("e", "\uff45", 1),
        "cyrillic letter": good.replace("e", "\u0435", 1),
        "surrogate": good + "\ud800",
        "quoted": f'"{good}"',
        "with scheme": f"Bearer {good}",
        "JSON serialization": json.dumps({"protected": header, "payload": payload, "signature": signature}),
        "percent-encoded": good.replace(".", "%2E"),
    }


@pytest.mark.asvs("9.1.1")
@pytest.mark.parametrize("name", variants(f"e30.e30.{'A' * 86}"))
def test_a_token_written_in_any_other_way_is_refused(tokens: AccessTokens, good: str, name: str) -> None:
    tokens.verify(good, ISSUER)  # also while the good one is cached
    refuse(tokens, variants(good)[name])


def test_a_huge_token_is_refused_before_anything_is_done_with_it(tokens: AccessTokens, keys: SigningKeys) -> None:
    assert refuse(tokens, "a" * 100_000_000) == "size or letters"
    assert refuse(tokens, forge(keys, {**GOOD_CLAIMS, "x": "y" * 8192})) == "size or letters"


# Headers -------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.2.2")
@pytest.mark.parametrize(
    "typ", [..., None, "", "JWT", "jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "at+jwt ", 1]
)
def test_a_token_of_another_type_is_refused(tokens: AccessTokens, keys: SigningKeys, typ: object) -> None:
    assert refuse(tokens, forge(keys, GOOD_CLAIMS, typ=typ)) == "header is not one of ours"


@pytest.mark.asvs("9.2.2")
def test_an_id_token_is_not_an_access_token(tokens: AccessTokens, keys: SigningKeys) -> None:
    refuse(tokens, keys.sign({**GOOD_CLAIMS, "nonce": "n"}, "JWT"))


@pytest.mark.parametrize(
    "header",
    [{"crit": ["x"], "x": 1}, {"crit": []}, {"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]},
     {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}, {"enc": "A256GCM"}, {"x": 1}],
)  # fmt: skip
def test_a_header_with_anything_more_in_it_is_refused(
    tokens: AccessTokens, keys: SigningKeys, header: dict[str, Any]
) -> None:
    assert refuse(tokens, forge(keys, GOOD_CLAIMS, **header)) == "header is not one of ours"


@pytest.mark.parametrize("header", [b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'"at+jwt"', b"[" * 5000])
def test_a_header_that_is_no_object_is_refused(tokens: AccessTokens, keys: SigningKeys, header: bytes) -> None:
    refuse(tokens, es256(f"{encode(header)}.{encode(GOOD_CLAIMS)}", private_key(keys)))


def test_a_header_that_says_a_name_twice_is_refused(tokens: AccessTokens, good: str, keys: SigningKeys) -> None:
    kid = header_of(good)["kid"]
    for raw in (
        f'{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{kid}"}}',
        f'{{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"{kid}"}}',
        f'{{"alg":"ES256","typ":"at+jwt","kid":"{kid}","kid":"x"}}',
    ):
        refuse(tokens, es256(f"{encode(raw.encode())}.{encode(GOOD_CLAIMS)}", private_key(keys)))


# Claims --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", b"{}", b"[]", b"null", b"1", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b"{" * 5000, b"[" * 5000,
     json.dumps(GOOD_CLAIMS).encode()[:-1], json.dumps(GOOD_CLAIMS).encode() + b"x"],
)  # fmt: skip
def test_claims_that_are_no_json_object_are_refused(tokens: AccessTokens, keys: SigningKeys, payload: bytes) -> None:
    refuse(tokens, forge(keys, payload))


@pytest.mark.parametrize("name", ["exp", "aud", "iss", "sub"])
def test_a_claim_given_twice_is_refused(tokens: AccessTokens, keys: SigningKeys, name: str) -> None:
    """Two readers may take different ones."""
    text = json.dumps(GOOD_CLAIMS)
    twice = f"{text[:-1]},{json.dumps(name)}:{json.dumps(GOOD_CLAIMS[name])}}}"
    assert refuse(tokens, forge(keys, twice.encode())) == "claims are not JSON"


@pytest.mark.parametrize("name", GOOD_CLAIMS)
@pytest.mark.parametrize("value", [..., None, {}, 1.5, True])
def test_a_claim_that_is_missing_or_of_another_type_is_refused(
    tokens: AccessTokens, keys: SigningKeys, name: str, value: object
) -> None:
    claims = {**GOOD_CLAIMS, name: value}
    kept = {name: value for name, value in claims.items() if value is not ...}
    assert refuse(tokens, forge(keys, kept)) == f"claim {name}"


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize(
    "exp",
    [f"{NOW + 600}", NOW + 600.0, f"{NOW + 600}.0", True, False, -1, [NOW + 600], "Infinity", 1e400, 2**63, 2**70, "",
     "2030-01-01T00:00:00Z"],
    ids=repr,
)  # fmt: skip
def test_an_expiry_that_is_no_whole_number_of_seconds_is_refused(
    tokens: AccessTokens, keys: SigningKeys, exp: object
) -> None:
    refuse(tokens, forge(keys, {**GOOD_CLAIMS, "exp": exp}))


@pytest.mark.parametrize("raw", [b"NaN", b"Infinity", b"1e400", b"0x7fffffff", b"9" * 5000])
def test_numbers_that_are_not_json_are_refused(tokens: AccessTokens, keys: SigningKeys, raw: bytes) -> None:
    text = json.dumps({**GOOD_CLAIMS, "exp": "HERE"}).encode().replace(b'"HERE"', raw)
    refuse(tokens, forge(keys, text))


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("exp", [NOW, NOW - 1, 0, -5])
def test_a_token_that_has_ended_is_refused_without_leeway(tokens: AccessTokens, keys: SigningKeys, exp: int) -> None:
    refuse(tokens, forge(keys, {**GOOD_CLAIMS, "exp": exp}))


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused_beyond_sixty_seconds(
    tokens: AccessTokens, keys: SigningKeys, name: str
) -> None:
    assert tokens.verify(forge(keys, {**GOOD_CLAIMS, name: NOW + 60}), ISSUER).sub == "user-1"
    assert refuse(tokens, forge(keys, {**GOOD_CLAIMS, name: NOW + 61})) == "not yet valid"


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize(
    "iss", ["https://evil.example", ISSUER + "/", ISSUER.upper(), f"{ISSUER}.evil.example", [ISSUER]]
)
def test_another_issuer_is_refused(tokens: AccessTokens, keys: SigningKeys, iss: object) -> None:
    assert refuse(tokens, forge(keys, {**GOOD_CLAIMS, "iss": iss})) in {"iss", "claim iss"}


@pytest.mark.asvs("9.2.3")
@pytest.mark.parametrize("aud", [APP, ISSUER + "/", ISSUER.upper(), "*", [ISSUER], [APP, ISSUER], [], {ISSUER: 1}])
def test_another_audience_is_refused(tokens: AccessTokens, keys: SigningKeys, aud: object) -> None:
    assert refuse(tokens, forge(keys, {**GOOD_CLAIMS, "aud": aud})) in {"aud", "claim aud"}


# The cache -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.2.3")
def test_a_cached_token_is_still_refused_for_another_audience(tokens: AccessTokens, good: str) -> None:
    tokens.verify(good, ISSUER)
    assert refuse(tokens, good, APP) == "aud"


@pytest.mark.asvs("9.2.1")
def test_a_cached_token_ends_at_its_second(tokens: AccessTokens, good: str, clock: MovableClock) -> None:
    clock.advance(599)
    assert tokens.verify(good, ISSUER) is tokens.verify(good, ISSUER)
    clock.advance(0.999_999)
    assert tokens.verify(good, ISSUER).sub == "user-1"
    clock.advance(0.000_001)
    assert refuse(tokens, good) == "expired"


def test_refused_tokens_are_not_kept(tokens: AccessTokens, keys: SigningKeys) -> None:
    for number in range(50):
        refuse(tokens, forge(keys, {**GOOD_CLAIMS, "iss": f"https://evil{number}.example"}))
    assert len(tokens.verified) == 0


def test_the_cache_is_bounded_and_drops_what_was_not_used_for_longest(keys: SigningKeys, clock: MovableClock) -> None:
    tokens = AccessTokens(keys, ISSUER, clock, VerifiedTokens(3))
    made = [forge(keys, {**GOOD_CLAIMS, "jti": f"t{number}"}) for number in range(4)]
    kept = [tokens.verify(token, ISSUER) for token in made[:3]]
    assert tokens.verify(made[0], ISSUER) is kept[0]
    tokens.verify(made[3], ISSUER)
    assert len(tokens.verified) == 3
    assert tokens.verify(made[0], ISSUER) is kept[0]
    assert tokens.verify(made[1], ISSUER) is not kept[1]
