"""SQL of the messages room: table message, and the lease of whoever sends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy import bindparam as p
from sqlalchemy.sql.elements import ColumnElement

from doorward.kernel.instant import Instant
from doorward.messages.model import VOID, Claimed, Kind, Message, MessageState, Unsent
from doorward.sql import Row, Statement, Value, Work, insert
from doorward.sql.tables import lease, message

LEASE: Final = "outbox"
PURGE_AT_ONCE: Final = 1_000

_INSERT = Statement(insert(message).values({column.name: p(column.name) for column in message.columns}))

# One sender at a time. Whoever stalls loses the lease, so every row is claimed for itself as well.
_LEASING = insert(lease).values(name=LEASE, holder=p("holder"), until=p("until"))
_TAKE_LEASE = Statement(
    _LEASING.on_conflict_do_update(
        index_elements=[lease.c.name],
        set_={"holder": _LEASING.excluded.holder, "until": _LEASING.excluded.until},
        where=or_(lease.c.until <= p("now"), lease.c.holder == _LEASING.excluded.holder),
    ).returning(lease.c.holder)
)
_FIND_LEASE = Statement(select(lease.c.holder).where(lease.c.name == LEASE, lease.c.until > p("now")))
_RELEASE_LEASE = Statement(delete(lease).where(lease.c.name == LEASE, lease.c.holder == p("holder")))

_QUEUED = message.c.state == "queued"
_KINDS = or_(message.c.kind == p("kind"), message.c.kind == p("other_kind"))
_DUE = (_QUEUED, message.c.due_at <= p("now"), _KINDS)
_IS_DUE = Statement(select(message.c.id).where(*_DUE).limit(1))
_LIST_DUE = Statement(
    select(message.c.id, message.c.attempts, message.c.expires_at)
    .where(*_DUE)
    .order_by(message.c.due_at, message.c.id)
    .limit(p("count"))
)
# `attempts` is the claim: of several who saw the same row one finds it unchanged.
_MINE = (message.c.id == p("message_id"), message.c.attempts == p("claim"), _QUEUED)
_CLAIM = Statement(
    update(message)
    .where(*_MINE)
    .values(attempts=message.c.attempts + 1, due_at=p("until"))
    .returning(
        message.c.id,
        message.c.kind,
        message.c.template,
        message.c.recipient,
        message.c.locale,
        message.c.values_sealed,
        message.c.attempts,
        message.c.expires_at,
        message.c.error,
    )
)
_HOLD = Statement(update(message).where(*_MINE).values(due_at=p("until")))
_SENT = Statement(
    update(message)
    .where(*_MINE)
    .values(state="sent", done_at=p("now"), values_sealed=None, error=None)
    .returning(message.c.id)
)
_DEFER = Statement(update(message).where(*_MINE).values(due_at=p("until"), error=p("reason")).returning(message.c.id))
_FAIL = Statement(
    update(message).where(*_MINE).values(state="failed", done_at=p("now"), error=p("reason")).returning(message.c.id)
)
_EXPIRE = Statement(
    update(message)
    .where(*_MINE)
    .values(
        state="failed",
        done_at=p("now"),
        values_sealed=None,
        error="expired; " + func.coalesce(message.c.error, "not tried"),
    )
    .returning(message.c.id, message.c.kind, message.c.template, message.c.recipient, message.c.error)
)

_COLUMNS = (
    message.c.id,
    message.c.kind,
    message.c.template,
    message.c.recipient,
    message.c.locale,
    message.c.state,
    message.c.attempts,
    message.c.due_at,
    message.c.expires_at,
    message.c.created_at,
    message.c.done_at,
    message.c.error,
)
_UNSENT = select(
    message.c.id,
    message.c.kind,
    message.c.template,
    message.c.recipient,
    message.c.locale,
    message.c.values_sealed,
    message.c.created_at,
).where(message.c.template != VOID, message.c.values_sealed.is_not(None))
_LIST_UNSENT = Statement(_UNSENT.order_by(message.c.created_at.desc(), message.c.id.desc()).limit(p("count")))
_FIND_UNSENT = Statement(_UNSENT.where(message.c.id == p("message_id")))
_LIST_TO = Statement(
    select(message.c.kind, message.c.template, message.c.state, message.c.created_at, message.c.done_at)
    .where(
        message.c.kind == p("kind"),
        message.c.recipient == p("recipient"),
        message.c.created_at >= p("since"),
        message.c.template != VOID,
    )
    .order_by(message.c.id.desc())
    .limit(p("count"))
)
_RETRYABLE = (message.c.state == "failed", message.c.expires_at > p("now"), message.c.values_sealed.is_not(None))
_AGAIN = {"state": "queued", "attempts": 0, "due_at": p("now"), "done_at": None}
_RETRY = Statement(
    update(message).where(message.c.id == p("message_id"), *_RETRYABLE).values(_AGAIN).returning(message.c.id)
)
_RETRY_ALL = Statement(update(message).where(*_RETRYABLE).values(_AGAIN).returning(message.c.id))
# What is due later than a try under way could make it waits only for its next turn.
_HURRY = Statement(
    update(message)
    .where(message.c.id == p("message_id"), _QUEUED, message.c.due_at > p("latest"))
    .values(due_at=p("now"))
    .returning(message.c.id)
)


def _some(chosen: ColumnElement[bool]) -> ColumnElement[bool]:
    return message.c.id.in_(select(message.c.id).where(chosen).limit(p("at_once")))


_PURGE_DONE = Statement(
    delete(message)
    .where(_some(or_(message.c.done_at <= p("before"), message.c.expires_at <= p("before"))))
    .returning(message.c.id)
)
_PURGE_VOID = Statement(
    delete(message)
    .where(_some(and_(message.c.state == "void", message.c.created_at <= p("before"))))
    .returning(message.c.id)
)
_PURGE_UNSENT = Statement(
    delete(message).where(_some(and_(_QUEUED, _KINDS, message.c.created_at <= p("before")))).returning(message.c.id)
)
_EMPTY = Statement(
    update(message)
    .where(
        _some(
            and_(
                message.c.state == "failed",
                message.c.expires_at <= p("now"),
                message.c.values_sealed.is_not(None),
            )
        )
    )
    .values(values_sealed=None)
    .returning(message.c.id)
)


def insert_message(values: Mapping[str, Value], committed: Callable[[], None]) -> Work[None]:
    """Add a row; `values` has every column. `committed` is called once it is durable."""
    yield _INSERT(**values).then(committed)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look into the queue gave: what to send now, and what has just expired."""

    claimed: Sequence[Claimed] = ()
    expired: Sequence[Row] = field(default=())  # id, kind, template, recipient, error


