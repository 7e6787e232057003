"""Debian's nginx before an app that knows nothing of us: nobody passes unknown, and everybody arrives as who they are.

The configuration is the one of docs/forward-auth.md, at other ports.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.hosted import PASSWORD, Person
from tests.support.measuring import MEASURED
from tests.support.ports import free_port
from tests.support.serving import ROOT, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
READY_SECONDS = 10
OUT_SECONDS = 2.0
ADDED = """
    location /static/ { proxy_pass http://127.0.0.1:3000; }
    location /closed/ { deny all; proxy_pass http://127.0.0.1:3000; }
    """
IDENTITY = ("doorward-user", "remote-user", "remote-name", "remote-email", "remote-groups")
CONFIG = 'roles = ["editor"]\n[signup]\nidentifier = "uid"\n[server]\ntrusted_proxies = ["127.0.0.1"]\n'


class _Wiki(BaseHTTPRequestHandler):
    """An app that says what it was told of its visitor, and what they asked for."""

    def do_GET(self) -> None:
        told = {name: self.headers[name] for name in IDENTITY if self.headers[name]}
        body = json.dumps({"path": self.path, **told}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@dataclass(frozen=True)
class Site:
    """Doorward, and two apps behind nginx, at another host; one is for editors."""

    url: str
    app: str
    desk: str
    data: Path
    config: Path

    def operate(self, *arguments: str) -> str:
        """Do what operators do at the command line."""
        place = ["--data", str(self.data), "--config", str(self.config)]
        command = [sys.executable, "-m", "doorward.cli", *arguments, *place]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=PASSWORD).stdout


def documented(*, proxy: int, app: int, doorward: int) -> str:
    """The server block of the page, at these ports and by plain http."""
    text = (ROOT / "docs/forward-auth.md").read_text()
    found = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert found is not None
    block = re.sub(r"\n +(ssl_\w+|server_name) .*;", "", found[1])
    # What an operator might add: a folder of its own, and a network that is kept out.
    block = block.replace("location / {", f"{ADDED}location / {{", 1)
    for written, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{proxy};"),
        ("127.0.0.1:3000", f"127.0.0.1:{app}"),
        ("127.0.0.1:8000", f"127.0.0.1:{doorward}"),
    ):
        assert written in block
        block = block.replace(written, here)
    return block


@pytest.fixture(scope="module")
def wiki() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Wiki) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, wiki: int) -> Iterator[Site]:
    folder, ports = tmp_path_factory.mktemp("site"), {"wiki": free_port(), "desk": free_port()}
    config = folder / "doorward.toml"
    config.write_text(CONFIG)
    place = ("--data", str(folder / "data"), "--config", str(config))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with running("doorward.cli", "serve", "--port", "0", *place) as server:
        made = Site(f"http://localhost:{server.port}", urls["wiki"], urls["desk"], folder / "data", config)
        for name, url in urls.items():
            callback = f"{url}/.doorward/callback"
            made.operate("client", "add", name.title(), "--type", "proxy", "--id", name, "--redirect-uri", callback)
        for uid, full_name in (("ada", "Ada Łovelace, 100 %"), ("bob", "Bob")):
            made.operate("user", "add", uid, "--name", full_name, "--password-stdin")
        made.operate("user", "set-role", "ada", "editor")
        block = documented(proxy=ports["wiki"], app=wiki, doorward=server.port)
        desk = block.replace("/wiki/check;", "/wiki/check?role=editor;")
        desk = desk.replace("refusal? break", "refusal?role=editor? break")
        desk = desk.replace("/wiki/", "/desk/").replace(f":{ports['wiki']};", f":{ports['desk']};")
        with nginx(folder, f"{block}\n{desk}", made.app):
            yield made


class nginx:  # noqa: N801  reads as a function
    """Run nginx in a folder of its own until the block ends."""

    def __init__(self, folder: Path, block: str, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log {folder}/access.log;\n"
            + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in _TEMPORARY)
            + f"{block}\n}}\n"
        )

    def __enter__(self) -> None:
        place = ("-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "start.log"))
        self.process = subprocess.Popen([NGINX, *place])
        host, port = urlsplit(self.url).hostname, urlsplit(self.url).port
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with closing(socket.socket()) as tried:
                if tried.connect_ex((host, port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "start.log").read_text())

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(READY_SECONDS)


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def person() -> Iterator[Person]:
    with closing(Person()) as somebody:
        yield somebody


def arrived(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    told: dict[str, str] = answer.json()
    return told


@pytest.mark.asvs("7.1.3", "8.2.1", "8.3.1")
def test_people_sign_in_on_the_way_and_arrive_where_they_wanted_to(site: Site, person: Person) -> None:
    person.open(f"{site.app}/pages/Door%20ward?tab=1&x=%26#top")
    told = arrived(person.fill_in("ada"))
    assert told["path"] == "/pages/Door%20ward?tab=1&x=%26"
    assert told["remote-user"] == "ada"
    assert told["remote-name"] == "Ada %C5%81ovelace, 100 %25"
    assert told["remote-groups"] == "editor"
    assert "remote-email" not in told
    assert told["doorward-user"] == person.http.get(f"{site.url}/api/users/me").json()["id"]
    assert arrived(person.open(f"{site.app}/again"))["path"] == "/again"


def test_what_a_browser_says_of_itself_never_arrives(site: Site, person: Person) -> None:
    person.open(f"{site.app}/")
    person.fill_in("bob")
    forged = dict.fromkeys(IDENTITY, "root")
    told = arrived(person.http.get(f"{site.app}/", headers=forged))
    assert "root" not in told.values()
    assert told["remote-user"] == "bob"
    assert "remote-groups" not in told


def test_programs_and_forms_are_refused_and_not_led_away(site: Site, person: Person) -> None:
    for answer in (
        person.program(f"{site.app}/data.json"),
        person.http.post(f"{site.app}/save", data={"text": "x"}, headers={"accept": "text/html"}),
        person.http.get(f"{site.app}/", headers={"accept": "text/html", "sec-fetch-mode": "cors"}),
    ):
        assert answer.status_code == 401, answer.text
        assert answer.json()["code"] == "not_signed_in"


def test_who_is_out_at_doorward_is_out_at_the_app(
    site: Site, person: Person, record_property: Callable[[str, object], None]
) -> None:
    person.open(f"{site.app}/")
    arrived(person.fill_in("ada"))
    session = person.http.get(f"{site.url}/api/sessions/current").json()
    headers = {"x-csrf-token": session["csrf_token"], "origin": site.url}
    assert person.http.delete(f"{site.url}/api/sessions/current", headers=headers).status_code == 204
    took = wait_until(lambda: person.program(f"{site.app}/").status_code == 401)
    record_property(MEASURED, f"an app behind nginx was closed {took:.2f} s after sign-out")
    assert took < OUT_SECONDS


def test_signing_out_at_the_app_ends_the_session_unless_another_site_leads_there(site: Site, person: Person) -> None:
    person.open(f"{site.app}/")
    arrived(person.fill_in("ada"))
    link = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    picture, frame = {**link, "sec-fetch-mode": "no-cors"}, {**link, "sec-fetch-dest": "iframe"}
    elsewhere = [{**link, "sec-fetch-site": site_of} for site_of in ("cross-site", "same-site")]
    for headers in (*elsewhere, picture, frame, {}):
        led = person.http.get(f"{site.app}/.doorward/sign-out", headers=headers)
        assert led.headers["location"] == f"{site.url}/account/sessions"
    assert person.program(f"{site.app}/").status_code == 200
    out = person.http.get(f"{site.app}/.doorward/sign-out", headers=link)
    assert out.headers["location"] == f"{site.url}/"
    assert person.program(f"{site.app}/").status_code == 401
    assert person.http.get(f"{site.url}/api/users/me").status_code == 401


def test_a_role_that_is_asked_for_is_needed(site: Site, person: Person) -> None:
    person.open(f"{site.desk}/")
    refused = person.fill_in("bob")
    assert str(refused.url).startswith(f"{site.url}/forward-auth/desk/lost?why=role")
    assert "not allowed to use this app" in refused.text
    assert person.program(f"{site.desk}/").status_code == 403
    assert arrived(person.open(f"{site.app}/"))["remote-user"] == "bob", "the other app is open to everybody"


def test_who_has_the_role_passes(site: Site, person: Person) -> None:
    person.open(f"{site.desk}/?role=none")
    assert arrived(person.fill_in("ada"))["path"] == "/?role=none"


def test_what_an_operator_adds_is_guarded_too(site: Site, person: Person) -> None:
    forged = dict.fromkeys(IDENTITY, "root")
    assert person.http.get(f"{site.app}/static/app.css", headers=forged).status_code == 401
    person.open(f"{site.app}/static/app.css")
    told = arrived(person.fill_in("bob"))
    assert (told["path"], told["remote-user"]) == ("/static/app.css", "bob")
    closed = person.http.get(f"{site.app}/closed/", headers={"accept": "application/json"})
    assert closed.status_code == 403, "what the proxy itself refuses stays refused"


def test_our_pins_are_not_set_for_the_host_of_another(site: Site, person: Person) -> None:
    for path in ("/", "/.doorward/sign-in"):
        answer = person.http.get(f"{site.app}{path}", headers={"accept": "text/html"})
        assert answer.status_code == 303, answer.text
        assert "strict-transport-security" not in answer.headers
