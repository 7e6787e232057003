"""The members' directory: pages of users in an order, with ranks where the order gives them."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doorward.kernel import base64url, strict_json
from doorward.kernel.errors import FieldError, Invalid, Malformed
from doorward.ports import Clock, Database
from doorward.sql import Row, Work
from doorward.users import rules, store
from doorward.users.fields import Declaration
from doorward.users.model import User, Viewer
from doorward.users.order import Order, Position, SortValue
from doorward.users.ranking import Ranking
from doorward.users.schema import Schema

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
BY_CREATION = "created_at"

_CURSOR_LONGEST = 4_000
_ID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Member:
    """One row: what its reader may see. `rank` is None without a value, and in orders that give no ranks."""

    id: str
    uid: str | None
    name: str | None
    rank: int | None
    own: bool
    values: Mapping[str, Any]  # custom fields by name
    shown: Mapping[str, Any] = field(repr=False)  # the whole row as JSON has it


@dataclass(frozen=True, slots=True)
class Column:
    """A custom field that a table of members shows."""

    name: str
    label: str
    numeric: bool
    sortable: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `own` is the reader's own row, wherever they stand; `next_cursor` is None at the end."""

    sort: str
    ranked: bool
    columns: Sequence[Column]
    rows: Sequence[Member]
    next_cursor: str | None
    own: Member | None

    def as_json(self) -> dict[str, Any]:
        """The answer of the API."""
        own = None if self.own is None else self._row(self.own)
        return {"data": [self._row(row) for row in self.rows], "next_cursor": self.next_cursor, "own": own}

    def _row(self, row: Member) -> Mapping[str, Any]:
        return {"rank": row.rank, **row.shown} if self.ranked else row.shown


