"""The database."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from doorward.sql import Dialect, Work

T = TypeVar("T")


class Database(Protocol):
    """Runs store generators.

    Raises `Unavailable` when the database does not answer or is full, `Conflict` when a write breaks a unique or a
    foreign key, `Malformed` for a value that the database cannot hold (a number of more than 64 bits, a lone surrogate;
    on PostgreSQL also NUL in text).
    """

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run look-ups by primary or unique key. On SQLite they run on the event loop's own thread."""
        ...

    async def search(self, work: Work[T]) -> T:
        """Run reads that may take longer than a key look-up, away from the event loop."""
        ...

    async def write(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction, durable when this returns. An exception from `work` rolls back and is raised here.

        `work` is called anew when the database asks for a retry, so it must have no effect outside the database. What
        has to happen outside is hung on a query (`Query.then`): after the commit, on the event loop and in the order of
        the queries, the `committed` of each query of the attempt that was committed is called; others are forgotten.
        """
        ...

    async def alter(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction that changes the schema, one at a time among all processes and nodes."""
        ...

    async def listen(self, wake: Callable[[], None]) -> bool:
        """Call `wake` whenever another node wrote a revocation; False when this database cannot tell (SQLite)."""
        ...

    async def close(self) -> None:
        """Finish what is queued and let go of files and connections."""
        ...
