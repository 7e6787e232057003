"""No test reaches beyond the loopback, whatever library it uses: Python's own audit events tell of every try."""

import ipaddress
import sys

# `socket.getaddrinfo` tells (host, port, ...); the others tell (socket, address).
_HOST_FIRST = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_ADDRESS_SECOND = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class OutsideWorldError(AssertionError):
    """A test tried to reach `host`."""

    def __init__(self, host: object) -> None:
        super().__init__(f"tests stay on the loopback, but something reached for {host!r}")


def forbid_the_outside_world() -> None:
    """From here on every look-up of a name and every connection but those on this machine raises.

    For the life of the process: audit hooks cannot be taken out again.
    """
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in _HOST_FIRST:
        _insist_on_loopback(arguments[0])
    elif event in _ADDRESS_SECOND and isinstance(address := arguments[1], tuple):  # a unix socket's address is a path
        _insist_on_loopback(address[0])


def _insist_on_loopback(host: object) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name not in {None, "", "localhost"} and not _is_loopback(str(name)):
        raise OutsideWorldError(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
