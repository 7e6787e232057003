"""What the operator reads once the server listens."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import doorward
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.server.process import Links


def greet(settings: Settings, data: DataDir, seconds: float, links: Links, out: TextIO) -> None:
    """Print where everything is. The first administrator's link is shown to a terminal only.

    That of the development mailbox always is: it opens nothing but messages to people who are not there.
    """
    url = None if links.admin is None else settings.public_url + links.admin
    terminal = out.isatty()
    data.write_setup_link(None if terminal else url)
    shown = url if terminal or url is None else f"in the file {_short(data.setup_link)}"
    out.writelines(f"{line}\n" for line in _lines(settings, data, seconds, shown, links.inbox))
    out.flush()


def _lines(settings: Settings, data: DataDir, seconds: float, admin: str | None, inbox: str | None) -> Iterator[str]:
    head = f"Doorward {doorward.__version__}  ready in {seconds:.1f} s"
    yield f"{head}   data {_short(data.path)}   {_reach(settings)}"
    yield f"  Sign-up / sign-in   {settings.public_url}/"
    if admin is not None:
        yield f"  Create first admin  {admin}   (1 hour, one use; again: doorward admin link)"
    if inbox is not None:
        yield f"  Mail & SMS inbox    {settings.public_url}{inbox}"
    yield f"  API reference       {settings.public_url}/api/docs"
    if not settings.loopback and settings.server.public_url is None:
        yield f"  Not yet set         [server] public_url: browsers are refused unless they use {settings.public_url}"


def _reach(settings: Settings) -> str:
    if settings.server.tls_cert is not None:
        return "https"
    return "localhost only" if settings.loopback else "behind a proxy"


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else f"./{relative}"