class Directory:
    """Lists active users. Ranks are exact up to 50,000 and seconds old at most beyond (see `ranking`)."""

    def __init__(self, db: Database, schema: Schema, clock: Clock) -> None:
        """Belongs to the event loop of `db`."""
        self._db = db
        self._schema = schema
        self._ranking = Ranking(db, clock)
        self._orders = {order_name(order): order for order in _orders(schema.declarations)}

    @property
    def default_sort(self) -> str:
        """For a page that people look at: the first leaderboard that members may read, else by name."""
        names = self.sorts("member")
        ranked = [name for name in names if name.startswith("-") and self._orders[name].ranked]
        return (ranked or [name for name in names if name == "name"] or [BY_CREATION])[0]

    def sorts(self, viewer: Viewer) -> list[str]:
        """The orders that `viewer` may ask for: those of fields they may read."""
        return [
            name
            for name, order in self._orders.items()
            if order.name == BY_CREATION or self._schema.reads(viewer, order.name)
        ]

    async def page(
        self,
        *,
        sort: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        viewer_id: str | None = None,
        admin: bool = False,
    ) -> Page:
        """One page of at most `limit` (1 to 200) users, for a member, an administrator or anybody.

        `sort`: a sortable field, name or created_at; a minus in front turns it round. Raises Invalid for another sort,
        naming the possible ones, and for another limit; Malformed for a cursor that is not of this sort.
        """
        viewer: Viewer = "admin" if admin else "public" if viewer_id is None else "member"
        order = self._order(sort or BY_CREATION, limit, viewer)
        after = None if cursor is None else read_cursor(cursor, order)
        found, own = await self._db.search(_find(order, after, limit + 1, viewer_id))
        rows = found[:limit]
        ranks = await self._ranks(order, [row[0] for row in rows], after)
        members = [self._member(row, rank, viewer, viewer_id) for row, rank in zip(rows, ranks, strict=True)]
        more = len(found) > limit
        return Page(
            sort=order_name(order),
            ranked=order.ranked,
            columns=self._columns(viewer),
            rows=members,
            next_cursor=write_cursor(order, Position(rows[-1][0], rows[-1][1])) if more else None,
            own=None if own is None else await self._own(order, own, members, viewer),
        )

    def _order(self, sort: str, limit: int, viewer: Viewer) -> Order:
        allowed = self.sorts(viewer)
        errors = []
        if sort not in allowed:
            names = {"names": ", ".join(name for name in allowed if not name.startswith("-"))}
            errors.append(FieldError("sort", "not_sortable", "Sort by one of: %(names)s", names))
        if not 1 <= limit <= MAX_LIMIT:
            bounds = {"maximum": MAX_LIMIT}
            errors.append(FieldError("limit", "out_of_range", "Choose a number from 1 to %(maximum)s", bounds))
        if errors:
            raise Invalid(errors)
        return self._orders[sort]

    async def _ranks(
        self, order: Order, values: Sequence[SortValue | None], after: Position | None
    ) -> list[int | None]:
        """The rank of every row. Two are looked up at most, the others follow from the rows between."""
        if not order.ranked:
            return [None] * len(values)
        groups = [(v, i) for i, v in enumerate(values) if v is not None and (i == 0 or v != values[i - 1])]
        if after is None:
            ranks = {value: index + 1 for value, index in groups}
        else:
            # The first group may have begun on an earlier page. The second begins here; the others follow from it.
            ranks = {value: await self._ranking.place(order, value) for value, _ in groups[:2]}
            ranks |= {value: ranks[groups[1][0]] + index - groups[1][1] for value, index in groups[2:]}
        return [None if value is None else ranks[value] for value in values]

    async def _own(self, order: Order, own: Row, members: Sequence[Member], viewer: Viewer) -> Member:
        on_page = next((member for member in members if member.own), None)
        if on_page is not None:
            return on_page
        rank = await self._ranking.place(order, own[0]) if order.ranked and own[0] is not None else None
        return self._member(own, rank, viewer, own[1])

    def _member(self, row: Row, rank: int | None, viewer: Viewer, viewer_id: str | None) -> Member:
        user: User = store.user_of(row[1:])
        shown = self._schema.visible(user, viewer)
        return Member(
            id=user.id,
            uid=shown.get("uid"),
            name=shown.get("name"),
            rank=rank,
            own=user.id == viewer_id,
            values={name: shown[name] for name in self._schema.declarations if name in shown},
            shown=shown,
        )

    def _columns(self, viewer: Viewer) -> list[Column]:
        return [
            Column(name, rules.label_of(name, declared), declared.type in {"integer", "number"}, declared.sortable)
            for name, declared in self._schema.declarations.items()
            if declared.type != "json" and self._schema.reads(viewer, name)
        ]


def order_name(order: Order) -> str:
    """An order as a query names it."""
    return f"-{order.name}" if order.descending else order.name


def write_cursor(order: Order, position: Position) -> str:
    """Where the next page starts, as text for a query. It holds nothing that its reader has not just been shown."""
    content = json.dumps([order_name(order), position.value, position.id], ensure_ascii=False, separators=(",", ":"))
    return base64url.encode(content.encode())


def read_cursor(cursor: str, order: Order) -> Position:
    """The position that a cursor names. Raises Malformed unless it could come from `write_cursor` for this order."""
    refusal = Malformed("This cursor is not of this list; start again from the first page")
    if len(cursor) > _CURSOR_LONGEST:
        raise refusal
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise refusal from error
    match strict_json.loads(content):
        case [sort, value, str(user_id)] if sort == order_name(order) and order.could_be(value) and _is_id(user_id):
            return Position(value, user_id)
    raise refusal


def _is_id(text: str) -> bool:
    return len(text) == _ID_LENGTH and text.isascii() and text.isprintable()


def _orders(declarations: Mapping[str, Declaration]) -> list[Order]:
    kinds = {name: declared.type for name, declared in declarations.items() if declared.sortable}
    names = [*kinds, "name", BY_CREATION]
    return [Order(name, kinds.get(name), descending=down) for name in names for down in (False, True)]


def _find(
    order: Order, after: Position | None, count: int, viewer_id: str | None
) -> Work[tuple[list[Row], Row | None]]:
    """A page and the viewer's own row, on SQLite from one moment of the database."""
    rows = yield from order.list_page(after, count)
    own = None if viewer_id is None else (yield from order.find_row(viewer_id))
    return rows, own
