"""Where mail is handed over, and in whose name: read from the configuration, refused when unsafe or unclear."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from doorward.kernel.text import flaw, is_plausible_email

Protection: TypeAlias = Literal["starttls", "tls", "none"]

_USUAL_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}  # RFC 6409, RFC 8314, RFC 5321
_FORM: Final = "expected smtp://user:password@host:587 or smtps://user:password@host:465"
_ENCODE: Final = "; percent-encode what is special in the user or password (@ is %40, / is %2F)"
_VISIBLE: Final = re.compile(r"[!-~]+")  # urlsplit would silently drop line breaks
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_SENDER: Final = re.compile(r"(?:(?P<name>[^<>]*?)\s*<(?P<within>[^<>]*)>|(?P<alone>[^<>]*))")


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server. `protection`: STARTTLS is insisted on, TLS from the first byte, or none (to this machine only)."""

    host: str
    port: int
    protection: Protection
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who mails are from. The address is ASCII, so that every server takes it."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What is right of the @."""
        return self.address.rpartition("@")[2]


def parse_mail_server(url: str) -> MailServer:
    """Read smtp://… (with STARTTLS; without TLS to a loopback address) or smtps://….

    Raises ValueError with a sentence for the operator that quotes nothing: the URL holds a password.
    """
    parts = _split(url)
    host, (username, password) = _host(parts), _credentials(parts)
    protection: Protection = "tls" if parts.scheme == "smtps" else "none" if _is_loopback(host) else "starttls"
    return MailServer(host, parts.port or _USUAL_PORTS[protection], protection, username, password)


def parse_sender(text: str) -> Sender:
    """Read `Example <id@example.org>` or an address alone. Raises ValueError with a sentence for the operator."""
    found = _SENDER.fullmatch(text.strip())
    if found is None or flaw(text) is not None:
        raise ValueError("expected one address, such as Example <id@example.org>")
    address = found["alone"] if found["within"] is None else found["within"]
    if not is_plausible_email(address):
        raise ValueError("expected one address, such as Example <id@example.org>")
    if not address.isascii():
        raise ValueError("the address must be ASCII; write its domain as xn--...")
    return Sender((found["name"] or "").strip().strip('"').strip(), address)


def _split(url: str) -> SplitResult:
    if not _VISIBLE.fullmatch(url):
        raise ValueError(_FORM + _ENCODE)
    try:
        parts = urlsplit(url)
        usable = parts.port != 0
    except ValueError:
        raise ValueError(_FORM + _ENCODE) from None
    if not usable or parts.scheme not in {"smtp", "smtps"}:
        raise ValueError(_FORM)
    if parts.path not in {"", "/"} or parts.query or parts.fragment or not parts.hostname:
        raise ValueError(_FORM + _ENCODE)
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        if not _NAME.fullmatch(host):
            raise ValueError(f"{_FORM}; the host is no name or address") from None
    return host


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if not parts.username or not parts.password:
        raise ValueError(f"{_FORM}; a user needs a password")
    username, password = unquote(parts.username), unquote(parts.password)
    if _CONTROL.search(username + password):
        raise ValueError("the user or the password holds a control character")
    return username, password


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
