"""What the audit trail gives a user of what concerns them."""

import json
from typing import Any, Final

from doorward.audit import store
from doorward.audit.model import AuditEvent
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.sql import Work

MOST_EVENTS: Final = 5_000


def export_activity(user_id: str, _now: Instant) -> Work[dict[str, Any]]:
    """The newest events about a user, the latest first; `complete` says whether these are all."""
    found = yield from store.list_events(user_id=user_id, limit=MOST_EVENTS + 1)
    events = [_shown(row, user_id) for row in found[:MOST_EVENTS]]
    return {"count": len(events), "complete": len(found) <= MOST_EVENTS, "events": events}


def _shown(row: AuditEvent, user_id: str) -> dict[str, Any]:
    """One event. Who else did it, and from where, are somebody else's data: `by_you` is all that is told of them.

    An address is shown of what the user did, and of whoever tried to get in as them or had a link sent to them.
    """
    by_you = row.actor_id == user_id
    return {
        "at": to_rfc3339(row.at),
        "event": row.event,
        "outcome": row.outcome,
        "by_you": by_you,
        "address": row.address if by_you or (row.actor_id is None and row.event.startswith("authn_")) else None,
        "details": None if row.payload is None else json.loads(row.payload),
    }
