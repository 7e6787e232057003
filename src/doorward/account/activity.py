"""What happened to one's own account in the last ninety days, newest first (UX-53)."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Final

from doorward.account.activity_words import By, Weight, Words, words_of
from doorward.audit import AuditEvent, AuditReader, Event, Outcome, list_about
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import Malformed
from doorward.kernel.ids import is_id
from doorward.kernel.instant import DAY, Instant, to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.ports import Clock
from doorward.sessions import Session
from doorward.sql import Work

DAYS: Final = 90
MOST: Final = 10_000  # events in one file; who has more sees the older ones page by page
EXPORTED: Final = 5_000  # events in a copy of one's data
_AT_ONCE: Final = 500  # of them read and put into words in one go
_SECOND_STEPS: Final = frozenset({Event.AUTHN_LOGIN_SUCCESS, Event.AUTHN_LOGIN_SUCCESSAFTERFAIL, Event.SESSION_RENEWED})
_NO_CURSOR: Final = msgid("This cursor is not of this list; start again from the first page")


@dataclass(frozen=True, slots=True)
class Happening:
    """One event as its owner may see it. `device`, `address` and `place` are None when unknown, or not theirs to see.

    `device`: a msgid, such as "A program", or a name as it is. `is_here`: it belongs to the session that asks.
    """

    id: str
    at: Instant
    event: str
    outcome: str
    words: Words
    device: str | None
    address: str | None
    place: str | None
    is_here: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first, and where the next page starts, if there is one."""

    rows: Sequence[Happening]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line for people: what one request did, or the same failure again and again.

    `chief` is what to tell of; `beside`: what else the request did, each with how often; `count`: how often the failure
    came in a row, the first time at `since`.
    """

    chief: Happening
    beside: Sequence[tuple[Words, int]]
    count: int
    since: Instant


def nowhere(_address: str, _locale: str) -> str | None:
    """Know no place."""
    return None


@dataclass(frozen=True, slots=True)
class Activity:
    """Reads the audit for whom it is about, and for nobody else.

    `place`: where an address is, roughly, in a language.
    """

    audit: AuditReader
    clock: Clock
    place: Callable[[str, str], str | None] = nowhere

    async def page(
        self, session: Session, limit: int, cursor: str | None = None, locale: str = "en", *, whole: bool = False
    ) -> Page:
        """At most `limit` events of the caller's, older than the one that `cursor` names.

        `whole`: a page ends, if it can, where a request does, so that people see together what belongs together. Raises
        Malformed when `cursor` is no id; whose it is, or whether there is such an event, does not matter.
        """
        if cursor is not None and not is_id(cursor):
            raise Malformed(_NO_CURSOR)
        since = self.clock.now() - DAYS * DAY
        found = await self.audit.of_user(session.user_id, since=since, before=cursor, limit=limit + 1)
        rows = found[:limit]
        if len(found) > limit and whole:
            rows = _up_to_a_request(rows, found[limit])
        shown = list(self._shown(rows, session, locale))
        return Page(shown, rows[-1].id if len(found) > len(rows) else None)

    async def pages(self, session: Session, locale: str = "en") -> AsyncIterator[Sequence[Happening]]:
        """All the caller's events page by page, at most MOST; others get their turn between the pages."""
        cursor = None
        for _ in range(MOST // _AT_ONCE):
            page = await self.page(session, _AT_ONCE, cursor, locale)
            yield page.rows
            cursor = page.next_cursor
            if cursor is None:
                return

    def _shown(self, rows: Iterable[AuditEvent], session: Session, locale: str) -> Iterator[Happening]:
        @cache
        def place(address: str) -> str | None:
            return self.place(address, locale)

        for row in rows:
            words = words_of(row.event, _payload_of(row), _by(row))
            device, address = _sender(row, words)
            yield Happening(
                id=row.id,
                at=row.at,
                event=row.event,
                outcome=row.outcome,
                words=words,
                device=device,
                address=address,
                place=None if address is None else place(address),
                is_here=row.session_id == session.id and not words.hides_sender,
                request_id=row.request_id,
            )


def export_activity(user_id: str, _now: Instant) -> Work[dict[str, Any]]:
    """The newest events about a user for a copy of their data, newest first; `complete`: these are all."""
    found = yield from list_about(user_id, EXPORTED + 1)
    events = [_exported(row) for row in found[:EXPORTED]]
    return {"count": len(events), "complete": len(found) <= EXPORTED, "events": events}


def _exported(row: AuditEvent) -> dict[str, Any]:
    """One event. Of others' doing it tells no more than the page; what was noted of one's own is one's own."""
    by, payload = _by(row), _payload_of(row)
    words = words_of(row.event, payload, by)
    device, address = _sender(row, words)
    details = {name: value for name, value in payload.items() if name != "device"}
    return {
        "at": to_rfc3339(row.at),
        "event": row.event,
        "what": words.english,
        "outcome": row.outcome,
        "by_you": by == "owner",
        "device": device,
        "address": address,
        "details": details if by == "owner" else None,
    }


def _sender(row: AuditEvent, words: Words) -> tuple[str | None, str | None]:
    """Device and address, as far as they are the owner's business."""
    if words.hides_sender:
        return None, None
    device = _payload_of(row).get("device")
    # No address of anybody's: a command line, or a socket on this machine.
    address = None if row.address == LOCAL_OPERATOR.address else row.address
    return device if isinstance(device, str) else None, address


def entries(rows: Iterable[Happening]) -> Sequence[Entry]:
    """Put together what people see as one: the events of one request, a failure that repeats itself, two steps."""
    lines: list[Entry] = []
    told: Entry | None = None  # whose first step is not told: no other of the same sender hides behind it
    for _, one_request in groupby(rows, lambda row: row.request_id or row.id):
        line = _entry(list(one_request))
        if lines and lines[-1] is not told and _finishes(lines[-1].chief, line):
            told = lines[-1]
            continue
        if lines and _repeats(lines[-1], line):
            before = lines.pop()
            line = Entry(before.chief, (), before.count + line.count, line.since)
        lines.append(line)
    return lines


def _entry(rows: Sequence[Happening]) -> Entry:
    chief = max(rows, key=lambda row: row.words.weight)  # of equals the newest
    beside: dict[str, tuple[Words, int]] = {}
    for row in rows:
        if row is not chief and row.words.weight > Weight.IMPLIED:
            _, count = beside.get(row.words.text, (row.words, 0))
            beside[row.words.text] = row.words, count + 1
    return Entry(chief, list(beside.values()), 1, chief.at)


def _finishes(newer: Happening, older: Entry) -> bool:
    first = older.chief
    return (
        first.words.is_first_step
        and not older.beside
        and newer.event in _SECOND_STEPS
        and (newer.device, newer.address) == (first.device, first.address)
    )


def _repeats(newer: Entry, older: Entry) -> bool:
    return (
        newer.chief.outcome == Outcome.FAILURE
        and not newer.beside
        and not older.beside
        and _gist(newer.chief) == _gist(older.chief)
    )


def _gist(row: Happening) -> tuple[object, ...]:
    return row.outcome, row.words, row.device, row.address, row.is_here


def _up_to_a_request(rows: Sequence[AuditEvent], following: AuditEvent) -> Sequence[AuditEvent]:
    """The rows without the last request's, if that goes on; all of them if they are of one request."""
    end = len(rows)
    while end > 0 and following.request_id and rows[end - 1].request_id == following.request_id:
        end -= 1
    return rows[:end] or rows


def _by(row: AuditEvent) -> By:
    if row.actor_id is None:
        return "nobody known"
    return "owner" if row.actor_id == row.user_id else "somebody else"


def _payload_of(row: AuditEvent) -> Mapping[str, Any]:
    """What is left of the payload; nothing when it was redacted, or is no JSON object any more."""
    try:
        payload = None if row.payload is None else json.loads(row.payload)
    except ValueError:
        payload = None
    return payload if isinstance(payload, dict) else {}
