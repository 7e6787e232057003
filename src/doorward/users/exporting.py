"""What the users room gives a user of what it keeps of them."""

from typing import Any

from doorward.kernel.errors import NotFound
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.sql import Work
from doorward.users import store


def export_profile(user_id: str, _now: Instant) -> Work[dict[str, Any]]:
    """Every column of a user; values of fields that are declared no more are theirs all the same. Raises NotFound."""
    user = yield from store.find_by_id(user_id)
    if user is None:
        raise NotFound(reason="no such user")
    return {
        "id": user.id,
        "uid": user.uid,
        "name": user.name,
        "email": user.email,
        "email_verified": user.email_verified,
        "dob": user.dob,
        "locale": user.locale,
        "status": user.status,
        "roles": list(user.roles),
        "fields": dict(user.fields),
        "legacy_id": user.legacy_id,
        "version": user.version,
        "created_at": to_rfc3339(user.created_at),
        "updated_at": to_rfc3339(user.updated_at),
    }


def export_contacts(user_id: str, _now: Instant) -> Work[list[dict[str, Any]]]:
    """A user's addresses and numbers, proven or not."""
    return [
        {
            "kind": kind,
            "value": value,
            "verified_at": None if verified_at is None else to_rfc3339(verified_at),
            "created_at": to_rfc3339(created_at),
        }
        for kind, value, verified_at, created_at in (yield from store.list_contacts(user_id))
    ]
