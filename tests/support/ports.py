"""Ports that stay free until a server is started that has to know its own beforehand."""

import os
import socket
from contextlib import suppress
from itertools import count

# Each of up to nine processes that run tests has its own, and none of them is among those that the kernel gives away.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = count(12_000 + 1_000 * (_WORKER % 9))


def free_port() -> int:
    """A port on the loopback that nobody listens on, or was given before."""
    return first_of_free_ports(1)


def first_of_free_ports(number: int) -> int:
    """The same for so many in a row."""
    while True:
        ports = [next(_PORTS) for _ in range(number)]
        with suppress(OSError):
            for port in ports:
                socket.create_server(("127.0.0.1", port)).close()
            return ports[0]
