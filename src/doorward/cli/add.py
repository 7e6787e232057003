"""doorward add."""

import html
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import click

from doorward import app
from doorward.cli.common import open_place, places, with_services
from doorward.datadir import choose
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.oidc import Client
from doorward.web.script import SCRIPT, load_script

PORT: Final = 5001
LOCAL: Final = "http://127.0.0.1"  # another host than localhost: cookies do not tell ports apart
USUAL_PORTS: Final = {"http": 80, "https": 443}
SETTINGS: Final = "doorward.json"
_HOST: Final = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")
_SUFFIX: Final = ".tmpl"
_LIBRARY: Final = Path(__file__).resolve().parents[3] / "clients/python"  # in a clone


@dataclass(frozen=True, slots=True)
class _Framework:
    """What differs between the examples beside their files."""

    name: str
    extra: str  # of the library; empty: nothing has to be installed, for there is no program
    start: str
    packages: str = ""

    def installed(self, *more: str) -> str:
        """What pip is told to install. The library by its path: on the index, its name is anybody's."""
        library = _LIBRARY if _LIBRARY.is_dir() else "/path/to/doorward/clients/python"
        return shlex.quote(f"{library}[{','.join([self.extra, *more])}]") + self.packages

    @property
    def is_static(self) -> bool:
        """Whether it is files alone, which keep no secret."""
        return not self.extra


_FRAMEWORKS: Final[Mapping[str, _Framework]] = {
    "flask": _Framework("Flask", "flask", ".venv/bin/python app.py"),
    "fastapi": _Framework("FastAPI", "fastapi", ".venv/bin/python app.py", " uvicorn python-multipart"),
    "django": _Framework("Django", "django", ".venv/bin/python manage.py runserver {port}"),
    "static": _Framework("static", "", "python3 -m http.server --bind {host} {port}"),
}


@click.command("add")
@click.argument("framework", type=click.Choice(list(_FRAMEWORKS)))
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--url", help=f"Where browsers will find the app.  [default: {LOCAL}:{PORT}, or the next port]")
@click.option("--issuer", metavar="URL", help="Where the app will find Doorward.  [default: public_url]")
@places
def command(
    framework: str, folder: Path, url: str | None, issuer: str | None, data: str | None, config: str | None
) -> None:
    """Write an example app to DIR that signs people in, and register it as a client.

    DIR must be empty or not there yet; nothing is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty. Name another directory: nothing is overwritten")
    directory = choose(data, os.environ)
    if data is None and not directory.exists():  # or the app would be known to a Doorward that nobody runs
        missing = f"There is no Doorward at {directory}. Run this where it was started, or give --data"
        raise click.ClickException(missing)
    if url is not None and not _is_origin(url):
        wanted = f"give scheme, host and port alone, as browsers write them, such as {LOCAL}:{PORT}"
        raise click.ClickException(f"--url {url}: {wanted}")
    folder.mkdir(parents=True, exist_ok=True)
    name, chosen = folder.resolve().name, _FRAMEWORKS[framework]

    async def register(services: app.Services) -> dict[str, str | None]:
        clients = services.apps.clients
        here = url or _next_url(await clients.list())
        made = await clients.add(_client(chosen, name, here), LOCAL_OPERATOR)
        secret = {"client_id": made.client.id, "client_secret": made.secret}
        return {"issuer": services.tokens.issuer, **secret, "app_url": here}

    settings = with_services(open_place(data, config, {"server.public_url": issuer}), register)
    address = urlsplit(str(settings["app_url"]))
    port, behind = _port(address), _behind(address)
    start = chosen.start.format(host=address.hostname if not behind else "127.0.0.1", port=port)
    words = {
        "name": name,
        "framework": chosen.name,
        "issuer": settings["issuer"],
        "client_id": settings["client_id"],
        "script": f"{settings['issuer']}{SCRIPT}",
        "integrity": load_script().integrity,
        "url": settings["app_url"],
        "host": address.hostname,
        "port": port,
        "behind": behind,
        "packages": chosen.installed(),
        "test_packages": f"pytest {chosen.installed('testing')}",
        "start": start,
    }
    _write(folder, framework, words)
    if not chosen.is_static:
        _write_secret(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
    _say(folder, chosen, words)


def _say(folder: Path, chosen: _Framework, words: Mapping[str, object]) -> None:
    """What is there, and how to start it."""
    steps = [f"cd {shlex.quote(str(folder))}", str(words["start"])]
    if not chosen.is_static:
        steps[1:1] = ["python3 -m venv .venv", f".venv/bin/pip install {chosen.installed()}"]
    click.echo(f"{folder} holds a {chosen.name} app, registered as {words['client_id']}.")
    click.echo(f"It asks Doorward at {words['issuer']}, which must answer there (make serve, or doorward serve).\n")
    click.echo("\n  ".join(["Start it:", *steps]))
    click.echo(f"\n{words['behind']}Then open {words['url']}/ in your browser.")
    if not chosen.is_static:
        click.echo(f"{SETTINGS} holds the app's secret: only you may read it, and .gitignore names it.")


def _client(chosen: _Framework, name: str, url: str) -> Client:
    if chosen.is_static:
        return Client("", name, "spa", "none", (f"{url}/",), dpop=True)
    return Client("", name, "web", "client_secret_basic", (f"{url}/auth/callback",))


def _next_url(clients: Sequence[Client]) -> str:
    """The first port that no registered app comes back to, so that examples run side by side."""
    taken = {urlsplit(uri).port for client in clients for uri in client.redirect_uris}
    return f"{LOCAL}:{next(port for port in count(PORT) if port not in taken)}"


def _is_origin(url: str) -> bool:
    """Whether browsers write it so in `Origin`, to which apps compare it."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port in {None, USUAL_PORTS.get(parts.scheme)} else f":{parts.port}"
    except ValueError:
        return False
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return parts.scheme in USUAL_PORTS and _HOST.fullmatch(host) is not None and url == f"{parts.scheme}://{host}{port}"


def _port(address: SplitResult) -> int:
    """Where the app listens. It speaks plain HTTP, so the port of an https address is the proxy's."""
    return PORT if address.scheme == "https" else address.port or 80


def _behind(address: SplitResult) -> str:
    if address.scheme == "http":
        return ""
    return f"A proxy of yours ends TLS and passes what comes to {address.netloc} on to 127.0.0.1:{PORT}.\n"


def _write(folder: Path, framework: str, words: Mapping[str, object]) -> None:
    examples = files("doorward.cli") / "examples"
    for kind in (framework,) if _FRAMEWORKS[framework].is_static else ("server", framework):
        for template in sorted((examples / kind).iterdir(), key=lambda one: one.name):
            name = template.name.removesuffix(_SUFFIX)
            text = template.read_text(encoding="utf-8")
            for word, value in words.items():
                said = html.escape(str(value)) if name.endswith(".html") else str(value)
                text = text.replace(f"@{word}@", said)
            target = folder / (".gitignore" if name == "gitignore" else name)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
