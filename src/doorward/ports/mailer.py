"""Mail."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture that travels with a mail; its HTML shows it by `cid:<cid>` (RFC 2392)."""

    cid: str
    subtype: Literal["png", "jpeg"]
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One mail to one recipient. `message_id`: the same for every try at one message; no domain, no angle brackets."""

    message_id: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    images: Sequence[InlineImage] = ()


class Mailer(Protocol):
    """Hands mails to a mail server. Several may be sent at the same time."""

    async def send(self, mail: OutgoingMail) -> None:
        """Return when the server answers for it, which does not say that it arrived. Raises Deferred or Rejected.

        Both are of `doorward.ports.delivery`. After Deferred the server may have it nevertheless, when the line broke
        at the very end; `message_id` then tells whoever gets it twice that it is one.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
