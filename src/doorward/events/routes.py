"""Read events again from a cursor, for apps that missed some or want no webhook."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from doorward.events.model import KEEP, TYPES, Event
from doorward.events.service import UserEvents
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.instant import DAY
from doorward.kernel.msgid import msgid
from doorward.web.routing import Access, Answer, Call, JsonSchema, Operation, json_response
from doorward.web.schemas import ID, INSTANT, STRING, problems, record

MOST: Final = 1_000
DEFAULT: Final = 100
_DIGITS: Final = 18
_CURSOR_WRONG: Final = msgid("Send the cursor of an earlier answer")
_LIMIT_WRONG: Final = msgid("Choose a number from 1 to %(maximum)s")
_EVENT = record(
    {
        "id": {**ID, "description": "The `webhook-id` of the same event."},
        "type": {"enum": list(TYPES)},
        "timestamp": INSTANT,
        "data": {"type": "object", "properties": {"id": ID}, "required": ["id"]},
        "cursor": STRING,
    }
)
_PARAMETERS: Sequence[JsonSchema] = (
    {
        "name": "after",
        "in": "query",
        "schema": {"type": "string"},
        "description": "`next_cursor` of the answer before, or the `cursor` of an event. Without it: the oldest kept.",
    },
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT},
    },
)


@dataclass(frozen=True, slots=True)
class EventsApi:
    """GET /api/events."""

    events: UserEvents

    def operations(self) -> Sequence[Operation]:
        """The one operation."""
        listed = record({"data": {"type": "array", "items": _EVENT}, "next_cursor": STRING})
        return (
            Operation(
                "GET",
                "/api/events",
                self.get_events,
                Access.ADMIN,
                "What happened to users",
                "Events",
                answers={200: Answer("In the order in which it happened", listed), **problems(400, 401, 403)},
                parameters=_PARAMETERS,
                description=f"Kept for {KEEP // DAY} days. `next_cursor` is always there: ask again with it later.",
                scopes=("events:read",),
            ),
        )

    async def get_events(self, call: Call) -> Response:
        """One page."""
        query = call.query
        after = _number(query.get("after"), 0, 0, 10**_DIGITS - 1)
        limit = _number(query.get("limit"), DEFAULT, 1, MOST)
        errors = []
        if after is None:
            errors.append(FieldError("after", "malformed", _CURSOR_WRONG))
        if limit is None:
            errors.append(FieldError("limit", "out_of_range", _LIMIT_WRONG, {"maximum": MOST}))
        if after is None or limit is None:
            raise Invalid(errors)
        found = await self.events.page(after, limit)
        last = found[-1].seq if found else after
        return json_response({"data": [_as_json(event) for event in found], "next_cursor": str(last)})


def _as_json(event: Event) -> dict[str, object]:
    return {"id": event.id, **event.payload(), "cursor": str(event.seq)}


def _number(text: str | None, default: int, low: int, high: int) -> int | None:
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if is_number and low <= int(text) <= high else None
