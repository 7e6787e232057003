"""Several processes that serve the same data, and callers who know which of them answers."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from tests.support.calling import Caller
from tests.support.ports import free_port
from tests.support.processes import holder, workers
from tests.support.serving import ROOT, Running, running

PUBLIC_URL = "http://localhost:8000"  # one for all, so that a token of one is a token for the others
WAIT_SECONDS = 40
PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Farm:
    """`database`: where its data are, a URL or the path of a file. `arguments`: which data a command is to work on."""

    servers: Sequence[Running]
    ports: Sequence[int]
    database: str
    arguments: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)

    def processes(self) -> set[int]:
        """Those that answer requests."""
        return {pid for server in self.servers for pid in workers(server.process.pid)}

    @contextmanager
    def callers(self, number: int = 0) -> Iterator[list[tuple[int, Caller]]]:
        """Open connections, each with the process that accepted it: one for every process, and at least `number`."""
        self.wait()
        found: list[tuple[int, Caller]] = []
        deadline = time.monotonic() + WAIT_SECONDS
        ports = cycle(self.ports)
        with ExitStack() as opened:
            while len(found) < number or self.processes() - dict(found).keys():
                assert time.monotonic() < deadline, f"of {self.processes()}, only {set(dict(found))} accept connections"
                found.append(self._accepted(opened.enter_context(Caller(port := next(ports))), port))
            # The system spreads connections as it likes: most of the first ones may be of one process.
            firsts = dict(reversed(found))
            rest = [(process, caller) for process, caller in found if caller is not firsts[process]]
            yield [*firsts.items(), *rest][: max(number, len(firsts))]

    def wait(self) -> None:
        """Return when every process accepts connections: what is opened while one still starts would be closed idle."""
        seen: set[int] = set()
        deadline = time.monotonic() + WAIT_SECONDS
        ports = cycle(self.ports)
        while missing := self.processes() - seen:
            assert time.monotonic() < deadline, f"{missing} accept no connections"
            with Caller(port := next(ports)) as caller:
                seen.add(self._accepted(caller, port)[0])
            time.sleep(PAUSE_SECONDS)

    def _accepted(self, caller: Caller, port: int) -> tuple[int, Caller]:
        assert caller.ask("GET", "/livez").status == 200
        process = holder(self.processes(), port, caller.port)
        assert process is not None
        return process, caller

    def command(self, *words: str) -> None:
        """Run a command of `doorward` on the same data."""
        command = [sys.executable, "-m", "doorward.cli", *words, *self.arguments]
        subprocess.run(command, cwd=ROOT, env=self.environ, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def four_workers(place: Path, config: Path) -> Iterator[Farm]:
    """One server with four workers on an SQLite file."""
    data = ("--data", str(place / "data"), "--config", str(config))
    port = free_port()
    with _server(port, data, os.environ, "--workers", "4") as server:
        yield Farm([server], [port], str(place / "data/doorward.db"), data, os.environ)


@contextmanager
def two_nodes(place: Path, config: Path, url: str) -> Iterator[Farm]:
    """Two servers, each with a data directory of its own, on one PostgreSQL database and with one sealing key."""
    environ = {**os.environ, "DOORWARD_DATABASE__URL": url}
    with ExitStack() as stack:
        servers, ports = [], [free_port(), free_port()]
        for number, port in enumerate(ports):
            data = ("--data", str(place / f"data{number}"), "--config", str(config))
            if number:
                (place / f"data{number}").mkdir(0o700)
                shutil.copy(place / "data0/sealing.key", place / f"data{number}")
            servers.append(stack.enter_context(_server(port, data, environ)))
        yield Farm(servers, ports, url, ("--data", str(place / "data0"), "--config", str(config)), environ)


@contextmanager
def _server(port: int, data: Sequence[str], environ: Mapping[str, str], *more: str) -> Iterator[Running]:
    environ = {**environ, "DOORWARD_SERVER__PUBLIC_URL": PUBLIC_URL}
    with running("doorward.cli", "serve", "--port", str(port), *data, *more, environ=environ) as server:
        yield server
