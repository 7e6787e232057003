"""How a key is shown to its owner and to programs."""

from typing import Any

from doorward.apikeys.model import ApiKey
from doorward.kernel.instant import Instant, to_rfc3339


def key_as_json(key: ApiKey) -> dict[str, Any]:
    """Everything but the secrets."""
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "scopes": list(key.scopes),
        "networks": list(key.networks),
        "per_minute": key.per_minute,
        "created_at": to_rfc3339(key.created_at),
        "expires_at": to_rfc3339(key.expires_at),
        "old_secret_until": _text(key.old_until),
        "last_used_at": _text(key.last_used_at),
        "last_address": key.last_address,
    }


def _text(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)
