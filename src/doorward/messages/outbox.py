"""Queue a message in the transaction of its cause."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from doorward.kernel.ids import new_id
from doorward.kernel.instant import DAY, Instant
from doorward.messages import store
from doorward.messages.model import MAILS, TEXTS, VOID, Kind, MessageState, Values
from doorward.ports import Clock, Sealer
from doorward.sql import Work, purpose_of

USEFUL_FOR = 3 * DAY  # a message that names no end of its own


def _nobody() -> None:
    pass


@dataclass(slots=True)
class Outbox:
    """The outbox. `wake` is called after the commit of each message; the delivery sets it.

    `can_mail`, `can_text`: whether anything arrives anywhere; without, a flow that depends on it must not be offered.
    """

    clock: Clock
    sealer: Sealer
    can_mail: bool
    can_text: bool
    wake: Callable[[], None] = field(default=_nobody)

    def mail(
        self, template: str, to: str, locale: str | None, values: Values, *, expires_at: Instant | None = None
    ) -> Work[None]:
        """Queue one mail; `values` are those of `MAILS[template]`. Nothing is written where no mail can be sent."""
        _check(values, MAILS[template], template)
        if self.can_mail:
            yield from self._queue("mail", template, to, locale, values, expires_at, "queued")

    def text(
        self, template: str, to: str, locale: str | None, values: Values, *, expires_at: Instant | None = None
    ) -> Work[None]:
        """Queue one text message to a number in E.164; `values` are those of `TEXTS[template]`."""
        _check(values, TEXTS[template], template)
        if self.can_text:
            yield from self._queue("sms", template, to, locale, values, expires_at, "queued")

    def nothing(self, to: str, locale: str | None, values: Values) -> Work[None]:
        """Write what looks like a mail and is never sent, where an answer must not tell that nobody is there (C16)."""
        if self.can_mail:
            yield from self._queue("mail", VOID, to, locale, values, None, "void")

    def _queue(
        self,
        kind: Kind,
        template: str,
        to: str,
        locale: str | None,
        values: Values,
        expires_at: Instant | None,
        state: MessageState,
    ) -> Work[None]:
        now = self.clock.now()
        message_id = new_id(now)
        text = json.dumps(dict(values), separators=(",", ":")).encode()
        yield from store.insert_message(
            {
                "id": message_id,
                "kind": kind,
                "template": template,
                "recipient": to,
                "locale": locale or "",
                "values_sealed": self.sealer.seal(text, purpose_of("message", message_id)),
                "state": state,
                "attempts": 0,
                "due_at": now,
                "expires_at": now + USEFUL_FOR if expires_at is None else expires_at,
                "created_at": now,
                "done_at": None,
                "error": None,
            },
            self.wake,
        )


def _check(values: Values, sample: Values, template: str) -> None:
    if values.keys() != sample.keys():
        raise TypeError(f"{template} takes {sorted(sample)}, not {sorted(values)}")
