"""A real server and real apps: people sign in to them, may do what they may, and are out when the server says so."""

import json
import sqlite3
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from doorward.cli import main
from tests.support.client_apps import listening, serving
from tests.support.hosted import PASSWORD, Person
from tests.support.logs import restored_logging
from tests.support.measuring import MEASURED
from tests.support.serving import ROOT, running
from tests.support.waiting import wait_until

with warnings.catch_warnings(record=True):  # it announces what it will leave out one day, whatever filters say
    from authlib.integrations.httpx_client import OAuth2Client

pytestmark = pytest.mark.slow
FRAMEWORKS = ["flask", "fastapi"]
SCOPES = ("openid", "profile", "offline_access", "read", "revocations")
CONFIG = """
roles = ["editor"]
[signup]
identifier = "uid"
[apikeys.scopes]
"read" = "Read your notes"
"write" = "Write your notes"
"""
CALLBACK = "http://127.0.0.1:9/callback"
OPENID_CLIENT = ROOT / "node_modules/openid-client"
NODE_SECONDS = 60
OUT_SECONDS = 2.0
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Site:
    """A server, its data directory, and what its operator does at the command line."""

    url: str
    data: Path
    config: Path

    def operate(self, *arguments: str, typed: str | None = None) -> str:
        place = ["--data", str(self.data), "--config", str(self.config)]
        with restored_logging():
            done = CliRunner().invoke(main, [*arguments, *place], input=typed)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments: str, typed: str | None = None) -> Any:
        return json.loads(self.operate(*arguments, "--json", typed=typed))


@dataclass(frozen=True)
class Notes:
    """An app that runs: where browsers find it, and its credentials."""

    url: str
    client_id: str
    client_secret: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with two people: ada is an editor, bob is not."""
    folder = tmp_path_factory.mktemp("site")
    data, config = folder / "data", folder / "doorward.toml"
    config.write_text(CONFIG)
    with running("doorward.cli", "serve", "--data", str(data), "--config", str(config), "--port", "0") as server:
        found = Site(f"http://localhost:{server.port}", data, config)
        for uid in ("ada", "bob"):
            found.json("user", "add", uid, "--name", uid.title(), "--password-stdin", typed=PASSWORD)
        found.operate("user", "set-role", "ada", "editor")
        yield found


@pytest.fixture
def person() -> Iterator[Person]:
    with closing(Person()) as somebody:
        yield somebody


@contextmanager
def notes(site: Site, framework: str) -> Iterator[Notes]:
    """The small app in one framework, registered as its makers would."""
    with listening() as (listener, url):
        made = site.json(
            "client", "add", "Notes", "--type", "web", "--redirect-uri", f"{url}/auth/callback",
            *(word for scope in SCOPES for word in ("--scope", scope)),
        )  # fmt: skip
        app = Notes(url, made["client_id"], made["client_secret"])
        given: Mapping[str, Any] = {
            "issuer": site.url,
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "app_url": url,
            "scope": "openid profile offline_access read",
        }
        with serving(framework, listener, given):
            yield app


KEYS: dict[str, Callable[[], ECKey | OKPKey | RSAKey]] = {
    "ES256": lambda: ECKey.generate_key("P-256", private=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", private=True),
    "RS256": lambda: RSAKey.generate_key(2048, private=True),
}


@pytest.mark.parametrize("form", ["pem", "jwk"])
@pytest.mark.parametrize("alg", KEYS)
@pytest.mark.asvs("10.4.16")
def test_an_app_may_prove_who_it_is_with_a_key_of_its_own(
    site: Site, person: Person, tmp_path: Path, alg: str, form: str
) -> None:
    key, private, public = KEYS[alg](), tmp_path / "key", tmp_path / "jwks.json"
    public.write_text(json.dumps({"keys": [{**key.as_dict(private=False), "kid": "mine"}]}))
    private.write_bytes(
        key.as_pem(private=True) if form == "pem" else json.dumps({**key.as_dict(private=True), "kid": "mine"}).encode()
    )
    with listening() as (listener, url):
        callback = f"{url}/auth/callback"
        made = site.json("client", "add", "Keyed", "--type", "web", "--redirect-uri", callback, "--jwks", str(public))
        assert made["client_secret"] is None
        given = {
            "issuer": site.url,
            "client_id": made["client_id"],
            "private_key": private,
            "app_url": url,
        }
        with serving("flask", listener, given):
            person.open(f"{url}/me")
            assert person.fill_in("ada").json()["name"] == "Ada"
            person.http.delete(f"{site.url}/api/sessions/current", headers=csrf_of(site, person))
            wait_until(lambda: person.program(f"{url}/me").status_code == 401)


def path_of(answer: httpx.Response) -> str:
    return urlsplit(str(answer.url)).path


def csrf_of(site: Site, person: Person) -> dict[str, str]:
    """What a script of the server's own page sends."""
    return {"x-csrf-token": person.program(f"{site.url}/api/sessions/current").json()["csrf_token"]}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.asvs("7.4.1", "10.1.1")
