"""What an event is, and which of those that are there may be handed out already."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND, Instant, to_rfc3339

EventType: TypeAlias = Literal["user.created", "user.updated", "user.deleted", "session.ended"]
TYPES: Final[Sequence[EventType]] = get_args(EventType)
TEST: Final = "webhook.test"
KEEP: Final = 30 * DAY
# PostgreSQL gives a number when a row is written and shows it when its transaction commits, so that a lower one may
# come later. It is waited for longer than a statement may wait for a lock; what is missing then was rolled back.
LATE: Final = 30 * SECOND
PAUSES: Final[Sequence[Instant]] = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR)
GIVE_UP: Final = 5 * DAY


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a user. `data` holds ids and names of fields, never what is in them."""

    seq: int
    id: str
    type: str
    user_id: str
    data: Mapping[str, Any]
    at: Instant

    def payload(self) -> dict[str, Any]:
        """As Standard Webhooks want a body."""
        return {"type": self.type, "timestamp": to_rfc3339(self.at), "data": {"id": self.user_id, **self.data}}


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events go. `types` empty: all. `delivered_seq`: the last that arrived, or was none of its own."""

    id: str
    url: str
    types: tuple[str, ...]
    secret_sealed: bytes = field(repr=False)
    created_at: Instant
    disabled_at: Instant | None
    delivered_seq: int
    attempts: int
    due_at: Instant
    failing_since: Instant | None
    last_error: str | None

    def wants(self, event: Event) -> bool:
        """Whether an event is for it."""
        return not self.types or event.type in self.types


def settled(events: Iterable[Event], after: int, now: Instant) -> Iterator[Event]:
    """The events that nothing can come before any more, of those after `after` in the order of their numbers."""
    previous = after
    for event in events:
        if event.seq != previous + 1 and event.at > now - LATE:
            return
        yield event
        previous = event.seq


def encode(payload: Mapping[str, Any]) -> bytes:
    """A body, the same bytes at every try."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
