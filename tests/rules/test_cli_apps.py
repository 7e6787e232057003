"""Apps and tokens at the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from doorward.tokens.jose import generate, sign
from tests.support.logs import restored_logging


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty working directory; logging is restored afterwards."""
    monkeypatch.chdir(tmp_path)
    with restored_logging():
        yield tmp_path


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=typed)


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_an_app_is_registered_shown_looked_over_and_forgotten() -> None:
    made = answer("client", "add", "My Notes", "--type", "web", "--redirect-uri", "https://app.example/cb",
                  "--resource", "https://api.example", "--alg", "EdDSA")  # fmt: skip
    assert made["client_id"].startswith("my-notes-")
    assert made["client_secret"].startswith("dwc_")
    assert len(made["client_secret"]) == 47
    (listed,) = answer("client", "list")
    assert listed == {name: value for name, value in made.items() if name != "client_secret"}
    tried = answer("client", "test", made["client_id"])
    assert tried["warnings"] == []
    assert tried["authorize_url"].startswith("http://localhost:8000/oauth/authorize?response_type=code&")
    assert answer("client", "secret", made["client_id"])["client_secret"] != made["client_secret"]
    assert {key["alg"] for key in answer("key", "list")["signing"]} == {"ES256", "EdDSA"}
    assert run("client", "remove", made["client_id"]).exit_code == 0
    assert answer("client", "list") == []
    for command in ("test", "remove", "secret"):
        assert run("client", command, made["client_id"]).exit_code == 1


def test_what_is_wrong_with_a_registration_is_said_at_once() -> None:
    done = run("client", "add", "Notes", "--type", "web", "--redirect-uri", "http://app.example/#x", "--claim", "none")
    assert done.exit_code == 1
    assert "redirect-uri" in done.output
    assert "claim" in done.output
    assert run("client", "add", "Notes", "--type", "other").exit_code == 2


def test_a_page_without_proof_of_possession_is_doubted() -> None:
    made = answer("client", "add", "Page", "--type", "spa", "--redirect-uri", "https://app.example/cb", "--id", "page")
    assert (made["client_id"], made["client_secret"], made["auth"]) == ("page", None, "none")
    doubted = run("client", "test", "page")
    assert doubted.exit_code == 1
    assert "--dpop" in doubted.output


def test_a_web_app_that_may_not_follow_the_feed_is_doubted() -> None:
    there = ("--redirect-uri", "https://app.example/cb", "--scope", "openid")
    made = answer("client", "add", "Notes", "--type", "web", *there)
    doubted = run("client", "test", made["client_id"])
    assert doubted.exit_code == 1
    assert "revocations" in doubted.output


def test_an_api_that_may_not_follow_the_feed_is_doubted_and_a_program_is_not() -> None:
    api = answer("client", "add", "Api", "--type", "service", "--resource", "https://api.example")
    assert "revocations" in run("client", "test", api["client_id"]).output
    right = answer(
        "client", "add", "B", "--type", "service", "--resource", "https://b.example", "--scope", "revocations"
    )
    program = answer("client", "add", "Report", "--type", "service", "--scope", "reports")
    assert [run("client", "test", made["client_id"]).exit_code for made in (right, program)] == [0, 0]


def test_the_next_signing_key_is_begun_once() -> None:
    answer("client", "add", "Page", "--type", "spa", "--redirect-uri", "https://app.example/cb")
    (begun,) = answer("key", "rotate")
    assert (begun["alg"], begun["from"] is not None) == ("ES256", True)
    assert answer("key", "rotate") == []
    keys = {key["kid"]: key for key in answer("key", "list")["signing"]}
    assert not keys[begun["kid"]]["signs"]
    assert len(keys) == 2


def test_a_token_is_explained_and_verified(place: Path) -> None:
    key = generate("ES256")
    claims = {"iss": "https://id.example", "sub": "u", "exp": 2**33, "x": "\x1b[2J"}
    token = sign({"alg": "ES256", "typ": "at+jwt", "kid": "k"}, claims, key)
    (place / "jwks.json").write_text(json.dumps({"keys": [{**key.as_dict(private=False), "kid": "k"}]}))
    shown = run("token", "inspect", typed=token + "\n")
    assert shown.exit_code == 0
    assert "who issued it" in shown.output
    assert "NOT verified" in shown.output
    assert "\x1b" not in shown.output
    right = run("token", "inspect", "--jwks", "jwks.json", "--issuer", "https://id.example", typed=token)
    assert (right.exit_code, "The signature is right." in right.output) == (0, True)
    other = sign({"alg": "ES256", "typ": "at+jwt", "kid": "k"}, claims, generate("ES256"))
    expired = sign({"alg": "ES256", "typ": "at+jwt", "kid": "k"}, {**claims, "exp": 1}, key)
    for wrong in (other, expired, token.replace("ey", "eyJhbGciOiJub25lIn0.ey", 1)[:40], token + "x", ""):
        assert run("token", "inspect", "--jwks", "jwks.json", typed=wrong).exit_code == 1
    assert run("token", "inspect", "--issuer", "https://other.example", typed=token).exit_code == 1
    for nothing in ("", "x", "a.b", "a.b.c", "e30.W10.x"):
        assert run("token", "inspect", typed=nothing).exit_code == 1