def test_people_sign_in_and_are_out_within_two_seconds(
    site: Site, person: Person, framework: str, record_property: Callable[[str, object], None]
) -> None:
    with notes(site, framework) as app:
        person.open(f"{app.url}/me")
        assert urlsplit(site.url).netloc == person.page.url.netloc.decode(), "they are asked at the server"
        arrived = person.fill_in("ada")
        assert str(arrived.url) == f"{app.url}/me"
        assert arrived.json()["name"] == "Ada"
        assert person.program(f"{app.url}/editor").json() == arrived.json(), "scope and role are right"

        ended = person.http.delete(f"{site.url}/api/sessions/current", headers=csrf_of(site, person))
        assert ended.status_code == 204
        took = wait_until(lambda: person.program(f"{app.url}/me").status_code == 401)
        record_property(MEASURED, f"an app of {framework} refused an ended session after {took:.2f} s")
        assert took < OUT_SECONDS
        assert path_of(person.open(f"{app.url}/me")) == "/sign-in", "and cannot come back without a proof"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_who_lacks_a_role_or_a_second_factor_is_refused(site: Site, person: Person, framework: str) -> None:
    with notes(site, framework) as app:
        person.open(f"{app.url}/me")
        person.fill_in("bob")
        assert person.program(f"{app.url}/editor").status_code == 403
        asked = person.program(f"{app.url}/strong")
        assert asked.status_code == 401
        assert asked.json()["error"] == "insufficient_user_authentication"
        told = person.open(f"{app.url}/strong")
        assert (told.status_code, path_of(told)) == (200, "/account/security"), told.text
        assert "asks for a second step" in told.text
        assert person.program(f"{app.url}/me").status_code == 200, "that signed nobody out"


def test_an_old_sign_in_is_not_fresh_until_it_is_confirmed(site: Site, person: Person) -> None:
    with notes(site, "flask") as app:
        person.open(f"{site.url}/sign-in")
        person.submit({"identifier": "ada", "password": PASSWORD}, "/sign-in", follow=False)
        with closing(sqlite3.connect(site.data / "doorward.db", timeout=10)) as database, database:
            # Before it is used: from then on the server knows it by heart.
            changed = database.execute(
                "UPDATE session SET auth_time = auth_time - ? WHERE created_at = (SELECT max(created_at) FROM session)",
                [HOUR_US],
            )
            assert changed.rowcount == 1
        assert person.open(f"{app.url}/me").json()["name"] == "Ada", "nobody had to be asked again"
        assert person.program(f"{app.url}/fresh").json()["error"] == "insufficient_user_authentication"
        person.open(f"{app.url}/fresh")
        assert str(person.fill_in_again().url) == f"{app.url}/fresh"
        assert person.page.json()["name"] == "Ada"


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.asvs("7.4.4")
def test_whoever_signs_out_of_the_app_is_signed_out_of_it(site: Site, person: Person, framework: str) -> None:
    with notes(site, framework) as app:
        person.open(f"{app.url}/me")
        person.fill_in("ada")
        token = person.program(f"{app.url}/csrf").json()["token"]
        person.post(f"{app.url}/auth/sign-out", {}, follow=False)
        assert person.program(f"{app.url}/me").status_code == 200, "not without the token of a page"
        left = person.post(f"{app.url}/auth/sign-out", {"csrf_token": token}, follow=False)
        assert (left.status_code, left.headers["location"]) == (303, "/")
        assert person.program(f"{app.url}/me").status_code == 401


