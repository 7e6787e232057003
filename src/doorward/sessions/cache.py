"""Live sessions in memory, and the feed that keeps them honest (design: Session cache and revocation)."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from doorward.kernel.instant import Instant
from doorward.sessions.model import Session

MAX_CACHED = 100_000


@dataclass(slots=True)
class Cached:
    """A session as it was read, its prepared answer, and when its use was last written down."""

    session: Session
    body: bytes
    seen_at: Instant
    head: bytes | None = None  # of the answer, made at the first hit


@dataclass(slots=True)
class SessionCache:
    """Least recently used sessions go first. Found by token digest; dropped by session or by user."""

    size: int = MAX_CACHED
    drops: int = 0  # a reader that began before a drop must not put back what was dropped
    _by_digest: OrderedDict[bytes, Cached] = field(default_factory=OrderedDict)
    _digest_of: dict[str, bytes] = field(default_factory=dict)
    _of_user: dict[str, set[str]] = field(default_factory=dict)

    def get(self, digest: bytes) -> Cached | None:
        """What is known of a token, if anything."""
        entry = self._by_digest.get(digest)
        if entry is not None:
            self._by_digest.move_to_end(digest)
        return entry

    def get_by_id(self, session_id: str) -> Cached | None:
        """The same, by the session's public id."""
        digest = self._digest_of.get(session_id)
        return None if digest is None else self.get(digest)

    def put(self, digest: bytes, entry: Cached) -> None:
        """Remember a session just read from the database."""
        self._forget(self._digest_of.get(entry.session.id))
        self._by_digest[digest] = entry
        self._digest_of[entry.session.id] = digest
        self._of_user.setdefault(entry.session.user_id, set()).add(entry.session.id)
        while len(self._by_digest) > self.size:
            self._forget(next(iter(self._by_digest)))

    def drop_session(self, session_id: str) -> None:
        """Forget one session."""
        self.drops += 1
        self._forget(self._digest_of.get(session_id))

    def drop_user(self, user_id: str) -> None:
        """Forget every session of a user."""
        self.drops += 1
        for session_id in tuple(self._of_user.get(user_id, ())):
            self._forget(self._digest_of.get(session_id))

    def drop(self, revocations: Iterable[tuple[str, str]]) -> None:
        """Forget what the feed names, as (kind, id)."""
        for kind, subject in revocations:
            if kind in {"session", "renewal"}:
                self.drop_session(subject)
            elif kind in {"user", "change"}:
                self.drop_user(subject)

    def clear(self) -> None:
        """Forget everything."""
        self.drops += 1
        self._by_digest.clear()
        self._digest_of.clear()
        self._of_user.clear()

    def _forget(self, digest: bytes | None) -> None:
        entry = self._by_digest.pop(digest, None) if digest is not None else None
        if entry is None:
            return
        self._digest_of.pop(entry.session.id, None)
        siblings = self._of_user.get(entry.session.user_id)
        if siblings is not None:
            siblings.discard(entry.session.id)
            if not siblings:
                del self._of_user[entry.session.user_id]
