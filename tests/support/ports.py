"""Ports that stay free until a server is started that has to know its own beforehand."""

import os
import socket
from contextlib import suppress
from itertools import count
from typing import Final

# Each process that runs tests has ports of its own, and none of them is among those that the kernel gives away.
WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = count(12_000 + 2_000 * (WORKER % 4))


def free_port() -> int:
    """A port on the loopback that nobody listens on, or was given before."""
    while True:
        port = next(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
