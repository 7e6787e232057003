"""SQL of the events room: tables user_event and webhook, and the lease of whoever sends."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import delete, func, or_, select, update

from doorward.events.model import Event, Webhook
from doorward.kernel.instant import Instant
from doorward.sql import Row, Statement, Work, insert, purge
from doorward.sql.tables import lease, user_event, webhook

LEASE: Final = "events"

_INSERT = Statement(
    insert(user_event)
    .values({name: p(name) for name in ("id", "type", "user_id", "data", "at")})
    .returning(user_event.c.seq)
)
_EVENT = tuple(user_event.c[name] for name in ("seq", "id", "type", "user_id", "data", "at"))
_LIST = Statement(select(*_EVENT).where(user_event.c.seq > p("after")).order_by(user_event.c.seq).limit(p("count")))
_LAST = Statement(select(func.coalesce(func.max(user_event.c.seq), 0)))
_DELETE_OLD = purge(user_event.c.seq, user_event.c.at < p("before"))

_LEASING = insert(lease).values(name=LEASE, holder=p("holder"), until=p("until"))
_TAKE_LEASE = Statement(
    _LEASING.on_conflict_do_update(
        index_elements=[lease.c.name],
        set_={"holder": _LEASING.excluded.holder, "until": _LEASING.excluded.until},
        where=or_(lease.c.until <= p("now"), lease.c.holder == _LEASING.excluded.holder),
    ).returning(lease.c.holder)
)
_RELEASE_LEASE = Statement(delete(lease).where(lease.c.name == LEASE, lease.c.holder == p("holder")))

_WEBHOOK = (
    webhook.c.id,
    webhook.c.url,
    webhook.c.types,
    webhook.c.secret_sealed,
    webhook.c.created_at,
    webhook.c.disabled_at,
    webhook.c.delivered_seq,
    webhook.c.attempts,
    webhook.c.due_at,
    webhook.c.failing_since,
    webhook.c.last_error,
)
_INSERT_WEBHOOK = Statement(insert(webhook).values({column.name: p(column.name) for column in webhook.columns}))
_LIST_WEBHOOKS = Statement(select(*_WEBHOOK).order_by(webhook.c.created_at, webhook.c.id))
_FIND_WEBHOOK = Statement(select(*_WEBHOOK).where(webhook.c.id == p("webhook_id")))
_DELETE_WEBHOOK = Statement(delete(webhook).where(webhook.c.id == p("webhook_id")).returning(webhook.c.url))
_NEWEST = select(func.max(user_event.c.seq)).scalar_subquery()
_DUE = (
    webhook.c.disabled_at.is_(None),
    webhook.c.due_at <= p("now"),
    webhook.c.claimed_until <= p("now"),
    webhook.c.delivered_seq < _NEWEST,
)
_LIST_DUE = Statement(select(webhook.c.id).where(*_DUE).order_by(webhook.c.due_at, webhook.c.id))
_CLAIM = Statement(
    update(webhook).where(webhook.c.id == p("webhook_id"), *_DUE).values(claimed_until=p("until")).returning(*_WEBHOOK)
)
# Where it has got to is the claim: who replays it meanwhile takes it away from the sender.
_MINE = (webhook.c.id == p("webhook_id"), webhook.c.delivered_seq == p("was"), webhook.c.disabled_at.is_(None))
_ADVANCE = Statement(
    update(webhook)
    .where(*_MINE)
    .values(delivered_seq=p("seq"), attempts=0, failing_since=None, last_error=None, claimed_until=p("until"))
    .returning(webhook.c.id)
)
_FAIL = Statement(
    update(webhook)
    .where(*_MINE)
    .values(
        attempts=p("tried"),
        due_at=p("due"),
        claimed_until=0,
        failing_since=p("since"),
        last_error=p("error"),
        disabled_at=p("disabled"),
    )
    .returning(webhook.c.id)
)
_RELEASE = Statement(update(webhook).where(*_MINE).values(claimed_until=0))
_REPLAY = Statement(
    update(webhook)
    .where(webhook.c.id == p("webhook_id"))
    .values(
        delivered_seq=p("seq"),
        attempts=0,
        due_at=0,
        claimed_until=0,
        failing_since=None,
        last_error=None,
        disabled_at=None,
    )
    .returning(webhook.c.id)
)


def insert_event(
    event_id: str, kind: str, user_id: str, data: Mapping[str, Any], at: Instant, committed: Callable[[], None]
) -> Work[None]:
    """Write an event; `committed` is called once it is durable."""
    encoded = json.dumps(dict(data))
    yield _INSERT(id=event_id, type=kind, user_id=user_id, data=encoded, at=at).then(committed)


def list_events(after: int, count: int) -> Work[list[Event]]:
    """The events after a number, the earliest `count` of them."""
    return [_event(row) for row in (yield _LIST(after=after, count=count))]


def find_last() -> Work[int]:
    """The highest number so far, 0 when there is none."""
    return int((yield _LAST())[0][0])


def delete_old(before: Instant) -> Work[int]:
    """Forget events, some at a time; how many."""
    return len((yield _DELETE_OLD(before=before)))


def take_lease(holder: str, now: Instant, until: Instant) -> Work[bool]:
    """Become, or stay, the one who sends; False while somebody else is."""
    return bool((yield _TAKE_LEASE(holder=holder, now=now, until=until)))


def release_lease(holder: str) -> Work[None]:
    """Let others send at once."""
    yield _RELEASE_LEASE(holder=holder)


def insert_webhook(added: Webhook) -> Work[None]:
    """Keep a new endpoint."""
    yield _INSERT_WEBHOOK(
        id=added.id,
        url=added.url,
        types=json.dumps(added.types),
        secret_sealed=added.secret_sealed,
        created_at=added.created_at,
        disabled_at=None,
        delivered_seq=added.delivered_seq,
        attempts=0,
        due_at=added.due_at,
        claimed_until=0,
        failing_since=None,
        last_error=None,
    )


def list_webhooks() -> Work[list[Webhook]]:
    """Every endpoint, the oldest first."""
    return [_webhook(row) for row in (yield _LIST_WEBHOOKS())]


def find_webhook(webhook_id: str) -> Work[Webhook | None]:
    """An endpoint by id."""
    rows = yield _FIND_WEBHOOK(webhook_id=webhook_id)
    return _webhook(rows[0]) if rows else None


def delete_webhook(webhook_id: str) -> Work[str | None]:
    """Forget an endpoint; its address, None when there is none."""
    rows = yield _DELETE_WEBHOOK(webhook_id=webhook_id)
    return rows[0][0] if rows else None


def list_due(now: Instant) -> Work[list[str]]:
    """The ids of endpoints for which there may be something."""
    return [row[0] for row in (yield _LIST_DUE(now=now))]


def claim(webhook_id: str, now: Instant, until: Instant) -> Work[Webhook | None]:
    """Take an endpoint, if there may be something for it and nobody else has it. Until `until` nobody else does."""
    rows = yield _CLAIM(webhook_id=webhook_id, now=now, until=until)
    return _webhook(rows[0]) if rows else None


def advance(webhook_id: str, was: int, seq: int, until: Instant) -> Work[bool]:
    """Note that everything up to `seq` arrived; False when the endpoint is no longer ours."""
    return bool((yield _ADVANCE(webhook_id=webhook_id, was=was, seq=seq, until=until)))


def fail(
    webhook_id: str, was: int, attempts: int, error: str, due: Instant, since: Instant, disabled: Instant | None
) -> Work[bool]:
    """Note that the next event did not arrive, and when to try again; False when the endpoint is no longer ours."""
    rows = yield _FAIL(
        webhook_id=webhook_id, was=was, tried=attempts, error=error, due=due, since=since, disabled=disabled
    )
    return bool(rows)


def release(webhook_id: str, was: int) -> Work[None]:
    """Let others have an endpoint."""
    yield _RELEASE(webhook_id=webhook_id, was=was)


def replay(webhook_id: str, seq: int) -> Work[bool]:
    """Begin anew after `seq`, also where it was given up; False when there is no such endpoint."""
    return bool((yield _REPLAY(webhook_id=webhook_id, seq=seq)))


def _event(row: Row) -> Event:
    seq, event_id, kind, user_id, data, at = row
    return Event(int(seq), event_id, kind, user_id, json.loads(data), at)


def _webhook(row: Row) -> Webhook:
    values = list(row)
    values[2] = tuple(json.loads(values[2]))
    values[3] = bytes(values[3])
    return Webhook(*values)
