"""One mail as bytes (RFC 5322, RFC 6532), and where it goes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Final, cast

from doorward.kernel.domains import ascii_domain
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.smtp import Sender
from doorward.kernel.text import flaw, is_plausible_email
from doorward.ports.delivery import Rejected
from doorward.ports.mailer import InlineImage, OutgoingMail

# Texts are encoded to ASCII, so that no server on the way has a reason to change them.
_PLAIN: Final = SMTP.clone(cte_type="7bit")
_INTERNATIONAL: Final = SMTPUTF8.clone(cte_type="7bit")
_ID: Final = re.compile(r"[A-Za-z0-9-]+")
_CID: Final = re.compile(r"[A-Za-z0-9.@-]+")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail that is ready to go. `international`: only a server with SMTPUTF8 (RFC 6531) can take it."""

    sender: str
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)
    international: bool


def seal_envelope(mail: OutgoingMail, sender: Sender, now: Instant) -> Envelope:
    """Write a mail. Raises Rejected for what could be taken for more than one header, line or recipient."""
    recipient = _in_ascii(mail.to)
    if flaw(mail.subject) is not None or not _ID.fullmatch(mail.message_id):
        raise Rejected("the subject or the id is more than one line of text")
    international = not recipient.isascii()
    message = EmailMessage(_INTERNATIONAL if international else _PLAIN)
    message["From"] = _address(sender.address, sender.name)
    message["To"] = _address(recipient)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(now / SECOND, UTC))
    message["Message-ID"] = f"<{mail.message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no holiday notices, please
    message.set_content(mail.text)
    if mail.html:
        _add_html(message, mail.html, mail.images)
    return Envelope(sender.address, recipient, message.as_bytes(), international)


def _in_ascii(address: str) -> str:
    """An address with its domain in A-labels (RFC 5891)."""
    if not is_plausible_email(address):
        raise Rejected("the recipient is not one e-mail address")
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{ascii_domain(domain)}"
    except ValueError:
        raise Rejected("the recipient's domain is not one (RFC 5891)") from None


def _address(address: str, name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _add_html(message: EmailMessage, html: str, images: Sequence[InlineImage]) -> None:
    message.add_alternative(html, subtype="html")
    part = cast("EmailMessage", list(message.iter_parts())[-1])
    for image in images:
        if not _CID.fullmatch(image.cid):
            raise Rejected("a picture's id is not one")
        part.add_related(image.content, "image", image.subtype, cid=f"<{image.cid}>", disposition="inline")
