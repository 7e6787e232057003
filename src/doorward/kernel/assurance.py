"""How sure we are who someone is, in the words of NIST SP 800-63B and RFC 8176."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from doorward.kernel.instant import Instant

MFA: Final = "mfa"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a claimant has just shown: authentication method references (RFC 8176) and when."""

    amr: tuple[str, ...]
    at: Instant

    @property
    def aal(self) -> int:
        """Authenticator assurance level reached (NIST SP 800-63B §2): 1, or 2 with several factors."""
        return assurance_of(self.amr)

    def with_more(self, amr: Iterable[str], at: Instant) -> "Proof":
        """The same together with what was shown at `at`, each method named once."""
        return Proof(tuple(dict.fromkeys((*self.amr, *amr))), at)


def assurance_of(amr: Iterable[str]) -> int:
    """The level that methods reach together; that several factors were shown is among them as "mfa"."""
    return 2 if MFA in amr else 1
