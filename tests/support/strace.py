"""Reads from a trace of system calls what was on the disk when an answer left."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg,read,recvfrom"
COMMAND = ("strace", "-f", "-y", "-qq", "-s", "200", "-e", f"trace={CALLS}")

_CALL = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\(\d+<(?P<path>[^>]*)>")
_SYNCS = {"fdatasync", "fsync"}
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>.* = 0$")


@dataclass(slots=True)
class _Disk:
    """What of one file the kernel may still lose."""

    path: str
    written: bool = False
    dirty: bool = False
    syncing: set[str] = field(default_factory=set)
    syncs: int = 0

    def follow(self, line: str) -> None:
        if (call := _CALL.match(line)) and call["path"] == self.path:
            self._begin(call["thread"], call["name"], unfinished="<unfinished" in line)
        elif (end := _RESUMED.match(line)) and end["thread"] in self.syncing:
            self.syncing.discard(end["thread"])
            self._synced()

    def _begin(self, thread: str, name: str, *, unfinished: bool) -> None:
        if name == "pwrite64":
            self.written = self.dirty = True
        elif name in _SYNCS and unfinished:  # another thread got a word in; the call ends on a line of its own
            self.syncing.add(thread)
        elif name in _SYNCS:
            self._synced()

    def _synced(self) -> None:
        self.dirty = False
        self.syncs += 1


def unsynced_answers(trace: Iterable[str], database: Path, answer: str, request: str = "$.") -> Sequence[str]:
    """The lines with `answer` (a regular expression) that left before what was written since the one before was synced.

    Also those before which nothing was written at all: then the trace proves nothing. With `request`, which matches the
    line in which one arrives (by default none does), what was written before it does not count.
    """
    disk, found = _Disk(f"{database}-wal"), []
    for line in trace:
        disk.follow(line)
        if re.search(request, line):
            disk.written = False
        if re.search(answer, line):
            if disk.dirty or not disk.written:
                found.append(line)
            disk.written = False
    return found


def count_syncs(trace: Iterable[str], database: Path) -> int:
    """How often the write-ahead log of `database` was synced."""
    disk = _Disk(f"{database}-wal")
    for line in trace:
        disk.follow(line)
    return disk.syncs
