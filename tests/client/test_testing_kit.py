"""The issuer that apps get for their tests is one: a relying party that is not ours signs in through it."""

import subprocess
import sys
import warnings
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from doorward_client.testing import Issuer, MovableClock, User

with warnings.catch_warnings(record=True):  # it announces what it will leave out one day, whatever filters say
    from authlib.integrations.httpx_client import OAuth2Client

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.asvs("10.1.1")
def test_authlib_signs_in_with_code_and_pkce(doorward_issuer: Issuer) -> None:
    client = doorward_issuer.client("authlib", app_url="http://127.0.0.1:9")
    ada = doorward_issuer.user("Ada", email="ada@example.org")
    doorward_issuer.signed_in = ada
    metadata = httpx.get(f"{doorward_issuer.url}/.well-known/openid-configuration").json()
    party = OAuth2Client(
        client.client_id,
        client.secret,
        scope="openid profile email offline_access",
        redirect_uri=client.redirect_uris[0],
        code_challenge_method="S256",
    )
    verifier = "v" * 43
    url, state = party.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce="n")
    answer = httpx.get(url).headers["location"]
    assert parse_qs(urlsplit(answer).query)["iss"] == [metadata["issuer"]]
    token = party.fetch_token(
        metadata["token_endpoint"], authorization_response=answer, state=state, code_verifier=verifier
    )
    keys = KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
    claims = jwt.decode(token["id_token"], keys).claims
    assert (claims["sub"], claims["nonce"], claims["name"]) == (ada.sub, "n", "Ada")
    assert (claims["email"], claims["email_verified"]) == ("ada@example.org", True)
    assert party.get(metadata["userinfo_endpoint"]).json() == {"sub": ada.sub}
    renewed = party.refresh_token(metadata["token_endpoint"])
    assert renewed["access_token"] != token["access_token"]
    party.close()


def test_an_address_that_is_not_verified_is_not_told(doorward_issuer: Issuer) -> None:
    client = doorward_issuer.client()
    ada = doorward_issuer.user("Ada", email="ada@example.org", email_verified=False)
    claims = jwt.decode(
        doorward_issuer.grant(ada, client, "openid email")["id_token"], doorward_issuer.keys[0], algorithms=["ES256"]
    ).claims
    assert "email" not in claims


def test_programs_get_tokens_of_their_own(doorward_issuer: Issuer) -> None:
    client = doorward_issuer.client()
    answer = httpx.post(
        f"{doorward_issuer.url}/oauth/token",
        data={"grant_type": "client_credentials", "scope": "revocations"},
        auth=(client.client_id, client.secret or ""),
    ).json()
    claims = jwt.decode(answer["access_token"], doorward_issuer.keys[0]).claims
    assert (claims["sub"], claims["scope"]) == ("client:app", "revocations")
    assert "sid" not in claims


@pytest.mark.parametrize(
    "changed", [{"client_secret": "x"}, {"code_verifier": "x"}, {"redirect_uri": "http://127.0.0.1/"}]
)
def test_it_is_as_strict_as_the_real_one(doorward_issuer: Issuer, ada: User, changed: dict[str, str]) -> None:
    client = doorward_issuer.client()
    doorward_issuer.signed_in = ada
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uris[0],
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    answer = httpx.get(f"{doorward_issuer.url}/oauth/authorize", params=asked).headers["location"]
    form = {
        "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(answer).query)["code"][0],
        "redirect_uri": client.redirect_uris[0],
        "code_verifier": VERIFIER,
        **changed,
    }
    secret = form.pop("client_secret", client.secret) or ""
    refused = httpx.post(f"{doorward_issuer.url}/oauth/token", data=form, auth=(client.client_id, secret))
    assert refused.status_code in {400, 401}
    right = form | {
        "code_verifier": VERIFIER,
        "redirect_uri": client.redirect_uris[0],
    }
    auth = (client.client_id, client.secret or "")
    assert httpx.post(f"{doorward_issuer.url}/oauth/token", data=right, auth=auth).status_code == 200
    assert httpx.post(f"{doorward_issuer.url}/oauth/token", data=right, auth=auth).status_code == 400


