"""What the room knows of passwords and of those who try them."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from doorward.kernel.instant import Instant

ChangeWanted: TypeAlias = Literal["short", "compromised"]
"""Why its owner should choose another password: shorter than today's minimum, or known to others."""
COMPROMISED: Final = "compromised"


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """A row of `password`."""

    digest: str = field(repr=False)
    set_at: Instant
    change_wanted: ChangeWanted | None


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A browser that has signed its user in before. `failures`: wrong passwords in a row, as far as it has a count."""

    id: str
    user_id: str
    failures: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """A try that may go on; it counts as a failure until it has succeeded.

    `failures`: in a row, this one included. `not_before`: when it allows the next one.
    """

    failures: int
    not_before: Instant


@dataclass(frozen=True, slots=True)
class Refused:
    """A try that came too early."""

    not_before: Instant