def test_a_change_of_what_the_server_knows_signs_nobody_out(site: Site, person: Person) -> None:
    """All tokens of the user are called back; the app fetches others, even within the same second."""
    with notes(site, "flask") as app:
        person.open(f"{app.url}/me")
        person.fill_in("bob")
        changed = person.http.patch(f"{site.url}/api/users/me", json={"name": "Robert"}, headers=csrf_of(site, person))
        assert changed.status_code == 200, changed.text
        until = time.monotonic() + OUT_SECONDS
        while time.monotonic() < until:
            assert person.program(f"{app.url}/me").status_code == 200


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_program_shows_an_api_key(site: Site, framework: str, record_property: Callable[[str, object], None]) -> None:
    def key(*scopes: str, more: tuple[str, ...] = ()) -> Any:
        named = [word for scope in scopes for word in ("--scope", scope)]
        return site.json("apikey", "create", "ada", "--name", "Report", *named, *more)

    with notes(site, framework) as app, httpx.Client(timeout=30) as http:
        made, other = key("read"), key("write")

        def asked(path: str, secret: str) -> httpx.Response:
            return http.get(f"{app.url}{path}", headers={"x-api-key": secret})

        shown = asked("/me", made["secret"])
        assert shown.json().get("sub") == made["user_id"], shown.text
        assert http.get(f"{app.url}/me", headers={"authorization": f"Bearer {made['secret']}"}).status_code == 200
        lacking = asked("/editor", other["secret"])
        assert (lacking.status_code, lacking.json()["error"]) == (403, "insufficient_scope")
        last = "0" if made["secret"][-1] != "0" else "1"
        assert asked("/me", made["secret"][:-1] + last).status_code == 401
        elsewhere = key("read", more=("--network", "192.0.2.0/24"))
        assert asked("/me", elsewhere["secret"]).status_code == 401, "it may not be used from here"

        site.operate("apikey", "revoke", made["id"])
        took = wait_until(lambda: asked("/me", made["secret"]).status_code == 401)
        record_property(MEASURED, f"an app of {framework} refused an ended key after {took:.2f} s")
        assert took < OUT_SECONDS


def sent_back(site: Site, person: Person, url: str) -> str:
    """Sign in at the address a relying party sends its users to; the one they come back to, where nobody listens."""
    person.open(url)
    answer = person.submit({"identifier": "ada", "password": PASSWORD}, "/sign-in", follow=False)
    while str(answer.headers.get("location", "")).startswith("/"):
        answer = person.http.get(f"{site.url}{answer.headers['location']}")
    back: str = answer.headers["location"]
    assert back.startswith(f"{CALLBACK}?")
    return back


@pytest.mark.asvs("10.1.1", "10.4.6", "10.7.1")
def test_authlib_signs_in_with_code_and_pkce(site: Site, person: Person) -> None:
    """A relying party that is not ours, with nothing but the discovery document."""
    made = site.json("client", "add", "Other party", "--type", "web", "--redirect-uri", CALLBACK)
    metadata = httpx.get(f"{site.url}/.well-known/openid-configuration").json()
    party = OAuth2Client(
        made["client_id"], made["client_secret"], scope="openid profile offline_access", redirect_uri=CALLBACK,
        code_challenge_method="S256",
    )  # fmt: skip
    url, state = party.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier="v" * 43, nonce="n", prompt="login"
    )
    back = sent_back(site, person, url)
    token = party.fetch_token(
        metadata["token_endpoint"], authorization_response=back, state=state, code_verifier="v" * 43
    )
    keys = KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
    claims = jwt.decode(token["id_token"], keys, algorithms=metadata["id_token_signing_alg_values_supported"]).claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (site.url, made["client_id"], "n")
    assert (claims["name"], claims["preferred_username"]) == ("Ada", "ada")
    assert claims["exp"] > time.time()
    assert party.get(metadata["userinfo_endpoint"]).json()["sub"] == claims["sub"]
    renewed = party.refresh_token(metadata["token_endpoint"])
    assert renewed["access_token"] != token["access_token"]
    given_back = httpx.post(
        metadata["revocation_endpoint"],
        data={"token": renewed["refresh_token"]},
        auth=(made["client_id"], made["client_secret"]),
    )
    assert given_back.status_code == 200
    assert party.get(metadata["userinfo_endpoint"]).status_code == 401
    party.close()


