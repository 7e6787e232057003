"""A PostgreSQL server of the tests' own: private directory, free loopback port, gone with the process that began it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

ROLE = "doorward"
START_SECONDS = 30
ROOM_BYTES = 1 << 30
NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server; its role `doorward` owns everything and needs no password."""

    home: Path
    port: int

    def url(self, name: str) -> str:
        """Address of the database `name`, over TCP on the loopback."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{name}"

    def socket_url(self, name: str) -> str:
        """Address of the database `name`, over the unix socket."""
        return f"postgresql://{ROLE}@/{name}?host={self.home}&port={self.port}"

    def create(self, name: str, template: str = "template1") -> None:
        """Create the database `name` as a copy of `template`, which nobody may be connected to."""
        self._client("createdb", "--template", template, "--strategy", "file_copy", name)

    def drop(self, name: str) -> None:
        """Drop the database `name`, whoever is connected to it."""
        self._client("dropdb", "--force", name)

    def answers(self) -> bool:
        """Whether it takes connections yet."""
        asked = subprocess.run([_binary("pg_isready"), "--quiet", *self._where()], check=False)
        return asked.returncode == 0

    def _client(self, program: str, *arguments: str) -> None:
        subprocess.run([_binary(program), *self._where(), *arguments], check=True)

    def _where(self) -> tuple[str, ...]:
        return ("--host", str(self.home), "--port", str(self.port), "--username", ROLE)


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server of its own as long as the block lasts; `durable`: with fsync, for tests that kill it."""
    home = Path(tempfile.mkdtemp(prefix="doorward-postgres-", dir=None if durable else _memory()))
    try:
        _initialise(home)
        server = PostgresServer(home, free_port())
        process = _start(server, () if durable else NOT_DURABLE)
        try:
            _wait_until_it_answers(server, process)
            yield server
        finally:
            _stop(process)
    finally:
        shutil.rmtree(home)


def _memory() -> str | None:
    """A file system in memory with room enough: databases are copied there ten times faster."""
    shared = Path("/dev/shm")  # noqa: S108  mkdtemp makes the directory, for us alone
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > ROOM_BYTES else None


def _initialise(home: Path) -> None:
    """Make the cluster. PostgreSQL refuses to run as root, so root lends it to Debian's user `postgres`."""
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    arguments = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", f"--username={ROLE}")
    command = [*_as_owner(), _binary("initdb"), *arguments, str(home / "cluster")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=home)


def _start(server: PostgresServer, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    place = ("-D", str(server.home / "cluster"), "-k", str(server.home), "-h", "127.0.0.1", "-p", str(server.port))
    command = [*_as_owner(), _binary("postgres"), *place, "-c", "shared_buffers=32MB", *options]
    with (server.home / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=server.home)


def _wait_until_it_answers(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    patience_ends = time.monotonic() + START_SECONDS
    while not server.answers():
        if process.poll() is not None or time.monotonic() > patience_ends:
            raise RuntimeError(f"PostgreSQL did not start:\n{(server.home / 'log').read_text()}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast shutdown": ends sessions, writes everything, goes
    try:
        process.wait(timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _as_owner() -> tuple[str, ...]:
    """Run what follows unprivileged; it gets SIGINT when the thread that started it dies, so that none is left over."""
    last_will = ("setpriv", "--pdeathsig", "INT")
    if os.geteuid() != 0:
        return last_will
    owner = pwd.getpwnam("postgres")
    return (*last_will, f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups")


def _binary(name: str) -> str:
    """Path of a PostgreSQL program: the newest of Debian's, else that on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise RuntimeError(f"PostgreSQL's {name} is not here; `make test` says how to install it")
    return found
