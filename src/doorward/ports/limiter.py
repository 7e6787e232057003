"""Limits by address and for everybody: buckets in memory, or shared by several processes."""

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self

from doorward.kernel.limits import NO_RATES, Rate

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Admission(Protocol):
    """One admitted try. Left without `succeeded()` it counts as a failure."""

    def succeeded(self) -> None:
        """Give the place back: only failures count."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Limiter(Protocol):
    """Counts tries. The figures are data: limits.toml, one table an action."""

    async def admit(
        self, action: str, address: str, subjects: Mapping[str, str] = NOTHING, own: Mapping[str, Rate] = NO_RATES
    ) -> Admission:
        """Take a place in every bucket of `action`: of the address (IPv6 by /64), of each subject, of everybody.

        `subjects`: what the try is about, such as {"recipient": address}, and `own` the rates that these subjects have
        instead of the file's; see `kernel.limits.ActionLimit.rates_of`.

        Tries under way count until they end, so that parallel tries cannot exceed a bucket; a try that would exceed it
        only because of tries under way waits for them. Raises `RateLimited` with the seconds to wait, or `Unavailable`.
        """
        ...
