"""Recovery codes: ten that each stand in once for a factor that is lost (C21; NIST SP 800-63B §4.2.1.1).

With 80 bits a code has too few for a plain digest (ASVS 6.5.2 asks for 112), so it is kept as passwords are, by
Argon2id. Ten hashes for a try would be too dear: the ten share a salt, and what was typed is derived once and compared
with all of them. To somebody who has both the database and the key outside it, ten codes under one salt are ten times
easier to guess than one: that leaves more than 76 bits, of Argon2id.
"""

import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from doorward.authenticators.groups import in_fours, without_gaps
from doorward.authenticators.kind import Derivation, Passed, Refused, Secret, Slow, State
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Cost

CODES: Final = 10
CHARACTERS: Final = 16  # of 5 bits each: 80, where NIST asks for 64
SALT_BYTES: Final = 16
# Crockford's base32: of characters that look alike it has one, and for the others it knows which was meant. So does it
# for u, which it leaves out for other reasons.
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_MEANT: Final = str.maketrans(ALPHABET.upper() + "iIlLoOuU", ALPHABET + "111100vv")


class RecoveryCode:
    """Fulfils `Slow`. Secret: see `secret_of`; state: {"unused": places in the set of the codes that are left}.

    It raises assurance: beside a password it is the second thing, a look-up secret (NIST SP 800-63B §3.1.2), and it
    takes the place of a factor that did. Whatever else a lost factor asks for is for the flows to say (C22).
    """

    name: Final = "recovery_code"
    title: Final = msgid("Recovery code")
    per_user: Final = 1
    raises_assurance: Final = True

    def derivation(self, secret: Secret, answer: str) -> Derivation:
        """What has to be derived of an answer before `verify` can look at it. Raises Refused for what is no code."""
        cost = Cost(secret["memory_kib"], secret["time_cost"], secret["lanes"])
        return Derivation(normalise(answer), bytes.fromhex(secret["salt"]), cost)

    def verify(self, secret: Secret, state: State, answer: str, now: Instant) -> Passed:  # noqa: ARG002  no code expires
        """Compare. `answer` is not what was typed: it is what was derived of it (see `derivation`), in hexadecimal."""
        derived = answer.encode("utf-8", "surrogatepass")
        # All are compared, so that the time does not tell which was right.
        right = [at for at, digest in enumerate(secret["digests"]) if hmac.compare_digest(digest.encode(), derived)]
        if not right:
            raise Refused("wrong")
        if right[0] not in state["unused"]:
            raise Refused("used before")
        return Passed({"unused": [at for at in state["unused"] if at != right[0]]}, amr=("otp",))


def new_codes() -> list[str]:
    """Make a set, as people keep it: four groups of four small letters and digits (ASVS 6.5.3)."""
    codes = ("".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS)) for _ in range(CODES))
    return [in_fours(code, "-") for code in codes]


def normalise(answer: str) -> str:
    """The code that somebody meant, of its 16 characters: any case, any gaps, i and l for 1, o for 0, u for v.

    Raises Refused for what is no code in any reading, so that nothing is derived of it.
    """
    code = without_gaps(answer).translate(_MEANT)
    if len(code) != CHARACTERS or not set(code) <= set(ALPHABET):
        raise Refused("malformed")
    return code


def new_salt() -> bytes:
    """Make a set's salt: 128 random bits."""
    return secrets.token_bytes(SALT_BYTES)


def secret_of(salt: bytes, cost: Cost, digests: Sequence[bytes]) -> Secret:
    """What is kept of a set: the salt, what each normalised code derives to, and at which cost.

    The cost stays with the set, so that codes on paper are still right after the operator has changed it.
    """
    return {
        "salt": salt.hex(),
        "digests": [digest.hex() for digest in digests],
        "memory_kib": cost.memory_kib,
        "time_cost": cost.time_cost,
        "lanes": cost.lanes,
    }


def fresh(secret: Secret) -> State:
    """The state of a new set: every code unused."""
    return {"unused": list(range(len(secret["digests"])))}


def left(state: State) -> int:
    """How many codes of a set are unused."""
    return len(state["unused"])


KIND: Final[Slow] = RecoveryCode()
