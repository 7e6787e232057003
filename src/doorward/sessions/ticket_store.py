"""SQL of half signed-in states: tables ticket and kept_form."""

import json
from collections import Counter
from typing import cast

from sqlalchemy import bindparam as p
from sqlalchemy import delete, select

from doorward.kernel.instant import Instant
from doorward.sessions.model import Ticket
from doorward.sql import Row, Statement, Work, insert, purge
from doorward.sql.tables import kept_form, ticket

_COLUMNS = (
    ticket.c.id,
    ticket.c.user_id,
    ticket.c.session_id,
    ticket.c.owes,
    ticket.c.amr,
    ticket.c.context,
    ticket.c.created_at,
    ticket.c.expires_at,
)
_INSERT = Statement(insert(ticket).values({column.name: p(column.name) for column in ticket.columns}))
_FIND = Statement(select(*_COLUMNS).where(ticket.c.token_digest == p("digest"), ticket.c.expires_at > p("now")))
_DELETE = Statement(delete(ticket).where(ticket.c.id == p("ticket_id")).returning(ticket.c.id))
_DELETE_OF_USER = Statement(delete(ticket).where(ticket.c.user_id == p("owner")))
_LIST_OF_USER = Statement(
    select(ticket.c.id, ticket.c.session_id, ticket.c.context)
    .where(ticket.c.user_id == p("owner"))
    .order_by(ticket.c.created_at.desc(), ticket.c.id.desc())
)
_DELETE_EXPIRED = purge(ticket.c.id, ticket.c.expires_at <= p("now"))
_KEEP_FORM = Statement(
    insert(kept_form)
    .values({column.name: p(column.name) for column in kept_form.columns})
    .on_conflict_do_update(
        index_elements=[kept_form.c.session_id],
        set_={name: p(name) for name in ("path", "fields_sealed", "expires_at")},
    )
)
_TAKE_FORM = Statement(
    delete(kept_form)
    .where(kept_form.c.session_id == p("session"), kept_form.c.expires_at > p("now"))
    .returning(kept_form.c.path, kept_form.c.fields_sealed)
)
_DELETE_OLD_FORMS = purge(kept_form.c.session_id, kept_form.c.expires_at <= p("now"))


def insert_ticket(opened: Ticket, digest: bytes) -> Work[None]:
    """Keep a half signed-in state; of its token only the digest."""
    context = {
        "transport": opened.transport,
        "device_id": opened.device_id,
        "path": opened.path,
        "wants_jwt": opened.wants_jwt,
    }
    yield _INSERT(
        id=opened.id,
        token_digest=digest,
        user_id=opened.user_id,
        session_id=opened.session_id,
        owes=opened.owes,
        amr=json.dumps(opened.amr),
        context=json.dumps(context),
        created_at=opened.created_at,
        expires_at=opened.expires_at,
    )


def find_ticket(digest: bytes, now: Instant) -> Work[Ticket | None]:
    """The state whose token has this SHA-256, unless it has expired."""
    rows = yield _FIND(digest=digest, now=now)
    return _ticket(rows[0]) if rows else None


def delete_ticket(ticket_id: str) -> Work[bool]:
    """Use one up; True for exactly one caller."""
    return bool((yield _DELETE(ticket_id=ticket_id)))


def delete_tickets(owner: str) -> Work[None]:
    """End every half signed-in state of a user."""
    yield _DELETE_OF_USER(owner=owner)


def delete_tickets_beyond(owner: str, keep: int) -> Work[None]:
    """End the oldest beyond `keep` of each session, of each known device and of all other browsers together.

    A thief of the password, who opens one after the other, ends none in a browser that its owner has used before.
    """
    seen: Counter[str] = Counter()
    for ticket_id, session_id, context in (yield _LIST_OF_USER(owner=owner)):
        whose = session_id or json.loads(context)["device_id"] or ""
        seen[whose] += 1
        if seen[whose] > keep:
            yield _DELETE(ticket_id=ticket_id)


def delete_expired_tickets(now: Instant) -> Work[int]:
    """Forget what has expired, some at a time; how many."""
    return len((yield _DELETE_EXPIRED(now=now)))


def upsert_form(session_id: str, path: str, fields_sealed: bytes, expires_at: Instant) -> Work[None]:
    """Keep what was sent; a session has one such form."""
    yield _KEEP_FORM(session_id=session_id, path=path, fields_sealed=fields_sealed, expires_at=expires_at)


def delete_form(session_id: str, now: Instant) -> Work[tuple[str, bytes] | None]:
    """Take what was kept: (path, sealed fields), once."""
    rows = yield _TAKE_FORM(session=session_id, now=now)
    return (str(rows[0][0]), bytes(rows[0][1])) if rows else None


def delete_old_forms(now: Instant) -> Work[int]:
    """Forget what nobody came back for, some at a time; how many."""
    return len((yield _DELETE_OLD_FORMS(now=now)))


def _ticket(row: Row) -> Ticket:
    ticket_id, user_id, session_id, owes, amr, context, created_at, expires_at = row
    begins = json.loads(context)
    return Ticket(
        id=ticket_id,
        user_id=user_id,
        session_id=session_id,
        owes=owes,
        amr=tuple(json.loads(amr)),
        transport=begins["transport"],
        device_id=cast("str | None", begins["device_id"]),
        path=begins["path"],
        wants_jwt=begins["wants_jwt"],
        created_at=created_at,
        expires_at=expires_at,
    )