def is_due(kinds: tuple[Kind, Kind], holder: str, now: Instant) -> Work[bool]:
    """Whether there is something to send, and nobody else is at it."""
    if not (yield _IS_DUE(kind=kinds[0], other_kind=kinds[1], now=now)):
        return False
    rows = yield _FIND_LEASE(now=now)
    return not rows or rows[0][0] == holder


def take_lease(holder: str, now: Instant, until: Instant) -> Work[bool]:
    """Become, or stay, the one who sends; False while somebody else is."""
    return bool((yield _TAKE_LEASE(holder=holder, now=now, until=until)))


def release_lease(holder: str) -> Work[None]:
    """Let others send at once."""
    yield _RELEASE_LEASE(holder=holder)


def take(kinds: tuple[Kind, Kind], count: int, now: Instant, until: Instant) -> Work[Taken]:
    """Claim up to `count` of what is due. Until `until` nobody else does."""
    claimed: list[Claimed] = []
    expired: list[Row] = []
    for message_id, attempts, expires_at in (yield _LIST_DUE(kind=kinds[0], other_kind=kinds[1], now=now, count=count)):
        if expires_at <= now:
            expired += yield _EXPIRE(message_id=message_id, claim=attempts, now=now)
        else:
            rows = yield _CLAIM(message_id=message_id, claim=attempts, until=until)
            claimed += [Claimed(*row) for row in rows]
    return Taken(claimed, expired)


