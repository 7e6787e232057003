"""SQLite in WAL mode.

Look-ups run on the event loop's own thread (6 µs; a hop to a thread costs 100), searches in a few reader threads, and
all writes in one writer thread that commits in groups: whatever has queued up while the last group was being synced
shares the next sync. Several processes may open one file; each has its own writer and they take turns.
"""

import asyncio
import contextlib
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from doorward.kernel.errors import Conflict, Malformed, Unavailable
from doorward.sql import Dialect, Query, Row, Work

T = TypeVar("T")
Synchronous = Literal["OFF", "NORMAL", "FULL"]

BUSY_SECONDS = 5.0  # how long a write or a search waits for another process
ALTER_SECONDS = 60.0  # how long a change of the schema waits
SEARCH_SECONDS = 15.0
READERS = 3
QUEUE = 10_000  # writes under way; more are refused
GROUP = 1_000  # writes in one commit, so that other processes get their turn
WAL_BYTES = 64 * 2**20  # the log is cut to this after a checkpoint
STATEMENTS = 512  # prepared statements a connection keeps

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_CLASH = {
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
}
_BROKEN = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PROTOCOL,
}


class _Busy(Unavailable):
    """Another process holds the lock that `query` needs."""

    def __init__(self, query: Query | None) -> None:
        super().__init__(retry_after_seconds=1, reason="sqlite: SQLITE_BUSY")
        self.query = query


class _Connection:
    """A connection that speaks in queries and in our own errors. Used by one thread at a time."""

    def __init__(self, path: Path, *pragmas: str) -> None:
        self._raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS)
        for pragma in pragmas:  # some read the file, which another process may just be making
            self.command_in_turn(f"PRAGMA {pragma}", BUSY_SECONDS)

    def command(self, sql: str) -> None:
        """Run what has no values and whose rows do not matter."""
        try:
            self._raw.execute(sql).close()
        except sqlite3.Error as error:
            _raise_ours(error)
            raise

    def command_in_turn(self, sql: str, seconds: float) -> None:
        """Run what needs a lock, waiting up to `seconds` for other processes.

        Own pauses, because those of SQLite grow to 100 ms and are the same for everybody, so that one may starve.
        """
        until = time.monotonic() + seconds
        pause = 0.000_5
        while True:
            try:
                return self.command(sql)
            except _Busy:
                if time.monotonic() > until:
                    raise
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311  spreads the waiters, hides nothing
            pause = min(2 * pause, 0.01)

    def rows(self, query: Query) -> Sequence[Row]:
        """Run one query to its last row."""
        compiled = query.statement.sqlite
        try:
            return self._raw.execute(compiled.sql, query.bound(compiled)).fetchall()
        except sqlite3.Error as error:
            _raise_ours(error, query)
            raise
        except (OverflowError, UnicodeEncodeError):
            # Without its cause, which would repeat the value.
            raise Malformed(reason="sqlite: a number or a text that it cannot hold") from None

    def begin(self, seconds: float) -> None:
        """Take the write lock."""
        self.roll_back()  # what a failed disk may have left
        self.command_in_turn("BEGIN IMMEDIATE", seconds)

    def roll_back(self) -> None:
        """End the transaction, if SQLite has not done so itself (it does after some errors)."""
        if self._raw.in_transaction:
            self.command("ROLLBACK")

    def check_foreign_keys(self) -> None:
        """Raise sqlite3.IntegrityError when a row points nowhere."""
        if broken := self._raw.execute("PRAGMA foreign_key_check").fetchone():
            raise sqlite3.IntegrityError(f"a row of {broken[0]} points to a row missing from {broken[2]}")

    def interrupt(self) -> None:
        """Stop the query that runs, from another thread."""
        self._raw.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()


