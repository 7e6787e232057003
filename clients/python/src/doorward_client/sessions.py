"""Where an app's server keeps what a browser's cookie stands for (a back end for front ends).

The browser holds 256 random bits; the tokens never leave the server. A row is found by a hash of those bits and sealed
with a key made of them, so that whoever steals the store, but no cookie, can neither read it nor sign in with it.
SQLite is the usual store: the processes of one machine share it, it survives a restart, and signing out ends the
session for good. A cookie that held the tokens, however well sealed, could not be ended by us when it is stolen, would
come back with the predecessor of a refresh token from every second tab, and outgrows its 4 KiB with a few claims.
"""

import hashlib
import json
import math
import sqlite3
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from doorward_client.errors import Unavailable
from doorward_client.seal import derive, seal, unseal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (id BLOB PRIMARY KEY, content BLOB NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_until ON session (until);
CREATE TABLE IF NOT EXISTS proof (id BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS proof_until ON proof (until);
"""


class SessionStore(Protocol):
    """Keeps sealed rows. Called on the event loop by asynchronous apps, so it must be quick."""

    def read(self, name: bytes, now: float) -> bytes | None:
        """The row of this name that has not ended."""

    def write(self, name: bytes, content: bytes, *, now: float, until: float) -> None:
        """Keep a row, in place of one of the same name. A good moment to forget rows that have ended."""

    def delete(self, name: bytes) -> None:
        """Forget a row, if it is there."""


@dataclass
class SessionsInMemory:
    """Rows of this process alone: for tests, and for one process that may forget everybody when it restarts."""

    _rows: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)

    def read(self, name: bytes, now: float) -> bytes | None:
        """The row of this name that has not ended."""
        content, until = self._rows.get(name, (b"", 0.0))
        return content if until > now else None

    def write(self, name: bytes, content: bytes, *, now: float, until: float) -> None:
        """Keep a row, and forget those that have ended."""
        for old in [name for name, (_, end) in list(self._rows.items()) if end <= now]:
            self._rows.pop(old, None)
        self._rows[name] = (content, until)

    def delete(self, name: bytes) -> None:
        """Forget a row."""
        self._rows.pop(name, None)


class SessionsInSQLite:
    """Rows in a file that the processes of one machine share. Each thread has a connection of its own.

    The file remembers DPoP proofs, too (SeenProofs), so that one that was shown to a process counts at no other.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._own = threading.local()
        self._connection().executescript(_SCHEMA)

    def read(self, name: bytes, now: float) -> bytes | None:
        """The row of this name that has not ended."""
        found = self._connection().execute("SELECT content FROM session WHERE id = ? AND until > ?", (name, int(now)))
        row = found.fetchone()
        return row[0] if row else None

    def write(self, name: bytes, content: bytes, *, now: float, until: float) -> None:
        """Keep a row, and forget those that have ended."""
        with self._connection() as connection:
            connection.execute("DELETE FROM session WHERE until <= ?", (int(now),))
            connection.execute("INSERT OR REPLACE INTO session VALUES (?, ?, ?)", (name, content, int(until)))

    def delete(self, name: bytes) -> None:
        """Forget a row."""
        with self._connection() as connection:
            connection.execute("DELETE FROM session WHERE id = ?", (name,))

    def first_time(self, proof: str, now: float, until: float) -> bool:
        """Whether no process met this proof before; all remember it until then. Raises Unavailable."""
        try:
            with self._connection() as connection:
                connection.execute("DELETE FROM proof WHERE until <= ?", (int(now),))
                made = connection.execute("INSERT OR IGNORE INTO proof VALUES (?, ?)", (_name(proof), math.ceil(until)))
        except sqlite3.OperationalError as error:  # the disk is full, or another process holds the file
            raise Unavailable("DPoP proofs cannot be remembered now") from error
        return made.rowcount == 1

    def close(self) -> None:
        """Close this thread's connection; those of others close with their threads."""
        self._connection().close()
        del self._own.connection

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=5)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._own.connection = connection
        return connection


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie stands for. `until` is when the session ends at the latest, in seconds since the epoch."""

    access_token: str
    expires_at: float
    refresh_token: str | None
    sub: str
    until: float
    profile: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions by the value of their cookie."""

    store: SessionStore

    def load(self, cookie: str, now: float) -> Session | None:
        """The session, or None when there is none, or its row is not one that we wrote."""
        content = self.store.read(_name(cookie), now)
        opened = None if content is None else unseal(derive(cookie, "session"), content, "session")
        return None if opened is None else Session(**json.loads(opened))

    def save(self, cookie: str, session: Session, now: float) -> None:
        """Keep it."""
        content = seal(derive(cookie, "session"), json.dumps(asdict(session)).encode(), "session")
        self.store.write(_name(cookie), content, now=now, until=session.until)

    def end(self, cookie: str) -> None:
        """End it; the cookie stands for nothing any more."""
        self.store.delete(_name(cookie))


def _name(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
