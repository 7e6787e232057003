"""What the messages room gives a user of what was sent to them."""

from collections.abc import Iterable
from typing import Any, Final

from doorward.kernel.instant import Instant, to_rfc3339
from doorward.messages import store
from doorward.messages.model import Kind
from doorward.sql import Work

MOST_MESSAGES: Final = 1_000  # to each recipient


def export_messages(recipients: Iterable[tuple[Kind, str, Instant]]) -> Work[list[dict[str, Any]]]:
    """What was sent, without its contents, the newest first. `recipients`: kind, where to, and since when it is theirs.

    What went there before may have been about somebody else's account.
    """
    sent = []
    for kind, recipient, since in recipients:
        sent += yield from store.list_to(kind, recipient, since, MOST_MESSAGES)
    return [
        {
            "kind": kind,
            "template": template,
            "state": state,
            "created_at": to_rfc3339(created_at),
            "done_at": None if done_at is None else to_rfc3339(done_at),
        }
        for kind, template, state, created_at, done_at in sorted(sent, key=lambda row: row[3], reverse=True)
    ]
