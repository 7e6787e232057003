"""PostgreSQL over asyncpg.

A pool of our own, because asyncpg's resets a connection whenever it is given back (one more round trip) and forgets its
prepared statements with it. READ COMMITTED: what must happen once is one UPDATE ... WHERE ... RETURNING.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar, cast

import asyncpg
from asyncpg import exceptions

from doorward.kernel.errors import Conflict, Malformed, Unavailable
from doorward.sql import Dialect, Query, Row, Work

T = TypeVar("T")

CHANNEL = "doorward_revocation"
CONNECTIONS = 8
WAIT_SECONDS = 5.0  # for a connection
CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 20.0
PING_SECONDS = 10.0  # a listener that hears nothing asks whether its line still stands
ATTEMPTS = 8  # of a transaction that collides with another
STATEMENTS = 512  # prepared statements a connection keeps
ALTER_LOCK = 0x646F6F72  # "door": advisory lock of whoever changes the schema

SETTINGS = {
    "application_name": "doorward",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",  # costs more than it gains in queries as short as ours
    "statement_timeout": "25s",  # a little more than we wait, so that nothing goes on unheard
    "synchronous_commit": "on",
}
ALTER_SETTINGS = {"application_name": "doorward schema", "lock_timeout": "60s", "synchronous_commit": "on"}

_FAILURES = (  # whatever asyncpg raises
    OSError,
    TimeoutError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
    exceptions.PostgresError,
)
_CLASH = (exceptions.UniqueViolationError, exceptions.ForeignKeyViolationError)
_COLLISION = (
    exceptions.DeadlockDetectedError,
    exceptions.InvalidCachedStatementError,  # another node has just changed the schema
    exceptions.SerializationError,
)
_UNFIT = (
    exceptions.CharacterNotInRepertoireError,
    exceptions.NumericValueOutOfRangeError,
    exceptions.UntranslatableCharacterError,  # \u0000 in JSON
)
_BROKEN = (
    OSError,
    TimeoutError,
    exceptions.InsufficientResourcesError,  # disk or connections are used up
    exceptions.InternalClientError,  # the other end does not speak PostgreSQL
    exceptions.InvalidAuthorizationSpecificationError,
    exceptions.InvalidCatalogNameError,
    exceptions.LockNotAvailableError,
    exceptions.OperatorInterventionError,  # shutting down, starting up, cancelled
    exceptions.PostgresConnectionError,
    exceptions.PostgresIOError,
    exceptions.PostgresSystemError,
    exceptions.ReadOnlySQLTransactionError,  # a stand-by after a fail-over
)


class _Collision(Unavailable):
    """The transaction met another one; worth another attempt."""


class _Pool:
    """At most `size` connections; the one used last is lent first, its statements being the freshest."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[asyncpg.Connection] = []

    async def take(self) -> asyncpg.Connection:
        """Borrow a connection, made anew where the server has hung up."""
        await _acquire(self._free)
        try:
            return self._open_one() or await _connect(self._url, SETTINGS, STATEMENT_SECONDS)
        except BaseException:
            self._free.release()
            raise

    def give_back(self, connection: asyncpg.Connection) -> None:
        """Return it; one in disorder is thrown away."""
        if connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append(connection)
        self._free.release()

    async def close(self) -> None:
        """Wait until all are back, then hang up."""
        for _ in range(self._size):
            await self._free.acquire()
        for connection in self._idle:
            with contextlib.suppress(*_FAILURES):
                await connection.close(timeout=CONNECT_SECONDS)

    def _open_one(self) -> asyncpg.Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None


