"""Which processes there are and which of them holds a connection, from Linux' /proc."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def descendants(pid: int) -> set[int]:
    """Every living process that `pid` or one of its descendants started."""
    found: set[int] = set()
    for child in _children(pid):
        found |= {child} | descendants(child)
    return found


def workers(pid: int) -> set[int]:
    """The processes of a server that answer requests: those it spawned for that, else itself."""
    return {child for child in _children(pid) if b"spawn_main" in _command(child)} or {pid}


def is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def holder(candidates: Iterable[int], server_port: int, client_port: int) -> int | None:
    """Which of the processes has accepted the connection between two ports of the IPv4 loopback."""
    socket = f"socket:[{_inode(server_port, client_port)}]"
    return next((pid for pid in candidates if socket in _open_files(pid)), None)


def _inode(local_port: int, remote_port: int) -> str:
    ends = [f"0100007F:{local_port:04X}", f"0100007F:{remote_port:04X}"]
    table = (PROC / "net/tcp").read_text().splitlines()[1:]
    return next((columns[9] for columns in map(str.split, table) if columns[1:3] == ends), "none")


def _open_files(pid: int) -> set[str]:
    found = set[str]()
    with suppress(FileNotFoundError):  # it has just gone
        for file in (PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):  # as one of its files may have
                found.add(str(file.readlink()))
    return found


def _children(pid: int) -> set[int]:
    try:
        tasks = [(task / "children").read_text() for task in (PROC / str(pid) / "task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {int(child) for text in tasks for child in text.split()}


def _command(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
