"""What the sessions room gives a user of what it keeps of them; of no secret even a digest."""

from typing import Any

from doorward.kernel.devices import describe
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.sessions import store
from doorward.sql import Work


def export_sessions(user_id: str, now: Instant) -> Work[list[dict[str, Any]]]:
    """A user's sessions, latest used first."""
    return [
        {
            "id": session.id,
            "transport": session.transport,
            "device": describe(session.user_agent),
            "user_agent": session.user_agent,
            "address": session.address,
            "amr": list(session.amr),
            "aal": session.aal,
            "authenticated_at": to_rfc3339(session.auth_time),
            "created_at": to_rfc3339(session.created_at),
            "last_seen_at": to_rfc3339(session.last_seen_at),
            "expires_at": to_rfc3339(session.expires_at),
        }
        for session in (yield from store.list_of_user(user_id, now))
    ]


def export_devices(user_id: str, _now: Instant) -> Work[list[dict[str, Any]]]:
    """The browsers that are known as a user's, latest used first: times are all that is kept of them but a digest."""
    return [
        {"created_at": to_rfc3339(created_at), "last_used_at": to_rfc3339(last_used_at)}
        for created_at, last_used_at in (yield from store.list_devices(user_id))
    ]
