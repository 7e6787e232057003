"""`make demo`: Doorward, the API and the front end on three origins of this machine, until Ctrl-C.

What it does once is what an operator does once, by the same commands: register the app, give it a key and a webhook,
move the old users and notes in. Read `register` if you set up an app of your own.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from fitness import sample
from fitness.settings import FILE

HERE = Path(__file__).parents[1]
CONFIG = HERE / "doorward.toml"
READY_SECONDS = 60
SERVICE = "fitness-app"  # the account that the API acts for


class Stopped(Exception):  # noqa: N818  named for what happened
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is."""

    folder: Path
    port: int
    host: str = "localhost"

    @property
    def issuer(self) -> str:
        """Doorward."""
        return f"http://{self.host}:{self.port}"

    @property
    def api(self) -> str:
        """The API."""
        return f"http://{self.host}:{self.port + 1}"

    @property
    def web(self) -> str:
        """The front end."""
        return f"http://{self.host}:{self.port + 2}"

    @property
    def settings(self) -> Path:
        """What the API and the front end are told."""
        return self.folder / "fitness.json"

    def environ(self) -> dict[str, str]:
        """For every process of the demo. Webhooks go to this machine only here; elsewhere they go to public https."""
        more = {"DOORWARD_WEBHOOKS__ALLOW_PRIVATE_NETWORKS": "true", "DOORWARD_SERVER__PORT": str(self.port)}
        return {**os.environ, **more, FILE: str(self.settings)}

    def doorward(self, *words: str, typed: str | None = None) -> str:
        """What an operator does at the command line. Raises Stopped."""
        done = subprocess.run(
            [*self.command, *words, "--data", str(self.folder / "doorward"), "--config", str(CONFIG)],
            env=self.environ(), input=typed, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Stopped(f"doorward {' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def doorward_json(self, *words: str, typed: str | None = None) -> Any:  # noqa: ANN401  JSON
        """The same, where the answer is looked at."""
        return json.loads(self.doorward(*words, "--json", typed=typed))

    @property
    def command(self) -> list[str]:
        """`doorward`, of the same Python as this."""
        return [sys.executable, "-m", "doorward.cli"]


def register(place: Place) -> None:
    """Make Doorward, which runs, and the app known to each other, once. Raises Stopped."""
    # The front end: a public client. It holds no secret, so its tokens are bound to a key (--dpop) and made out to our
    # API alone (--resource). The address it comes back to is compared character by character.
    web = place.doorward_json(
        "client", "add", "Fitness", "--type", "spa", "--redirect-uri", f"{place.web}/", "--resource", place.api,
        "--scope", "openid", "--scope", "profile", "--scope", "offline_access", "--dpop",
    )  # fmt: skip
    # The API, which asks whether a token still counts and follows what has ended.
    api = place.doorward_json(
        "client", "add", "Fitness API", "--type", "service", "--resource", place.api, "--scope", "revocations"
    )
    # The account behind the API's key. Nobody knows its password.
    place.doorward_json(
        "user", "add", SERVICE, "--name", "Fitness", "--role", "admin", "--password-stdin",
        typed=secrets.token_urlsafe(32),
    )  # fmt: skip
    scopes = [word for scope in ("users:read", "users:write", "events:read") for word in ("--scope", scope)]
    key = place.doorward_json("apikey", "create", SERVICE, "--name", "Fitness API", *scopes, "--days", "365")
    without = httpx.patch(  # a number of coins, so that it is in no leaderboard
        f"{place.issuer}/api/users/{key['user_id']}", json={"coins": None}, headers={"X-API-Key": key["secret"]}
    )
    if without.is_error:
        raise Stopped(f"Doorward: {without.text}")
    hook = place.doorward_json("webhook", "add", f"{place.api}/doorward", "--type", "user.deleted")
    told = {
        "issuer": place.issuer,
        "api_url": place.api,
        "web_url": place.web,
        "web_client_id": web["client_id"],
        "client_id": api["client_id"],
        "client_secret": api["client_secret"],
        "api_key": key["secret"],
        "webhook_secret": hook["secret"],
        "database": f"sqlite:///{(place.folder / 'fitness.db').absolute()}",
        "pictures": str((place.folder / "pictures").absolute()),
    }
    place.settings.touch(mode=0o600)  # there are secrets in it
    place.settings.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def pin(place: Place) -> None:
    """Note which script of Doorward's the front end loads. It changes with Doorward, so this is done at each start."""
    told, script = json.loads(place.settings.read_text(encoding="utf-8")), place.doorward_json("client", "script")
    told |= {"script": script["url"], "integrity": script["integrity"]}
    place.settings.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def check(place: Place) -> None:
    """Look whether what was registered is what is asked for now. Raises Stopped."""
    found = json.loads(place.settings.read_text(encoding="utf-8"))
    if (found["issuer"], found["api_url"], found["web_url"]) != (place.issuer, place.api, place.web):
        raise Stopped(f"{place.folder} was made for {found['issuer']}; name another folder with --data for other ports")


def move_in(place: Place, old: tuple[Path, Path]) -> None:
    """Bring the sample's notes along; its users are there already. Raises Stopped."""
    database, uploads = old
    words = [sys.executable, "-m", "fitness.import", str(database), "--pictures", str(uploads)]
    done = subprocess.run(words, env=place.environ(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Stopped(done.stdout + done.stderr)
    say("\n".join(f"  {line}" for line in done.stdout.splitlines()))


@dataclass(frozen=True, slots=True)
class Process:
    """One of the three."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, url: str) -> None:
        """Wait until it answers. Raises Stopped when it ends first."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            self.insist()
            try:
                httpx.get(url, timeout=1)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise Stopped(f"{self.name} does not answer; see {self.log}")

    def insist(self) -> None:
        """Raise Stopped when it has ended."""
        if self.popen.poll() is not None:
            last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
            raise Stopped("\n".join([f"{self.name} has ended. Its last words, in {self.log}:", *last]))

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.popen.terminate()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def run(place: Place, stack: ExitStack) -> None:
    """Start everything and stay. Raises Stopped."""

    def start(name: str, words: Sequence[str], url: str) -> Process:
        log = place.folder / f"{name}.log"
        with log.open("wb") as file:
            process = Process(name, subprocess.Popen(words, env=place.environ(), stdout=file, stderr=file), log)
        stack.callback(process.stop)
        process.wait_for(url)
        return process

    for port in range(place.port, place.port + 3):
        insist_on_free(port)
    old = None
    if place.settings.exists():
        check(place)
    else:
        say("Once: registering the app, moving the sample's users and notes in, two broken ones on purpose …")
        old = sample.write(place.folder / "old")
        place.doorward("user", "import", str(old[0]), "--from", "flask-portfolio")
    say("Starting Doorward, the API and the front end …")
    serve = ["serve", "--data", str(place.folder / "doorward"), "--config", str(CONFIG)]
    doorward = start("doorward", [*place.command, *serve], f"{place.issuer}/livez")
    if old is not None:
        register(place)
    pin(place)
    if old is not None:
        move_in(place, old)
    api = start("api", [sys.executable, "-m", "fitness"], f"{place.api}/me")
    web = start("web", [sys.executable, "-m", "fitness.web"], f"{place.web}/")
    greet(place)
    while True:
        for process in (doorward, api, web):
            process.insist()
        time.sleep(0.5)


def insist_on_free(port: int) -> None:
    """Raise Stopped when somebody else listens there: what answers would not be ours."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise Stopped(f'Port {port} is in use. Take others: make demo ARGS="--port 8100"') from error


def greet(place: Place) -> None:
    """Say where everything is."""
    greeting = (place.folder / "doorward.log").read_text(encoding="utf-8")
    inbox = next((line.split()[-1] for line in greeting.splitlines() if "inbox" in line and "http" in line), None)
    lines = [
        "",
        f"  The app        {place.web}/",
        f"                 sign in as {sample.WHO} with the password: {sample.PASSWORD}",
        "                 or create an account of your own",
        f"  Doorward       {place.issuer}/",
        *([] if inbox is None else [f"  Mail & SMS     {inbox}"]),
        f"  The API        {place.api}/",
        "",
        "  To administer Doorward, open this link in another browser profile:",
    ]
    say("\n".join(lines))
    # It shows the link on a terminal only; otherwise it says in which file it is.
    words = ["admin", "link", "--data", str(place.folder / "doorward"), "--config", str(CONFIG)]
    subprocess.run([*place.command, *words], env=place.environ(), check=True)
    say("\n  Ctrl-C stops all three.")


def say(text: str) -> None:
    """Print, at once."""
    print(text, flush=True)


def leave(*_: object) -> None:
    """End as by Ctrl-C: what was started is stopped on the way out."""
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser("make demo", description="Run the fitness example on this machine.")
    parser.add_argument("--data", type=Path, default=Path("build/demo"), help="where it keeps everything")
    parser.add_argument(
        "--port", type=int, default=8000, help="of Doorward; the API and the front end take the next two"
    )
    asked = parser.parse_args(arguments)
    asked.data.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, leave)
    try:
        with ExitStack() as stack:
            run(Place(asked.data, asked.port), stack)
    except KeyboardInterrupt:
        say("")
    except Stopped as why:
        say(str(why))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
