"""Doorward itself, for tests that want the real thing: the server's own kit, found by the name it was installed under.

This library knows nothing of the server. Whoever installs `doorward[testing]` beside it gets the fixture.
"""

from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

GROUP, NAME = "doorward_client.testing", "server"
MISSING = (
    "The fixture doorward_server runs Doorward itself, and it is not installed here. Run: "
    "pip install '/path/to/doorward[testing]', from a clone (doorward_issuer needs nothing but this library)."
)


class ServerMissing(Exception):  # noqa: N818  a fact about the machine, in the words of errors.py
    """Nothing is installed that could start the server; the message says what to install."""


def doorward_server(config: str | Path = "") -> AbstractContextManager[Any]:
    """Run Doorward until the block ends: `doorward.testing.Server`, with a temporary directory and a port of its own.

    `config`: a `doorward.toml`, or the text of one. Raises ServerMissing.
    """
    found = entry_points(group=GROUP, name=NAME)
    if not found:
        raise ServerMissing(MISSING)
    started: AbstractContextManager[Any] = next(iter(found)).load()(config)
    return started
