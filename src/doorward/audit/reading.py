"""Reading the audit trail, for operators and for those whom it is about."""

from collections.abc import Sequence
from dataclasses import dataclass

from doorward.audit import store
from doorward.audit.model import AuditEvent, Event
from doorward.audit.service import AuditTrail
from doorward.kernel.ids import first_id
from doorward.kernel.instant import Instant
from doorward.ports import Database
from doorward.sql import Work

_PAGE = 1_000  # rows
_BEYOND_ALL = "g"  # sorts behind every id


@dataclass(frozen=True, slots=True)
class Verification:
    """How many rows were looked at, and the ids of those that are not as they were recorded."""

    rows: int
    changed: Sequence[str]


def list_about(user_id: str, limit: int) -> Work[Sequence[AuditEvent]]:
    """The newest `limit` rows about a user, newest first, as the caller's transaction sees them."""
    return (yield from store.list_of_user(user_id, "", _BEYOND_ALL, limit))


@dataclass(frozen=True, slots=True)
class AuditReader:
    """What was recorded, and whether it is still so."""

    db: Database
    trail: AuditTrail

    async def newest(
        self, *, limit: int, user_id: str | None = None, event: Event | None = None
    ) -> Sequence[AuditEvent]:
        """The newest `limit` rows, oldest of them first."""
        found = await self.db.search(store.list_events(user_id=user_id, event=event, limit=limit))
        return found[::-1]

    async def of_user(
        self, user_id: str, *, since: Instant, before: str | None = None, limit: int
    ) -> Sequence[AuditEvent]:
        """The newest `limit` rows about a user since an instant, newest first; `before`: only those older than that id.

        What is recorded meanwhile is newer, so that pages neither repeat a row nor leave one out.
        """
        before = _BEYOND_ALL if before is None else before
        return await self.db.search(store.list_of_user(user_id, first_id(since), before, limit))

    async def find(self, event_id: str) -> AuditEvent | None:
        """One row, whoever it is about."""
        return await self.db.read(store.find_event(event_id))

    async def verify(self) -> Verification:
        """Check the MAC of every row (ASVS 16.4.2). A row that was taken away leaves no trace here."""
        rows, changed, after = 0, list[str](), ""
        while page := await self.db.search(store.list_events_after(after, _PAGE)):
            changed += [row.id for row in page if not self.trail.verify(row)]
            rows, after = rows + len(page), page[-1].id
        return Verification(rows, changed)
