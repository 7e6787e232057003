"""Opening the listening sockets."""

import errno
import socket
from typing import Final

from doorward.config import Settings
from doorward.kernel.startup import StartFailed
from doorward.server.process import BACKLOG

_REASONS: Final = {
    errno.EADDRINUSE: "is already in use. Stop what uses it, or choose another with --port",
    errno.EACCES: "needs more rights (ports below 1024 do). Choose another with --port",
    errno.EADDRNOTAVAIL: "cannot be listened on: this machine does not have that address",
}


def listen(settings: Settings) -> list[socket.socket]:
    """A socket for every address of the host, all on one port. Raises StartFailed."""
    host, port = settings.server.host, settings.server.port
    listeners: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            listeners.append(_open(family, address, port))
            port = port_of(listeners)  # a free one was chosen for the first, the others follow
    except OSError as error:
        for listener in listeners:
            listener.close()
        why = _REASONS.get(error.errno or 0, f"cannot be listened on: {error.strerror}")
        raise StartFailed(f"Port {port} on {host} {why}.") from error
    return listeners


def port_of(listeners: list[socket.socket]) -> int:
    """The port really listened on."""
    port: int = listeners[0].getsockname()[1]
    return port


def _addresses(host: str, port: int) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # localhost often has two; a dictionary keeps their order and drops repetitions.
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))


def _open(family: int, address: str, port: int) -> socket.socket:
    both = family == socket.AF_INET6 and address == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