@contextmanager
def in_node(site: Site) -> Iterator[subprocess.Popen[str]]:
    """A relying party in JavaScript that is registered and has its registration."""
    made = site.json("client", "add", "Party in Node", "--type", "web", "--redirect-uri", CALLBACK)
    given = {
        "issuer": site.url,
        "client_id": made["client_id"],
        "client_secret": made["client_secret"],
        "redirect_uri": CALLBACK,
        "scope": "openid profile offline_access",
    }
    with subprocess.Popen(
        ["node", ROOT / "tests/support/relying_party.mjs"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as party:  # fmt: skip
        try:
            told(party, given)
            yield party
        finally:
            party.kill()


def told(party: subprocess.Popen[str], what: Mapping[str, Any]) -> None:
    assert party.stdin is not None
    party.stdin.write(f"{json.dumps(what)}\n")
    party.stdin.flush()


def heard(party: subprocess.Popen[str]) -> Any:
    assert party.stdout is not None
    assert party.stderr is not None
    line = party.stdout.readline()
    assert line, party.stderr.read()
    return json.loads(line)


@pytest.mark.skipif(not OPENID_CLIENT.exists(), reason="openid-client is not installed: scripts/test-tools")
def test_openid_client_signs_in_with_code_and_pkce(site: Site, person: Person) -> None:
    """It checks state, nonce, `iss` of the answer, and signature and claims of the ID token."""
    with in_node(site) as party:
        url = heard(party)["url"]
        asked = parse_qs(urlsplit(url).query)
        assert asked["code_challenge_method"] == ["S256"]
        told(party, {"url": sent_back(site, person, url)})
        found = heard(party)
        assert party.wait(NODE_SECONDS) == 0
    claims, renewed = found["claims"], found["renewed"]
    assert (claims["iss"], [claims["aud"]], claims["nonce"]) == (site.url, asked["client_id"], found["nonce"])
    assert asked["nonce"] == [claims["nonce"]]
    assert (claims["name"], claims["preferred_username"]) == ("Ada", "ada")
    assert claims["exp"] > time.time()
    assert (found["userinfo"]["sub"], found["userinfo"]["name"]) == (claims["sub"], "Ada")
    assert renewed["is_another"]
    assert renewed["userinfo"] == found["userinfo"]


@pytest.mark.skipif(not OPENID_CLIENT.exists(), reason="openid-client is not installed: scripts/test-tools")
@pytest.mark.parametrize("issuer", ["", "&iss=http%3A%2F%2Flocalhost%3A1"], ids=["no issuer", "another issuer"])
def test_openid_client_takes_no_answer_of_another_issuer(site: Site, person: Person, issuer: str) -> None:
    """Our metadata and our answers give it what it needs against a mix-up of servers (RFC 9207)."""
    with in_node(site) as party:
        back = sent_back(site, person, heard(party)["url"])
        before, of_ours, after = back.partition(f"&iss={quote(site.url, safe='')}")
        assert of_ours
        told(party, {"url": f"{before}{issuer}{after}"})
        assert party.wait(NODE_SECONDS) != 0
        assert party.stderr is not None
        assert '"iss" (issuer)' in party.stderr.read()
