"""Headers that every response carries (C39, C40; ASVS 3.4)."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

RawHeader: TypeAlias = tuple[bytes, bytes]

CONTENT_SECURITY_POLICY = "; ".join(
    (
        # Nothing inline anywhere, so no nonce is needed and every page can be cached as bytes.
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "report-uri /csp-reports",
    )
)

# What is not a page may do nothing at all, should a browser be talked into showing it.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"

ALWAYS: tuple[RawHeader, ...] = (
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: browsers would then send `Origin: null` with our own forms, and the CSRF check wants it.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
ON_PAGES: tuple[RawHeader, ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
ON_DATA: tuple[RawHeader, ...] = ((b"content-security-policy", DATA_POLICY.encode()),)
# ASGI extension of our own server: (head, body) -> whether the whole 200 answer was sent at once.
WHOLE_ANSWER = "doorward.whole_answer"
NO_STORE: RawHeader = (b"cache-control", b"no-store")


def complete(headers: Iterable[RawHeader], request_id: str) -> list[RawHeader]:
    """Add what a response lacks; what it set itself stays."""
    given = list(headers)
    names = {name for name, _ in given}
    is_page = any(name == b"content-type" and value.startswith(b"text/html") for name, value in given)
    wanted = (*ALWAYS, *(ON_PAGES if is_page else ON_DATA), NO_STORE)
    given.extend(header for header in wanted if header[0] not in names)
    given.append((b"x-request-id", request_id.encode()))
    return given


def prepared(media_type: bytes, body: bytes, cache_control: bytes = b"no-store") -> Sequence[RawHeader]:
    """The full header list of a body that never changes and is no page; only the request id is still to come."""
    return [
        *ALWAYS,
        *ON_DATA,
        (b"cache-control", cache_control),
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
    ]


def as_bytes(headers: Iterable[RawHeader]) -> bytes:
    """Headers as they go over the wire."""
    return b"".join(b"%s: %s\r\n" % header for header in headers)
