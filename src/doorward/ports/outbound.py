"""Requests to other servers, past one guard (C47)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. `headers` by names in small letters."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class OutboundFailed(Exception):  # noqa: N818  as the tree of kernel/errors.py
    """No answer. `reason` is for the operator: no address, header or body of ours is in it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class OutboundRefused(OutboundFailed):
    """The guard did not let the request out, or its answer in."""


class Outbound(Protocol):
    """Asks other servers. A redirect is an answer like any other and is not followed."""

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Send one request and read the whole answer. Raises OutboundRefused or OutboundFailed."""
        ...
