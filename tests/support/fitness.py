"""The fitness example as `make demo` starts it, and somebody who uses its API from a script of its front end."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from joserfc.jwk import ECKey

from doorward_client import Clock
from doorward_client.testing import MovableClock
from fitness.demo import Place
from fitness.settings import FILE
from tests.support.apps import challenge_of
from tests.support.client_calls import proof
from tests.support.hosted import PASSWORD, Person
from tests.support.ports import first_of_free_ports
from tests.support.serving import ROOT

READY_SECONDS = 90
PYTHONPATH = os.pathsep.join(str(ROOT / part) for part in ("src", "clients/python/src", "examples/fitness"))


class _Now(MovableClock):
    """The real time, for proofs."""

    def now(self) -> float:
        return Clock().now()


@contextmanager
def demo(folder: Path) -> Iterator[Place]:
    """Everything that `make demo` starts, on ports of its own, until the block ends."""
    place = Place(folder, first_of_free_ports(3))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DOORWARD_", "FITNESS_"))}
    # Everybody in a test comes from one address.
    environ |= {"PYTHONPATH": PYTHONPATH, "DOORWARD_LIMITS__SIGN_UP_FREE__PER_ADDRESS": "1000/1h"}
    words = [sys.executable, "-m", "fitness.demo", "--data", str(folder), "--port", str(place.port)]
    process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said: list[str] = []
    reader = Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    deadline = time.monotonic() + READY_SECONDS
    try:
        while "Ctrl-C" not in "".join(said):
            assert process.poll() is None, "".join(said)
            assert time.monotonic() < deadline, "".join(said)
            time.sleep(0.1)
        (folder / "said").write_text("".join(said), encoding="utf-8")
        yield place
    finally:
        process.terminate()
        process.wait(READY_SECONDS)
        reader.join()
        process.stdout.close()


def settings_of(place: Place) -> dict[str, str]:
    """What the demo told the API."""
    told: dict[str, str] = json.loads(place.settings.read_text(encoding="utf-8"))
    return told


def add_user(place: Place, uid: str) -> None:
    """Somebody new, with the password of all."""
    values = {"uid": uid, "name": uid.title(), "password": PASSWORD}
    made = httpx.post(f"{place.issuer}/api/users", json=values, timeout=30)
    assert made.status_code == 201, made.text


@dataclass(repr=False)
class Member:
    """Somebody who is signed in to the front end: a browser at Doorward, a token, and the key that it is bound to."""

    place: Place
    uid: str
    password: str = PASSWORD
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", private=True))
    person: Person = field(default_factory=Person)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))
    token: str = field(init=False)
    sub: str = field(init=False)

    def __post_init__(self) -> None:
        """Come to Doorward, sign in, and go back with a code, as the front end's script does."""
        told, verifier = settings_of(self.place), secrets.token_urlsafe(32)
        asked = {
            "response_type": "code",
            "client_id": told["web_client_id"],
            "redirect_uri": f"{self.place.web}/",
            "scope": "openid profile offline_access",
            "state": "a state",
            "resource": self.place.api,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            "dpop_jkt": self.key.thumbprint(),
        }
        self.person.open(f"{self.place.issuer}/oauth/authorize?{urlencode(asked)}")
        arrived = self.person.submit({"identifier": self.uid, "password": self.password}, "/sign-in")
        [code] = parse_qs(urlsplit(str(arrived.url)).query)["code"]
        url = f"{self.place.issuer}/oauth/token"
        redeemed = self.http.post(
            url,
            data={
                "grant_type": "authorization_code",
                "client_id": told["web_client_id"],
                "code": code,
                "redirect_uri": f"{self.place.web}/",
                "code_verifier": verifier,
            },
            headers={"dpop": self.proof(url, "POST", ath=None), "origin": self.place.web},
        )
        assert redeemed.status_code == 200, redeemed.text
        self.token = redeemed.json()["access_token"]
        self.sub = self.call("GET", "/me").json()["id"]

    def proof(self, url: str, method: str = "GET", token: str = "", **changed: Any) -> str:
        """A proof of the key for one request."""
        return proof(self.key, _Now(), token, url=url, method=method, **changed)

    def headers(self, method: str, path: str) -> dict[str, str]:
        """What makes a request to the API one of theirs."""
        url = f"{self.place.api}{path.partition('?')[0]}"
        return {"authorization": f"DPoP {self.token}", "dpop": self.proof(url, method, self.token)}

    def call(self, method: str, path: str, body: Any = None, content: bytes | None = None) -> httpx.Response:
        """Ask the API."""
        more: Mapping[str, Any] = (
            {"content": content} if content is not None else {} if body is None else {"json": body}
        )
        return self.http.request(method, f"{self.place.api}{path}", headers=self.headers(method, path), **more)

    def write(self, text: str = "Rain all day", picture: bytes | None = None) -> str:
        """A note of theirs; its id."""
        made = self.call("POST", "/notes", {"text": text})
        assert made.status_code == 201, made.text
        note_id = str(made.json()["id"])
        if picture is not None:
            assert self.call("PUT", f"/notes/{note_id}/picture", content=picture).status_code == 200
        return note_id

    def close(self) -> None:
        """Go."""
        self.person.close()
        self.http.close()


__all__ = ["FILE", "PYTHONPATH", "Member", "add_user", "demo", "settings_of"]