@dataclass(slots=True)
class _Job:
    """One work on its way through the writer thread."""

    work: Callable[[], Work[Any]]
    future: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None
    committed: list[Callable[[], None]] = field(default_factory=list)

    def run(self, connection: _Connection) -> None:
        """Run the work in a savepoint of its own, so that it fails alone."""
        connection.command("SAVEPOINT work")
        try:
            self.value = _drive(connection, self.work(), committed=self.committed)
        except Exception as error:  # noqa: BLE001  kept for the task that waits
            self.fail(error)
            connection.command("ROLLBACK TO work")
        connection.command("RELEASE work")

    def fail(self, error: Exception) -> None:
        """Remember why nothing of this work remains."""
        self.error = error
        self.committed.clear()

    def resolve(self) -> None:
        """Say what happened, also to the task that waits if it still does. On the event loop."""
        for committed in self.committed:
            committed()
        if self.future.done():
            return  # cancelled
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class SqliteDatabase:
    """Fulfils `ports.Database`. Belongs to the event loop that opened it."""

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        """Use `open`."""
        self._path = path
        self._loop = asyncio.get_running_loop()
        writer = _open_writer(path, synchronous)
        waiting = f"busy_timeout={int(BUSY_SECONDS * 1000)}"
        self._reader = _Connection(path, "busy_timeout=0", "query_only=ON")
        self._idle = [_Connection(path, waiting, "query_only=ON") for _ in range(READERS)]
        self._free = asyncio.Semaphore(READERS)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite reader")
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writing = 0
        self._searching = 0
        self._closed = False
        # A daemon: a process that dies without `close` must not hang; the file is safe at any moment.
        self._thread = threading.Thread(target=self._write_groups, args=(writer,), name="sqlite writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: str | os.PathLike[str], *, synchronous: Synchronous = "FULL") -> "SqliteDatabase":
        """Open the file, making it (mode 0600) when it is missing.

        `synchronous`: FULL means that a write is on the disk when it returns; anything less is for tests and imports.
        """
        return cls(Path(path), synchronous)

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        return "sqlite"

    async def read(self, work: Work[T]) -> T:
        """Run look-ups here and now; only where another process holds the lock they go on in a reader thread."""
        try:
            return _drive(self._reader, work)
        except _Busy as busy:
            return await self._in_reader(partial(_drive, work=work, query=busy.query))

    async def search(self, work: Work[T]) -> T:
        """Run reads in a reader thread, all from one moment of the database."""
        return await self._in_reader(partial(_snapshot, work=work))

    async def write(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction in the next group; synced to the disk when this returns."""
        if self._closed or self._writing >= QUEUE:
            raise Unavailable(retry_after_seconds=1, reason="sqlite: closed, or too many writes")
        job = _Job(work, self._loop.create_future())
        self._writing += 1
        self._queue.put(job)
        return cast("T", await job.future)

    async def alter(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction that changes the schema, alone; foreign keys are checked at its end."""
        return await asyncio.to_thread(_alter, self._path, work)

    async def listen(self, wake: Callable[[], None]) -> bool:  # noqa: ARG002  a part of the port
        """SQLite cannot tell: poll instead."""
        return False

    async def close(self) -> None:
        """Commit what is queued, then let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._pool.shutdown)
        for connection in (self._reader, *self._idle):
            connection.close()

    async def _in_reader(self, job: Callable[[_Connection], T]) -> T:
        if self._searching >= QUEUE:
            raise Unavailable(retry_after_seconds=2, reason="sqlite: too many searches")
        self._searching += 1
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                await self._free.acquire()
                return await self._in_thread(self._idle.pop(), job)
        except TimeoutError:
            raise Unavailable(retry_after_seconds=2, reason="sqlite: a search took too long") from None
        finally:
            self._searching -= 1

    async def _in_thread(self, connection: _Connection, job: Callable[[_Connection], T]) -> T:
        future = self._loop.run_in_executor(self._pool, job, connection)
        future.add_done_callback(partial(self._give_back, connection))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            connection.interrupt()
            raise

    def _give_back(self, connection: _Connection, future: asyncio.Future[Any]) -> None:
        future.exception()  # nobody else asks for it when the task was cancelled
        self._idle.append(connection)
        self._free.release()

    def _write_groups(self, connection: _Connection) -> None:
        """Commit group after group until told to stop. On the writer thread."""
        while jobs := self._next_group():
            _commit(connection, jobs)
            self._loop.call_soon_threadsafe(self._resolve, jobs)
        connection.close()

    def _next_group(self) -> list[_Job]:
        """Wait for a job, then take all that have queued up. Empty: the end."""
        jobs: list[_Job] = []
        while len(jobs) < GROUP and not (jobs and self._queue.empty()):
            job = self._queue.get()
            if job is None:
                # The end comes after what was queued before it.
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _resolve(self, jobs: Sequence[_Job]) -> None:
        self._writing -= len(jobs)
        for job in jobs:
            job.resolve()


def _open_writer(path: Path, synchronous: Synchronous) -> _Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its -wal and -shm take the same mode
    except OSError as error:
        raise Unavailable(retry_after_seconds=1, reason=f"sqlite: {error}") from error
    return _Connection(
        path,
        "busy_timeout=0",
        "foreign_keys=ON",
        f"synchronous={synchronous}",
        "journal_mode=WAL",
        f"journal_size_limit={WAL_BYTES}",
    )


def _commit(connection: _Connection, jobs: Sequence[_Job]) -> None:
    """Run all jobs in one transaction. When that fails nothing remains, and every job hears so."""
    try:
        connection.begin(BUSY_SECONDS)
        for job in jobs:
            job.run(connection)
        connection.command("COMMIT")
    except Exception as error:  # noqa: BLE001  whatever it is, nobody may take it for success
        with contextlib.suppress(sqlite3.Error, Unavailable):
            connection.roll_back()
        for job in jobs:
            # Also those that had failed by themselves: they may have seen rows that never came to be.
            job.fail(Unavailable(retry_after_seconds=1, reason=_reason(error)))


def _alter(path: Path, work: Callable[[], Work[T]]) -> T:
    # To change a column SQLite rebuilds the table; with foreign keys on, dropping the old one deletes its children.
    connection = _Connection(path, "busy_timeout=0", "foreign_keys=OFF", "synchronous=FULL")
    try:
        connection.begin(ALTER_SECONDS)
        value = _drive(connection, work())
        connection.check_foreign_keys()
        connection.command("COMMIT")
    finally:
        connection.roll_back()
        connection.close()
    return value


def _snapshot(connection: _Connection, work: Work[T]) -> T:
    connection.command("BEGIN")
    try:
        return _drive(connection, work)
    finally:
        connection.roll_back()


def _drive(
    connection: _Connection,
    work: Work[T],
    query: Query | None = None,
    committed: list[Callable[[], None]] | None = None,
) -> T:
    """Run `work` to its end; from `query` on where it was interrupted there."""
    try:
        query = query or next(work)
        while True:
            rows = connection.rows(query)
            if committed is not None and query.committed is not None:
                committed.append(query.committed)
            query = work.send(rows)
    except StopIteration as end:
        return cast("T", end.value)
    except _Busy:
        raise  # without closing: the work may go on elsewhere
    except BaseException:
        work.close()
        raise


def _raise_ours(error: sqlite3.Error, query: Query | None = None) -> None:
    """Raise the error of ours that `error` amounts to; return when it is a mistake in our SQL."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _CLASH:
        raise Conflict(reason=_reason(error)) from error
    if code & 0xFF in _BUSY:
        raise _Busy(query) from error
    if code & 0xFF in _BROKEN:
        raise Unavailable(retry_after_seconds=1, reason=_reason(error)) from error


def _reason(error: Exception) -> str:
    return getattr(error, "reason", "") or f"sqlite: {error}"
