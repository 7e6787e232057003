"""Whoever is deleted at Doorward leaves nothing here. It tells us by webhook, and we ask for what we have missed.

Webhooks are Standard Webhooks (docs/events.md). An event may come twice. Deleting twice changes nothing, so we keep no
list of those that we have seen.
"""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from fitness.pictures import Pictures
from fitness.store import Store
from fitness.users import Users

TOLERANCE_SECONDS = 300
_PLACE = "events"
_log = logging.getLogger(__name__)


class Forged(Exception):  # noqa: N818  named for what it is
    """A message that Doorward did not send, or not lately."""


class Goodbyes:
    """Hears of users who were deleted, and deletes what is theirs."""

    def __init__(self, store: Store, pictures: Pictures, users: Users, secret: str) -> None:
        self._store = store
        self._pictures = pictures
        self._users = users
        self._secret = secret

    def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        """Take a webhook. Raises Forged; nothing of the body is looked at before its signature."""
        verify(self._secret, headers, body)
        self._take(json.loads(body))

    def catch_up(self) -> None:
        """Read what has happened since the last time, at start. Raises Unavailable."""
        cursor = self._store.cursor(_PLACE)
        while (found := self._users.events(cursor)).get("data"):
            for one in found["data"]:
                self._take(one)
            cursor = found["next_cursor"]
            self._store.set_cursor(_PLACE, str(cursor))

    def _take(self, happened: Mapping[str, Any]) -> None:
        if happened["type"] == "user.deleted":
            files = self._store.erase(happened["data"]["id"])
            self._pictures.discard(files)
            _log.info("a user was deleted, and %d pictures with them", len(files))


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> None:
    """Check that the holder of `secret` has sent this within five minutes. Raises Forged."""
    number, at = (headers.get(f"Webhook-{name}", "") for name in ("Id", "Timestamp"))
    if not (at.isascii() and at.isdigit()) or abs((time.time() if now is None else now) - int(at)) > TOLERANCE_SECONDS:
        raise Forged("no time, or one long past")  # or somebody could send again what they once overheard
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{number}.{at}.".encode() + body, hashlib.sha256)).decode()
    sent = headers.get("Webhook-Signature", "").split()  # several while a secret is being replaced
    if not any(hmac.compare_digest(f"v1,{signature}".encode(), one.encode()) for one in sent):
        raise Forged("no signature that fits")
