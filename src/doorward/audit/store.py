"""The SQL of the audit trail. There is no update and no delete: rows are only added, and payloads redacted."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache

from sqlalchemy import bindparam, insert, select

from doorward.audit.model import AuditEvent, Event
from doorward.sql import Statement, Value, Work
from doorward.sql.tables import audit_event

_NAMES = tuple(field.name for field in fields(AuditEvent))
_COLUMNS = tuple(audit_event.c[name] for name in _NAMES)

INSERT_EVENT = Statement(insert(audit_event).values({name: bindparam(name) for name in _NAMES}))

FIND_EVENT = Statement(select(*_COLUMNS).where(audit_event.c.id == bindparam("event_id")))

LIST_EVENTS_AFTER = Statement(
    select(*_COLUMNS)
    .where(audit_event.c.id > bindparam("event_id"))
    .order_by(audit_event.c.id)
    .limit(bindparam("limit"))
)
LIST_OF_USER = Statement(
    select(*_COLUMNS)
    .where(
        audit_event.c.user_id == bindparam("user_id"),
        # By ids alone, as they are in the index: `at` would have every older row fetched to be thrown away.
        audit_event.c.id >= bindparam("first"),
        audit_event.c.id < bindparam("before"),
    )
    .order_by(audit_event.c.id.desc())
    .limit(bindparam("limit"))
)


def insert_event(row: AuditEvent, committed: Callable[[], None]) -> Work[None]:
    """Add a row; `committed` is called once it is durable."""
    params: dict[str, Value] = {name: getattr(row, name) for name in _NAMES}
    yield INSERT_EVENT(**params).then(committed)


def find_event(event_id: str) -> Work[AuditEvent | None]:
    """One row by id."""
    rows = yield FIND_EVENT(event_id=event_id)
    return AuditEvent(*rows[0]) if rows else None


def list_events(*, user_id: str | None = None, event: Event | None = None, limit: int = 100) -> Work[list[AuditEvent]]:
    """Find the newest rows, newest first: of one user, of one kind, as far as these are given."""
    wanted: dict[str, Value] = {"user_id": user_id, "event": event and event.value}
    given = {name: value for name, value in wanted.items() if value is not None}
    rows = yield _list_statement(frozenset(given))(**given, limit=limit)
    return [AuditEvent(*row) for row in rows]


def list_events_after(event_id: str, limit: int) -> Work[list[AuditEvent]]:
    """The next rows in the order of their ids, oldest first."""
    rows = yield LIST_EVENTS_AFTER(event_id=event_id, limit=limit)
    return [AuditEvent(*row) for row in rows]


def list_of_user(user_id: str, first: str, before: str, limit: int) -> Work[list[AuditEvent]]:
    """The newest rows about a user with ids from `first` up to, but without, `before`; newest first."""
    rows = yield LIST_OF_USER(user_id=user_id, first=first, before=before, limit=limit)
    return [AuditEvent(*row) for row in rows]


@cache
def _list_statement(given: frozenset[str]) -> Statement:
    conditions = {
        "user_id": audit_event.c.user_id == bindparam("user_id"),
        "event": audit_event.c.event == bindparam("event"),
    }
    chosen = [condition for name, condition in conditions.items() if name in given]
    # The id is a UUIDv7, so the primary key already sorts by time.
    return Statement(select(*_COLUMNS).where(*chosen).order_by(audit_event.c.id.desc()).limit(bindparam("limit")))