def hold(claimed: Claimed, until: Instant) -> Work[None]:
    """Say that a try is still under way."""
    yield _HOLD(message_id=claimed.id, claim=claimed.attempts, until=until)


def mark_sent(claimed: Claimed, now: Instant) -> Work[bool]:
    """It was taken; what filled it is forgotten. False when the claim was lost meanwhile."""
    return bool((yield _SENT(message_id=claimed.id, claim=claimed.attempts, now=now)))


def mark_deferred(claimed: Claimed, reason: str, until: Instant) -> Work[bool]:
    """It is to be tried again at `until`."""
    return bool((yield _DEFER(message_id=claimed.id, claim=claimed.attempts, until=until, reason=reason)))


def mark_failed(claimed: Claimed, reason: str, now: Instant) -> Work[bool]:
    """It is given up. What fills it is kept until it expires, for an operator who tries again."""
    return bool((yield _FAIL(message_id=claimed.id, claim=claimed.attempts, now=now, reason=reason)))


def list_messages(state: MessageState | None, count: int) -> Work[list[Message]]:
    """The newest first, those that are written for the sake of equal work left out."""
    chosen = message.c.template != VOID if state is None else message.c.state == p("state")
    statement = Statement(select(*_COLUMNS).where(chosen).order_by(message.c.id.desc()).limit(p("count")))
    rows = yield statement(count=count) if state is None else statement(state=state, count=count)
    return [Message(*row) for row in rows]


def list_to(kind: Kind, recipient: str, since: Instant, count: int) -> Work[list[Row]]:
    """The newest messages to one recipient since then, as (kind, template, state, created_at, done_at)."""
    return list((yield _LIST_TO(kind=kind, recipient=recipient, since=since, count=count)))


def list_unsent(count: int) -> Work[list[Unsent]]:
    """What still holds what fills it, the newest first."""
    return [Unsent(*row) for row in (yield _LIST_UNSENT(count=count))]


def find_unsent(message_id: str) -> Work[Unsent | None]:
    """One of those."""
    rows = yield _FIND_UNSENT(message_id=message_id)
    return Unsent(*rows[0]) if rows else None


def retry(message_id: str | None, now: Instant, latest: Instant) -> Work[list[str]]:
    """Queue again what was given up, one or (None) all, unless it has expired. Ids of what is due now.

    A message still queued is hurried, if nothing before `latest` is planned with it.
    """
    if message_id is None:
        return [row[0] for row in (yield _RETRY_ALL(now=now))]
    rows = (yield _RETRY(message_id=message_id, now=now)) or (
        yield _HURRY(message_id=message_id, now=now, latest=latest)
    )
    return [row[0] for row in rows]


def delete_done(before: Instant) -> Work[int]:
    """Forget some that were sent or given up, or expired, before; how many."""
    return len((yield _PURGE_DONE(before=before, at_once=PURGE_AT_ONCE)))


def delete_void(before: Instant) -> Work[int]:
    """Forget some that were never to be sent and were written before; how many."""
    return len((yield _PURGE_VOID(before=before, at_once=PURGE_AT_ONCE)))


def delete_unsent(kinds: tuple[Kind, Kind], before: Instant) -> Work[int]:
    """Forget some of those that nobody sends and that were written before; how many."""
    return len((yield _PURGE_UNSENT(kind=kinds[0], other_kind=kinds[1], before=before, at_once=PURGE_AT_ONCE)))


def empty_expired(now: Instant) -> Work[int]:
    """Forget what fills those that were given up and are of no use any more; how many."""
    return len((yield _EMPTY(now=now, at_once=PURGE_AT_ONCE)))
