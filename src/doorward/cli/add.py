"""doorward add."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import click

from doorward import app
from doorward.cli.common import open_place, places, with_services
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.oidc import Client

PORT: Final = 5001
DEFAULT_URL: Final = f"http://127.0.0.1:{PORT}"  # another host than localhost: cookies do not tell ports apart
SETTINGS: Final = "doorward.json"
_SUFFIX: Final = ".tmpl"
_LIBRARY: Final = Path(__file__).resolve().parents[3] / "clients/python"  # in a clone


@dataclass(frozen=True, slots=True)
class _Framework:
    """What differs between the examples beside their files."""

    name: str
    extra: str
    start: str
    packages: str = ""

    def installed(self, *more: str) -> str:
        """What pip is told to install. The library by its path: on the index, its name is anybody's."""
        library = _LIBRARY if _LIBRARY.is_dir() else "/path/to/doorward/clients/python"
        return shlex.quote(f"{library}[{','.join([self.extra, *more])}]") + self.packages


_FRAMEWORKS: Final[Mapping[str, _Framework]] = {
    "flask": _Framework("Flask", "flask", ".venv/bin/python app.py"),
    "fastapi": _Framework("FastAPI", "fastapi", ".venv/bin/python app.py", " uvicorn python-multipart"),
    "django": _Framework("Django", "django", ".venv/bin/python manage.py runserver {port}"),
}


@click.command("add")
@click.argument("framework", type=click.Choice(list(_FRAMEWORKS)))
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Where browsers will find the app.")
@click.option("--issuer", metavar="URL", help="Where the app will find Doorward.  [default: public_url]")
@places
def command(framework: str, folder: Path, url: str, issuer: str | None, data: str | None, config: str | None) -> None:
    """Write an example app to DIR that signs people in, and register it as a client.

    DIR must be empty or not there yet; nothing is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty. Name another directory: nothing is overwritten")
    address = urlsplit(url)
    if url != f"{address.scheme}://{address.netloc}" or address.scheme not in {"http", "https"}:
        raise click.ClickException(f"--url {url}: give scheme, host and port alone, such as {DEFAULT_URL}")
    folder.mkdir(parents=True, exist_ok=True)
    name = folder.resolve().name

    async def register(services: app.Services) -> dict[str, str | None]:
        wanted = Client("", name, "web", "client_secret_basic", (f"{url}/auth/callback",))
        made = await services.apps.clients.add(wanted, LOCAL_OPERATOR)
        secret = {"client_id": made.client.id, "client_secret": made.secret}
        return {"issuer": services.tokens.issuer, **secret, "app_url": url}

    settings = with_services(open_place(data, config, {"server.public_url": issuer}), register)
    chosen, port = _FRAMEWORKS[framework], _port(address)
    start, behind = chosen.start.format(port=port), _behind(address)
    words = {
        "name": name,
        "framework": chosen.name,
        "issuer": settings["issuer"],
        "url": url,
        "host": address.hostname,
        "port": port,
        "behind": behind,
        "packages": chosen.installed(),
        "test_packages": f"pytest {chosen.installed('testing')}",
        "start": start,
    }
    _write(folder, framework, words)
    _write_secret(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
    click.echo(
        f"{folder} holds a {chosen.name} app, registered as {settings['client_id']}.\n"
        f"It asks Doorward at {settings['issuer']}, which must answer there (make serve, or doorward serve).\n\n"
        f"Start it:\n  cd {shlex.quote(str(folder))}\n  python3 -m venv .venv\n"
        f"  .venv/bin/pip install {chosen.installed()}\n  {start}\n\n{behind}Then open {url}/ in your browser.\n"
        f"{SETTINGS} holds the app's secret: only you may read it, and .gitignore names it."
    )


def _port(address: SplitResult) -> int:
    """Where the app listens. It speaks plain HTTP, so the port of an https address is the proxy's."""
    return PORT if address.scheme == "https" else address.port or 80


def _behind(address: SplitResult) -> str:
    if address.scheme == "http":
        return ""
    return f"A proxy of yours ends TLS and passes what comes to {address.netloc} on to 127.0.0.1:{PORT}.\n"


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
