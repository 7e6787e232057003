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

ALWAYS: tuple[RawHeader, ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: browsers would then send `Origin: null` with our own forms, and the CSRF check wants it.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
NO_STORE: RawHeader = (b"cache-control", b"no-store")


def complete(headers: Iterable[RawHeader], request_id: str) -> list[RawHeader]:
    """Add what a response lacks; what it set itself stays."""
    given = list(headers)
    names = {name for name, _ in given}
    given.extend(header for header in (*ALWAYS, NO_STORE) if header[0] not in names)
    given.append((b"x-request-id", request_id.encode()))
    return given


def prepared(media_type: bytes, body: bytes, cache_control: bytes = b"no-store") -> Sequence[RawHeader]:
    """The full header list of a body that never changes; only the request id is still to come."""
    return [
        *ALWAYS,
        (b"cache-control", cache_control),
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
    ]
