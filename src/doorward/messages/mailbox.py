"""The development mailbox: what would be sent, if anybody carried it. Only where settings.mailbox says so."""

import base64
import hmac
import json
from dataclasses import dataclass, field

from doorward.kernel.errors import NotFound
from doorward.kernel.instant import Instant
from doorward.messages import store
from doorward.messages.model import Kind, Unsent
from doorward.messages.rendering import LOGO_CID, Renderer
from doorward.ports import Database, Sealer
from doorward.sql import purpose_of

PATH = "/dev/mail"
AT_ONCE = 50  # the newest
_KEPT = 4 * AT_ONCE
_KEY_LETTERS = 32


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as its recipient would get it. `subject`: of a text message, its first line."""

    id: str
    kind: Kind
    to: str
    subject: str
    text: str
    html: str | None
    locale: str
    code: str | None
    path: str | None  # what it asks for first
    arrived_at: Instant


@dataclass(slots=True)
class Mailbox:
    """Reads the outbox. Whoever has the key reads every link and code in it."""

    db: Database
    sealer: Sealer
    renderer: Renderer
    _opened: dict[str, Arrived] = field(default_factory=dict, init=False, repr=False)  # a page asks every 2 s

    @property
    def path(self) -> str:
        """The path that lets a browser in, for the terminal."""
        return f"{PATH}?key={self._key}"

    def fits(self, key: str) -> bool:
        """Whether this is the key."""
        return hmac.compare_digest(key.encode(), self._key.encode())

    async def newest(self) -> list[Arrived]:
        """The newest first."""
        return [self._open(unsent) for unsent in await self.db.search(store.list_unsent(AT_ONCE))]

    async def find(self, message_id: str) -> Arrived:
        """One message. Raises NotFound."""
        unsent = await self.db.search(store.find_unsent(message_id))
        if unsent is None:
            raise NotFound
        return self._open(unsent)

    def _open(self, unsent: Unsent) -> Arrived:
        if unsent.id not in self._opened:
            while len(self._opened) >= _KEPT:
                del self._opened[next(iter(self._opened))]
            self._opened[unsent.id] = self._rendered(unsent)
        return self._opened[unsent.id]

    def _rendered(self, unsent: Unsent) -> Arrived:
        values = json.loads(self.sealer.open(unsent.values_sealed, purpose_of("message", unsent.id)))
        if unsent.kind == "mail":
            mail = self.renderer.mail(unsent.template, unsent.locale, values)
            subject, text, html = mail.subject, mail.text, mail.html
            for image in mail.images:
                data = base64.b64encode(image.content).decode()
                html = html.replace(f"cid:{LOGO_CID}", f"data:image/{image.subtype};base64,{data}")
        else:
            text, html = self.renderer.text(unsent.template, unsent.locale, values), None
            subject = text.partition("\n")[0]
        return Arrived(
            id=unsent.id,
            kind=unsent.kind,
            to=unsent.recipient,
            subject=subject,
            text=text,
            html=html,
            locale=unsent.locale,
            code=values.get("code"),
            path=values.get("path"),
            arrived_at=unsent.created_at,
        )

    @property
    def _key(self) -> str:
        # The same for every worker and after every start, so that a bookmark stays good as long as the data do.
        digest = self.sealer.mac(b"development mailbox", "mailbox")
        return base64.urlsafe_b64encode(digest).decode()[:_KEY_LETTERS]