def asking(issuer: Issuer, **more: str) -> dict[str, list[str]]:
    """What comes back of an authorization request of the registered app."""
    client = issuer.clients["app"]
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uris[0],
        "scope": "openid offline_access",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **more,
    }
    answer = httpx.get(f"{issuer.url}/oauth/authorize", params=asked)
    return parse_qs(urlsplit(answer.headers["location"]).query)


def redeeming(issuer: Issuer, **form: str) -> httpx.Response:
    client = issuer.clients["app"]
    return httpx.post(f"{issuer.url}/oauth/token", data=form, auth=(client.client_id, client.secret or ""))


def redeemed(issuer: Issuer, code: str) -> httpx.Response:
    uri = issuer.clients["app"].redirect_uris[0]
    return redeeming(issuer, grant_type="authorization_code", code=code, redirect_uri=uri, code_verifier=VERIFIER)


@pytest.mark.usefixtures("app")
def test_a_code_lives_for_a_minute(doorward_issuer: Issuer, doorward_clock: MovableClock) -> None:
    doorward_issuer.signed_in = doorward_issuer.user()
    first, second = (asking(doorward_issuer)["code"][0] for _ in range(2))
    doorward_clock.advance(59)
    assert redeemed(doorward_issuer, first).status_code == 200
    doorward_clock.advance(1)
    assert redeemed(doorward_issuer, second).json() == {"error": "invalid_grant"}


@pytest.mark.usefixtures("app")
def test_an_id_token_comes_with_a_sign_in_and_not_with_a_refresh(doorward_issuer: Issuer) -> None:
    doorward_issuer.signed_in = doorward_issuer.user()
    first = redeemed(doorward_issuer, asking(doorward_issuer)["code"][0]).json()
    assert "id_token" in first
    renewed = redeeming(doorward_issuer, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert renewed.keys() == first.keys() - {"id_token"}


@pytest.mark.usefixtures("app")
def test_who_signed_in_too_long_ago_does_so_again(doorward_issuer: Issuer, doorward_clock: MovableClock) -> None:
    now = int(doorward_clock.now())
    ada = doorward_issuer.signed_in = doorward_issuer.user(signed_in_at=now - 100)

    def signed_in_at(**more: str) -> int:
        said = redeemed(doorward_issuer, asking(doorward_issuer, **more)["code"][0]).json()
        when: int = jwt.decode(said["id_token"], doorward_issuer.keys[0]).claims["auth_time"]
        return when

    assert signed_in_at(max_age="100") == now - 100
    assert asking(doorward_issuer, max_age="99", prompt="none")["error"] == ["login_required"]
    assert signed_in_at(max_age="99") == now
    ada.signed_in_at = now - 1
    assert signed_in_at(prompt="login") == now
    assert asking(doorward_issuer, max_age="soon")["error"] == ["invalid_request"]


def test_the_clock_moves_when_it_is_told_to(doorward_issuer: Issuer, doorward_clock: MovableClock, ada: User) -> None:
    client = doorward_issuer.client()
    token = doorward_issuer.access_token(ada, client)

    def active() -> bool:
        answer = httpx.post(
            f"{doorward_issuer.url}/oauth/introspect",
            data={"token": token},
            auth=(client.client_id, client.secret or ""),
        )
        return bool(answer.json()["active"])

    assert active()
    doorward_clock.advance(600)
    assert not active()


def test_the_library_needs_nothing_of_the_server_and_no_framework() -> None:
    """Also not through something it imports: what it must not have is not to be found."""
    absent = ["doorward", "flask", "fastapi", "starlette", "django", "PIL", "pytest", "msgspec", "sqlalchemy"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import doorward_client, doorward_client.asgi, doorward_client.wsgi, doorward_client.testing\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
