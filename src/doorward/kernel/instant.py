"""Instants are whole microseconds since 1970-01-01T00:00:00Z; durations in code carry their unit in the name."""

from datetime import UTC, datetime
from typing import TypeAlias

Instant: TypeAlias = int  # µs since the epoch, UTC

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def to_rfc3339(at: Instant) -> str:
    """Write an instant as RFC 3339 with milliseconds, for example 2026-11-23T05:16:00.250Z."""
    return datetime.fromtimestamp(at / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
