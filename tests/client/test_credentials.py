"""How an app shows the issuer who it is, where no secret is kept (RFC 7523)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from doorward_client import Settings
from doorward_client.credentials import Credentials
from doorward_client.testing import MovableClock

ISSUER = "https://id.example"


def settings(path: Path) -> Settings:
    return Settings(ISSUER, "app", private_key=path)


def test_each_assertion_is_for_the_issuer_alone_lasts_a_minute_and_is_another(
    tmp_path: Path, doorward_clock: MovableClock
) -> None:
    key = ECKey.generate_key("P-256", private=True)
    (tmp_path / "key").write_bytes(key.as_pem(private=True))
    credentials = Credentials.of(settings(tmp_path / "key"), doorward_clock.as_clock())
    one, two = (credentials.post(f"{ISSUER}/oauth/token", {"token": "t"}) for _ in range(2))
    assert one.form is not None
    assert two.form is not None
    assert "authorization" not in one.headers
    assert one.form["token"] == "t"
    claims, others = (jwt.decode(form["client_assertion"], key).claims for form in (one.form, two.form))
    now = int(doorward_clock.now())
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("app", "app", ISSUER)
    assert (claims["iat"], claims["exp"]) == (now, now + 60)
    assert claims["jti"] != others["jti"]


def test_what_cookies_are_sealed_with_is_not_known_from_the_public_half(
    tmp_path: Path, doorward_clock: MovableClock
) -> None:
    key = OKPKey.generate_key("Ed25519", private=True)
    (tmp_path / "key").write_text(json.dumps(key.as_dict(private=True)))
    secret = Credentials.of(settings(tmp_path / "key"), doorward_clock.as_clock()).secret
    assert len(secret) == 43
    assert secret not in json.dumps(key.as_dict(private=False))


def locked() -> bytes:
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))


WRONG: dict[str, Callable[[], Any]] = {
    "nothing": lambda: b"",
    "no key": lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "no json": lambda: b"{",
    "json": lambda: b'{"kty": "oct", "k": "AAAA", "d": "AAAA"}',
    "the public half": lambda: ECKey.generate_key("P-256", private=True).as_pem(private=False),
    "another curve": lambda: ECKey.generate_key("P-384", private=True).as_pem(private=True),
    "a passphrase": locked,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_without_a_key_that_can_be_used_is_refused_at_the_start(
    tmp_path: Path, doorward_clock: MovableClock, wrong: str
) -> None:
    (tmp_path / "key").write_bytes(WRONG[wrong]())
    with pytest.raises(ValueError, match="private_key"):
        Credentials.of(settings(tmp_path / "key"), doorward_clock.as_clock())
    with pytest.raises(ValueError, match="private_key"):
        Credentials.of(settings(tmp_path / "missing"), doorward_clock.as_clock())
