"""How sure we are who someone is, in the words of NIST SP 800-63B and RFC 8176."""

from dataclasses import dataclass

from doorward.kernel.instant import Instant


@dataclass(frozen=True, slots=True)
class Proof:
    """What a claimant has just shown: authentication method references (RFC 8176) and when."""

    amr: tuple[str, ...]
    at: Instant

    @property
    def aal(self) -> int:
        """Authenticator assurance level reached (NIST SP 800-63B §2): 1, or 2 with several factors."""
        return 2 if "mfa" in self.amr else 1
