"""Who has to have a second factor, and which kinds are on offer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from doorward.authenticators.kind import Bound
from doorward.authenticators.kinds import all_kinds, recovery_code
from doorward.kernel.instant import Instant

Required: TypeAlias = Literal["optional", "admins", "all"]
RECOVERY: Final = "recovery_code"
PASSKEY: Final = "passkey"
TOTP: Final = "totp"
_ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class FactorPolicy:
    """`grace`: how long, in µs, somebody who has to have one may still sign in without. `offered`: names of kinds."""

    required: Required
    grace: Instant
    offered: frozenset[str]

    @property
    def at_once(self) -> bool:
        """Whether somebody may have to set one up before their first session."""
        return self.required != "optional" and self.grace == 0

    def wants(self, roles: Collection[str]) -> bool:
        """Whether somebody with these roles has to have a second factor."""
        return self.required == "all" or (self.required == "admins" and _ADMIN in roles)


def counts(bound: Bound) -> bool:
    """Whether it is a second factor: with it a password alone opens nothing, and with it the policy is met."""
    return bound.step and all_kinds()[bound.kind].raises_assurance


def has_factor(bound: Sequence[Bound]) -> bool:
    """Whether one of them is."""
    return any(counts(one) for one in bound)


def recovery_codes_left(codes: Bound) -> int:
    """How many of a set are unused."""
    return recovery_code.left(codes.state)
