"""What the apikeys room gives a user of what it keeps of them; of no secret even a digest."""

from typing import Any

from doorward.apikeys import store
from doorward.apikeys.showing import key_as_json
from doorward.kernel.instant import Instant
from doorward.sql import Work


def export_keys(user_id: str, _now: Instant) -> Work[list[dict[str, Any]]]:
    """A user's keys for programs, the newest first."""
    return [key_as_json(key) for key in (yield from store.list_of_user(user_id))]