class PostgresDatabase:
    """Fulfils `ports.Database`. Belongs to the event loop that opened it."""

    def __init__(self, url: str, connections: int) -> None:
        """Use `open`."""
        self._url = url
        self._pool = _Pool(url, connections)
        self._searches = asyncio.Semaphore(max(1, connections // 2))
        self._writes: set[asyncio.Task[object]] = set()
        self._listeners: list[asyncio.Task[None]] = []
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, connections: int = CONNECTIONS) -> "PostgresDatabase":
        """Connect to `url` (postgresql://...; TLS as its sslmode says). Raises Unavailable when nobody answers.

        `connections`: how many at most; one more for each `listen`. Half of them may be busy with searches.
        """
        database = cls(url, connections)
        database._pool.give_back(await database._pool.take())
        return database

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        return "postgresql"

    async def read(self, work: Work[T]) -> T:
        """Run look-ups, each statement by itself."""
        self._refuse_if_closed()
        connection = await self._pool.take()
        try:
            return await _drive(connection, work)
        finally:
            self._pool.give_back(connection)

    async def search(self, work: Work[T]) -> T:
        """Run longer reads; they never take more than half of the connections."""
        await _acquire(self._searches)
        try:
            return await self.read(work)
        finally:
            self._searches.release()

    async def write(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction, again when it collides. It goes on when the task that waits is cancelled."""
        self._refuse_if_closed()
        writing = asyncio.create_task(self._write(work))
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return await asyncio.shield(writing)

    async def alter(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction that changes the schema: one at a time among all nodes, and without a time limit."""
        connection = await _connect(self._url, ALTER_SETTINGS, seconds=None)
        try:
            await _command(connection, "BEGIN")
            await _command(connection, f"SELECT pg_advisory_xact_lock({ALTER_LOCK})")
            value = await _drive(connection, work())
            await _commit(connection)
            return value
        finally:
            connection.terminate()

    async def listen(self, wake: Callable[[], None]) -> bool:
        """Call `wake` at every NOTIFY of a revocation, and after every time we may have missed one."""
        tried = asyncio.Event()
        self._listeners.append(asyncio.create_task(_keep_listening(self._url, wake, tried), name="postgresql listener"))
        await tried.wait()
        return True

    async def close(self) -> None:
        """Finish what was begun, then hang up."""
        if self._closed:
            return
        self._closed = True
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, *self._writes, return_exceptions=True)
        await self._pool.close()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Unavailable(retry_after_seconds=1, reason="postgresql: closed")

    async def _write(self, work: Callable[[], Work[T]]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return await self._transact(work)
            except _Collision:
                # Spread, because those that met once would meet again.
                await asyncio.sleep(random.random() * 0.005 * 2**attempt)  # noqa: S311  hides nothing
        raise Unavailable(retry_after_seconds=1, reason="postgresql: transactions keep colliding")

    async def _transact(self, work: Callable[[], Work[T]]) -> T:
        committed: list[Callable[[], None]] = []
        connection = await self._pool.take()
        try:
            await _command(connection, "BEGIN")
            value = await _drive(connection, work(), committed)
            await _commit(connection)
        except Exception as error:
            await _roll_back(connection, error)
            raise
        finally:
            self._pool.give_back(connection)
        for call in committed:
            call()
        return value


async def _acquire(places: asyncio.Semaphore) -> None:
    """Take a place, waiting at most WAIT_SECONDS."""
    if not places.locked():
        await places.acquire()
        return
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await places.acquire()
    except TimeoutError:
        raise Unavailable(retry_after_seconds=1, reason="postgresql: all connections are busy") from None


async def _keep_listening(url: str, wake: Callable[[], None], tried: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(Unavailable):
            async with _line(url, wake) as line:
                tried.set()
                wake()  # something may have been said before we listened
                await _until_lost(line)
        tried.set()
        await asyncio.sleep(random.uniform(0.1, 1))  # noqa: S311  so that not all nodes come back at once


@asynccontextmanager
async def _line(url: str, wake: Callable[[], None]) -> AsyncIterator[asyncpg.Connection]:
    line = await _connect(url, {"application_name": "doorward listener"}, CONNECT_SECONDS)
    try:
        await line.add_listener(CHANNEL, lambda *_: wake())
        yield line
    except _FAILURES as error:
        raise _ours(error, line) from None
    finally:
        line.terminate()


async def _until_lost(line: asyncpg.Connection) -> None:
    """Wait until the line is lost: told so, or without an answer to a ping. Raises Unavailable then."""
    lost = asyncio.Event()
    line.add_termination_listener(lambda _: lost.set())
    while True:
        # Not wait_for: in Python 3.11 it loses a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PING_SECONDS):
                await lost.wait()
        await _command(line, "SELECT 1")


async def _connect(url: str, settings: Mapping[str, str], seconds: float | None) -> asyncpg.Connection:
    """`seconds`: how long a statement may take."""
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=seconds,
            statement_cache_size=STATEMENTS,
            max_cached_statement_lifetime=0,
            server_settings=dict(settings),
        )
    except _FAILURES as error:
        raise _ours(error) from None


async def _drive(connection: asyncpg.Connection, work: Work[T], committed: list[Callable[[], None]] | None = None) -> T:
    """Run `work` to its end."""
    try:
        query = next(work)
        while True:
            rows = await _rows(connection, query)
            if committed is not None and query.committed is not None:
                committed.append(query.committed)
            query = work.send(rows)
    except StopIteration as end:
        return cast("T", end.value)
    except BaseException:
        work.close()
        raise


async def _rows(connection: asyncpg.Connection, query: Query) -> Sequence[Row]:
    compiled = query.statement.postgresql
    values = query.bound(compiled)
    try:
        records = await connection.fetch(compiled.sql, *values)
    except (asyncio.CancelledError, *_FAILURES) as error:
        raise _ours(error, connection) from None
    return [tuple(record) for record in records]


async def _command(connection: asyncpg.Connection, sql: str) -> str:
    try:
        return await connection.execute(sql)
    except (asyncio.CancelledError, *_FAILURES) as error:
        raise _ours(error, connection) from None


async def _commit(connection: asyncpg.Connection) -> None:
    """Commit. Raises Unavailable when the server rolled back instead, which it says in its answer only."""
    if await _command(connection, "COMMIT") != "COMMIT":
        raise Unavailable(retry_after_seconds=1, reason="postgresql: rolled back at commit")


async def _roll_back(connection: asyncpg.Connection, error: Exception) -> None:
    if isinstance(error, Unavailable) and not isinstance(error, _Collision):
        connection.terminate()  # it may not answer, and the server rolls back by itself
    else:
        await _command(connection, "ROLLBACK")


def _ours(error: BaseException, connection: asyncpg.Connection | None = None) -> BaseException:
    """Our own error for one of asyncpg's. To be raised without a cause, which would repeat values of rows."""
    if connection is not None and isinstance(error, asyncio.CancelledError | TimeoutError):
        connection.terminate()  # the answer that nobody waits for is still on its way
    if isinstance(error, _CLASH):
        return Conflict(reason=f"postgresql: {error.constraint_name}")
    if isinstance(error, _UNFIT) or isinstance(error.__cause__, OverflowError | UnicodeEncodeError):
        return Malformed(reason="postgresql: a number or a text that it cannot hold")
    if isinstance(error, _COLLISION):
        return _Collision(retry_after_seconds=1, reason=_reason(error))
    if isinstance(error, _BROKEN) or (isinstance(error, exceptions.InterfaceError) and _hung_up(connection)):
        return Unavailable(retry_after_seconds=1, reason=_reason(error))
    if type(error) is exceptions.DataError:  # asyncpg's own, before it sends anything
        return TypeError("postgresql: a value that does not fit its column")
    return error


def _hung_up(connection: asyncpg.Connection | None) -> bool:
    return connection is None or connection.is_closed()


def _reason(error: BaseException) -> str:
    # The message without asyncpg's DETAIL line, which may hold values.
    return f"postgresql: {getattr(error, 'message', None) or str(error) or type(error).__name__}"
