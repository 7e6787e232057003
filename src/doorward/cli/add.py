"""doorward add."""

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

DEFAULT_URL: Final = "http://127.0.0.1:5001"  # another host than localhost: cookies do not tell ports apart
SETTINGS: Final = "doorward.json"
_SUFFIX: Final = ".tmpl"
_USUAL_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Framework:
    """What differs between the examples beside their files."""

    name: str
    packages: str
    start: str


_FRAMEWORKS: Final[Mapping[str, _Framework]] = {
    "flask": _Framework("Flask", "'doorward-client[flask]'", "python app.py"),
    "fastapi": _Framework("FastAPI", "'doorward-client[fastapi]' uvicorn python-multipart", "python app.py"),
    "django": _Framework("Django", "'doorward-client[django]'", "python manage.py runserver {port}"),
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
    name = folder.resolve().name

    async def register(services: app.Services) -> dict[str, str | None]:
        wanted = Client("", name, "web", "client_secret_basic", (f"{url}/auth/callback",))
        made = await services.apps.clients.add(wanted, LOCAL_OPERATOR)
        secret = {"client_id": made.client.id, "client_secret": made.secret}
        return {"issuer": services.tokens.issuer, **secret, "app_url": url}

    settings = with_services(open_place(data, config), register)
    chosen, port = _FRAMEWORKS[framework], address.port or _USUAL_PORTS[address.scheme]
    start = chosen.start.format(port=port)
    words = {
        "name": name,
        "framework": chosen.name,
        "issuer": settings["issuer"],
        "url": url,
        "port": port,
        "packages": chosen.packages,
        "test_packages": "pytest " + chosen.packages.replace("]'", ",testing]'"),
        "start": start,
    }
    _write(folder, framework, words)
    _write_secret(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
    click.echo(f"{folder} holds a {chosen.name} app, registered as {settings['client_id']}.\n")
    click.echo(f"Start it, while Doorward runs (doorward serve):\n  cd {shlex.quote(str(folder))}")
    click.echo(f"  pip install {chosen.packages}\n  {start}\n\nThen open {url}/ in your browser.")
    click.echo(f"{SETTINGS} holds the app's secret: only you may read it, and .gitignore names it.")


def _write(folder: Path, framework: str, words: Mapping[str, object]) -> None:
    examples = files("doorward.cli") / "examples"
    for kind in ("all", framework):
        for template in sorted((examples / kind).iterdir(), key=lambda one: one.name):
            name = template.name.removesuffix(_SUFFIX)
            text = template.read_text(encoding="utf-8")
            for word, value in words.items():
                text = text.replace(f"@{word}@", str(value))
            target = folder / (".gitignore" if name == "gitignore" else name)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
