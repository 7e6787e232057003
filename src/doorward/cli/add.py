"""doorward add."""

import html
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from doorward import app
from doorward.cli.common import open_place, places, with_services
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.oidc import Client
from doorward.web.script import SCRIPT, load_script

DEFAULT_URL: Final = "http://127.0.0.1:5001"  # another host than localhost: cookies do not tell ports apart
SETTINGS: Final = "doorward.json"
_SUFFIX: Final = ".tmpl"
_USUAL_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Framework:
    """What differs between the examples beside their files."""

    name: str
    packages: str  # empty: nothing has to be installed, for there is no program
    start: str

    @property
    def is_static(self) -> bool:
        """Whether it is files alone, which keep no secret."""
        return not self.packages


_FRAMEWORKS: Final[Mapping[str, _Framework]] = {
    "flask": _Framework("Flask", "'doorward-client[flask]'", "python app.py"),
    "fastapi": _Framework("FastAPI", "'doorward-client[fastapi]' uvicorn python-multipart", "python app.py"),
    "django": _Framework("Django", "'doorward-client[django]'", "python manage.py runserver {port}"),
    "static": _Framework("static", "", "python3 -m http.server --bind {host} {port}"),
}


@click.command("add")
@click.argument("framework", type=click.Choice(list(_FRAMEWORKS)))
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Where browsers will find the app.")
@places
def command(framework: str, folder: Path, url: str, data: str | None, config: str | None) -> None:
    """Write an example app to DIR that signs people in, and register it as a client.

    DIR must be empty or not there yet; nothing is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty. Name another directory: nothing is overwritten")
    address = urlsplit(url)
    if url != f"{address.scheme}://{address.netloc}" or address.scheme not in _USUAL_PORTS:
        raise click.ClickException(f"--url {url}: give scheme, host and port alone, such as {DEFAULT_URL}")
    folder.mkdir(parents=True, exist_ok=True)
    name, chosen = folder.resolve().name, _FRAMEWORKS[framework]

    async def register(services: app.Services) -> dict[str, str | None]:
        made = await services.apps.clients.add(_client(chosen, name, url), LOCAL_OPERATOR)
        secret = {"client_id": made.client.id, "client_secret": made.secret}
        return {"issuer": services.tokens.issuer, **secret, "app_url": url}

    settings = with_services(open_place(data, config), register)
    port = address.port or _USUAL_PORTS[address.scheme]
    start = chosen.start.format(host=address.hostname, port=port)
    words = {
        "name": name,
        "framework": chosen.name,
        "issuer": settings["issuer"],
        "client_id": settings["client_id"],
        "script": f"{settings['issuer']}{SCRIPT}",
        "integrity": load_script().integrity,
        "url": url,
        "port": port,
        "packages": chosen.packages,
        "test_packages": "pytest " + chosen.packages.replace("]'", ",testing]'"),
        "start": start,
    }
    _write(folder, framework, words)
    steps = [f"cd {shlex.quote(str(folder))}", *([] if chosen.is_static else [f"pip install {chosen.packages}"]), start]
    click.echo(f"{folder} holds a {chosen.name} app, registered as {settings['client_id']}.\n")
    click.echo("\n  ".join(["Start it, while Doorward runs (doorward serve):", *steps]))
    click.echo(f"\nThen open {url}/ in your browser.")
    if not chosen.is_static:
        _write_secret(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
        click.echo(f"{SETTINGS} holds the app's secret: only you may read it, and .gitignore names it.")


def _client(chosen: _Framework, name: str, url: str) -> Client:
    if chosen.is_static:
        return Client("", name, "spa", "none", (f"{url}/",), dpop=True)
    return Client("", name, "web", "client_secret_basic", (f"{url}/auth/callback",))


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
