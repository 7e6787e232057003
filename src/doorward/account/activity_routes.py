"""HTTP of one's own activity: the page, the API, the file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from doorward.account.activity import DAYS, Activity, Happening, entries
from doorward.account.activity_words import Words
from doorward.account.api import PAGING, read_limit
from doorward.account.frame import Frame
from doorward.kernel.instant import to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.sessions import session_of
from doorward.web.gate import Gate
from doorward.web.routing import Access, Answer, Call, Operation, json_response
from doorward.web.schemas import ID, INSTANT, problems, record
from doorward.web.spreadsheet import BEGINNING, MEDIA_TYPE, csv_bytes

PAGE_ROWS: Final = 50
_MAYBE: Final = {"type": ["string", "null"]}
_LIST: Final = record(
    {
        "data": {
            "type": "array",
            "items": record(
                {
                    "id": ID,
                    "at": INSTANT,
                    "event": {"type": "string", "description": "OWASP Logging Vocabulary, and session_logout."},
                    "what": {"type": "string", "description": "In plain words, in English; they may change."},
                    "outcome": {"enum": ["success", "failure"]},
                    "device": {
                        **_MAYBE,
                        "description": "Null also where somebody else, such as an administrator, did it.",
                    },
                    "address": {**_MAYBE, "description": "As for `device`."},
                    "place": {**_MAYBE, "description": "Roughly where that address is."},
                    "here": {"type": "boolean", "description": "In the session behind this request."},
                }
            ),
        },
        "next_cursor": _MAYBE,
    }
)
_HEADINGS: Final = (
    msgid("Time (UTC)"),
    msgid("What happened"),
    msgid("Outcome"),
    msgid("Device"),
    msgid("Place"),
    msgid("Address"),
    msgid("In this session"),
    msgid("Number"),
)
_OUTCOMES: Final = {"success": msgid("Succeeded"), "failure": msgid("Failed")}
_YES: Final = msgid("Yes")
_NO: Final = msgid("No")


@dataclass(frozen=True, slots=True)
class ActivityRoutes:
    """Reading only. `not_me`: whether there is somewhere to report what was not its owner's doing."""

    gate: Gate
    activity: Activity
    frame: Frame
    not_me: bool = False

    def operations(self) -> Sequence[Operation]:
        """The page, the API and the file."""
        return (
            Operation(
                "GET",
                "/api/users/me/activity",
                self.get_list,
                Access.SIGNED_IN,
                "What happened to your account",
                "Users",
                answers={200: Answer("One page, newest first", _LIST), **problems(400, 401)},
                parameters=PAGING,
                scopes=("activity:read",),
                description=f"The events of the last {DAYS} days that are about you.",
            ),
            Operation("GET", "/account/activity", self.get_page, Access.SIGNED_IN, "Activity"),
            Operation("GET", "/account/activity.csv", self.get_file, Access.SIGNED_IN, "Activity as a file"),
        )

    async def get_list(self, call: Call) -> Response:
        """One page for programs."""
        limit = read_limit(call.query.get("limit"))
        page = await self.activity.page(session_of(call), limit, call.query.get("cursor"), call.preferences.locale)
        return json_response({"data": [_as_json(row) for row in page.rows], "next_cursor": page.next_cursor})

    async def get_page(self, call: Call) -> Response:
        """One page for people."""
        cursor = call.query.get("cursor")
        page = await self.activity.page(session_of(call), PAGE_ROWS, cursor, call.preferences.locale, whole=True)
        return self.gate.render(
            call,
            "activity.html",
            entries=entries(page.rows),
            next_cursor=page.next_cursor,
            is_first=cursor is None,
            not_me=self.not_me,
            days=DAYS,
            **await self.frame.around(call),
        )

    async def get_file(self, call: Call) -> Response:
        """Everything as a file for a spreadsheet, in the reader's language."""
        say = self.gate.pages.gettext_for(call.preferences.locale)
        body = BEGINNING + csv_bytes([[say(heading) for heading in _HEADINGS]])
        async for rows in self.activity.pages(session_of(call), call.preferences.locale):
            body += csv_bytes(_cells(row, say) for row in rows)
        return Response(
            body, headers={"content-disposition": 'attachment; filename="activity.csv"'}, media_type=MEDIA_TYPE
        )


def _as_json(row: Happening) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": to_rfc3339(row.at),
        "event": row.event,
        "what": row.words.english,
        "outcome": row.outcome,
        "device": row.device,
        "address": row.address,
        "place": row.place,
        "here": row.is_here,
    }


def _cells(row: Happening, say: Callable[[str], str]) -> Sequence[str]:
    return (
        to_rfc3339(row.at),
        _said(row.words, say),
        say(_OUTCOMES.get(row.outcome, row.outcome)),
        say(row.device or ""),
        row.place or "",
        row.address or "",
        say(_YES if row.is_here else _NO),
        row.id,
    )


def _said(words: Words, say: Callable[[str], str]) -> str:
    return say(words.text) % words.params if words.params else say(words.text)
