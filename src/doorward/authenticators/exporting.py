"""What the authenticators room gives a user of what it keeps of them; never what proves anything."""

from typing import Any

from doorward.authenticators import store
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.sql import Work


def export_authenticators(user_id: str, _now: Instant) -> Work[list[dict[str, Any]]]:
    """What a user can prove who they are with: kind, label, since when, last used."""
    password = yield from store.find_password(user_id)
    first = [] if password is None else [_shown("password", None, password.set_at, None)]
    return [*first, *(_shown(*row) for row in (yield from store.list_facts(user_id)))]


def _shown(kind: str, label: str | None, bound_at: Instant, last_used_at: Instant | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "label": label,
        "bound_at": to_rfc3339(bound_at),
        "last_used_at": None if last_used_at is None else to_rfc3339(last_used_at),
    }
