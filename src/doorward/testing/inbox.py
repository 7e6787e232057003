"""What was sent to whom, read from the outbox: nothing has to leave, and nothing has to be waited for."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy import select

from doorward.app import Services
from doorward.messages import Kind
from doorward.sql import Row, Statement, Work, purpose_of
from doorward.sql.tables import message

_LINK = re.compile(r"https?://\S+")


class Running(Protocol):
    """An application that runs."""

    @property
    def services(self) -> Services:
        """Its services."""
        ...


class Sent(NamedTuple):
    """A message as it lies in the outbox, opened. `state` is "void" for one that is never sent."""

    template: str
    recipient: str
    locale: str
    values: Mapping[str, Any]
    state: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail or a text message as its reader gets it. `template` names what it is about, such as "confirm_sign_up"."""

    to: str
    template: str
    subject: str  # of a text message, its first line
    text: str
    html: str | None
    code: str | None

    @property
    def link(self) -> str:
        """The first link in it. Raises AssertionError when there is none."""
        found = _LINK.search(self.text)
        assert found is not None, f"no link in:\n{self.text}"
        return found[0]


_MESSAGES = Statement(
    select(
        message.c.id,
        message.c.template,
        message.c.recipient,
        message.c.locale,
        message.c.values_sealed,
        message.c.state,
        message.c.kind,
    )
    .where(message.c.values_sealed.is_not(None))
    .order_by(message.c.id)
)


def _list_messages() -> Work[list[Row]]:
    return list((yield _MESSAGES()))


W = TypeVar("W", bound=Running)


@dataclass
class Inbox(Generic[W]):
    """What was sent in a world: whoever reads here has every mailbox and every telephone."""

    world: W
    _order: dict[str, int] = field(default_factory=dict)

    async def rows(self) -> list[Sent]:
        """Every message, those among them that are never sent; the latest last.

        A clock that stands still gives ids in no order, so what was there when somebody last looked comes first.
        """
        services = self.world.services
        found = await services.db.search(_list_messages())
        for row in found:
            self._order.setdefault(row[0], len(self._order))
        return [self._opened(row) for row in sorted(found, key=lambda row: self._order[row[0]])]

    async def messages(self, to: str | None = None) -> list[Sent]:
        """What arrives, at `to` or anywhere; the latest last."""
        return [one for one in await self.rows() if one.state != "void" and to in {None, one.recipient}]

    async def last(self, to: str | None = None, template: str | None = None) -> Sent:
        """The latest that arrives, of one kind or of any."""
        found = [one for one in await self.messages(to) if template in {None, one.template}]
        assert found, f"nothing was sent to {to or 'anybody'}"
        return found[-1]

    async def letters(self, kind: Kind, to: str | None = None) -> list[Letter]:
        """What arrives by mail or by text message, in the words that are read; the latest last."""
        return [self._written(one) for one in await self.messages(to) if one.kind == kind]

    def _opened(self, row: Row) -> Sent:
        key, template, recipient, locale, sealed, state, kind = row
        values = json.loads(self.world.services.sealer.open(sealed, purpose_of("message", key)))
        return Sent(template, recipient, locale, values, state, kind)

    def _written(self, sent: Sent) -> Letter:
        renderer, locale, code = self.world.services.renderer, sent.locale or None, sent.values.get("code")
        if sent.kind == "mail":
            mail = renderer.mail(sent.template, locale, sent.values)
            return Letter(sent.recipient, sent.template, mail.subject, mail.text, mail.html, code)
        text = renderer.text(sent.template, locale, sent.values)
        return Letter(sent.recipient, sent.template, text.partition("\n")[0], text, None, code)
