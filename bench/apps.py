"""What apps ask a second, beside an empty raw-ASGI application, one worker, 32 connections.

In turn. wrk asks for introspections and for what a proxy asks, and sends the same request to the empty application. A
refresh needs the token that the one before it gave, so those are asked for in Python, each connection with the sign-in
of a user of its own; every one is a transaction, on disk before it is answered, and a signature.
"""

import base64
import http.client
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from bench import load, servers
from bench.people import sign_up

CALLBACK = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 43
CONNECTIONS = 32
ROUNDS = 3
SERVER, CLIENT = 0, 1
FORM = "application/x-www-form-urlencoded"
EMPTY, INTROSPECTION, FORWARD, REFRESH = "empty", "introspection", "forward-auth", "refresh"
CHECK = "/forward-auth/behind/check"


@dataclass(frozen=True)
class App:
    """A registered app of a server."""

    port: int
    client_id: str
    basic: str

    def tokens(self, cookie: str) -> Mapping[str, Any]:
        """What somebody who is signed in brings back, redeemed."""
        challenge = base64.urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid offline_access",
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        with closing(http.client.HTTPConnection("localhost", self.port, timeout=30)) as connection:
            connection.request("GET", f"/oauth/authorize?{urlencode(asked)}", headers={"cookie": cookie})
            sent = connection.getresponse()
            sent.read()
            code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
            return self._post(connection, "/oauth/token", {**form, "code_verifier": VERIFIER})

    def counts(self, token: str) -> bool:
        """Whether it is introspected as a token that counts: an answer to any other costs less."""
        with closing(http.client.HTTPConnection("localhost", self.port, timeout=30)) as connection:
            return self._post(connection, "/oauth/introspect", {"token": token})["active"] is True

    def refreshing(self, first: str) -> Callable[[bytes], bytes]:
        """The next refresh, from the answer to the one before."""

        def following(answer: bytes) -> bytes:
            token = json.loads(answer)["refresh_token"] if answer else first
            body = urlencode({"grant_type": "refresh_token", "refresh_token": token}).encode()
            return load.post("/oauth/token", FORM, body, [f"authorization: {self.basic}"])

        return following

    def _post(self, connection: http.client.HTTPConnection, path: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        connection.request("POST", path, urlencode(form), {"content-type": FORM, "authorization": self.basic})
        answer: Mapping[str, Any] = json.load(connection.getresponse())
        return answer


def main(seconds: float) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {CLIENT})
    rates: dict[str, list[float]] = {name: [] for name in (EMPTY, INTROSPECTION, FORWARD, REFRESH)}
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.empty({SERVER}) as empty_port,
        servers.doorward(Path(folder) / "data", {SERVER}) as port,
    ):
        app = registered(Path(folder) / "data", port)
        signed_in = [app.tokens(sign_up(port, f"user{number}")) for number in range(CONNECTIONS)]
        token = signed_in[0]["access_token"]
        script = Path(folder) / "introspection.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.headers["content-type"] = "{FORM}"\nwrk.body = "token={token}"\n')
        newest = [one["refresh_token"] for one in signed_in]
        passes = entered(Path(folder) / "data", port)
        for _ in range(ROUNDS):
            for name, asked in ((EMPTY, empty_port), (INTROSPECTION, port)):
                rates[name].append(
                    load.wrk(
                        asked, "/oauth/introspect", f"authorization: {app.basic}",
                        seconds=seconds, cores=str(CLIENT), script=script,
                    )
                )  # fmt: skip
            rates[FORWARD].append(load.wrk(port, CHECK, passes, seconds=seconds, cores=str(CLIENT)))
            tally, last = load.chains(port, [app.refreshing(one) for one in newest], seconds=seconds)
            assert tally.answered.keys() == {200}
            newest = [json.loads(answer)["refresh_token"] for answer in last]
            rates[REFRESH].append(tally.rate())
            assert app.counts(token)
    report(rates)


def registered(data: Path, port: int) -> App:
    """Register an app with a server that runs."""
    place = ["--data", str(data), "--json"]
    command = [servers.PROGRAM, "client", "add", "Bench", "--type", "web", "--redirect-uri", CALLBACK, *place]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    made = json.loads(done.stdout)
    basic = base64.b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    return App(port, made["client_id"], f"Basic {basic}")


def entered(data: Path, port: int) -> str:
    """Enter an app behind a proxy; the header that lets its requests pass."""
    callback = f"http://127.0.0.1:{port}/.doorward/callback"
    place = ["--type", "proxy", "--id", "behind", "--redirect-uri", callback, "--data", str(data)]
    subprocess.run([servers.PROGRAM, "client", "add", "Behind", *place], check=True, capture_output=True)
    cookies = [sign_up(port, "passer")]
    with closing(http.client.HTTPConnection("localhost", port, timeout=30)) as connection:

        def go(path: str) -> str:
            connection.request("GET", path, headers={"cookie": "; ".join(cookies)})
            answer = connection.getresponse()
            answer.read()
            cookies.extend(value.partition(";")[0] for value in answer.headers.get_all("set-cookie", ()))
            return urlsplit(answer.headers.get("location", ""))._replace(scheme="", netloc="").geturl()

        back = go(go("/forward-auth/behind/sign-in"))
        go(f"/forward-auth/behind/callback?{urlsplit(back).query}")
        passing = next(one for one in cookies if one.startswith("doorward-app-"))
        connection.request("GET", CHECK, headers={"cookie": passing})
        assert connection.getresponse().status == 204
    return f"cookie: {passing}"


def report(rates: Mapping[str, list[float]]) -> None:
    """Medians, and how each round's rate relates to that of the empty application."""
    for name, found in rates.items():
        ratio = statistics.median(one / other for one, other in zip(found, rates[EMPTY], strict=True))
        print(f"{name:>14}: {statistics.median(found):9.0f}/s   ({min(found):.0f}-{max(found):.0f})   {ratio:6.1%}")
