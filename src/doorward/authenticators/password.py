"""Which passwords may be chosen: NIST SP 800-63B §3.1.1.2 and ASVS 5.0 V6.2 (C1-C5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from doorward.authenticators.quality import Listed, Weakness, context_words, find_weakness, squeeze
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid
from doorward.kernel.text import normalise_password

MINIMUM_LENGTH = 15  # code points, where a password may be the only factor
MAXIMUM_LENGTH = 256
LOWEST_MINIMUM = 8  # only where every path asks for a second factor
LOWEST_MAXIMUM = 64


@cache
def common_passwords() -> Listed:
    """The list shipped beside this file: what is guessed first. An entry of several words is a phrase."""
    lines = files(__package__).joinpath("common_passwords.txt").read_text("utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    return Listed(
        words=frozenset(squeeze(entry) for entry in entries if " " not in entry),
        phrases=frozenset(squeeze(entry) for entry in entries if " " in entry),
    )


_REQUIRED = msgid("Enter a password")
_TOO_SHORT = msgid("Use at least %(minimum)s characters. Several words in a row are easy to remember")
_MISSING = msgid("Characters still missing: %(missing)s")
_WEAK: Mapping[Weakness, str] = {
    "repeats": msgid("This password repeats itself, so it is guessed early. Choose several words that differ"),
    "key_row": msgid("These are keys in a row, which are guessed first. Choose words that only you would put together"),
    "too_common": msgid(
        "Many people use this password, so it is guessed first. Choose words that only you would put together"
    ),
    "well_known_phrase": msgid(
        "These words are known together, so they are guessed first. Choose words that only you would put together"
    ),
    "too_personal": msgid("This password is made of your name or address. Choose words that others cannot guess"),
}


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Lengths in code points after NFC, and words that are no secret. No rule about kinds of characters.

    `site`: the site's name, which is part of everybody's context.
    """

    minimum_length: int = MINIMUM_LENGTH
    maximum_length: int = MAXIMUM_LENGTH
    common: Listed = field(default_factory=common_passwords, repr=False)
    site: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for lengths that NIST does not allow."""
        if not LOWEST_MINIMUM <= self.minimum_length <= LOWEST_MAXIMUM <= self.maximum_length <= MAXIMUM_LENGTH:
            raise ValueError(
                f"the minimum length must be {LOWEST_MINIMUM} to {LOWEST_MAXIMUM},"
                f" the maximum {LOWEST_MAXIMUM} to {MAXIMUM_LENGTH}"
            )

    @property
    def messages(self) -> Mapping[str, str]:
        """What a form can say before it is sent, by error code."""
        return {"required": _REQUIRED, "too_short": _TOO_SHORT}

    @property
    def advice(self) -> Mapping[str, str]:
        """What a page can say while somebody types, by code: a hint, never a refusal."""
        return {"missing": _MISSING, **{code: _WEAK[code] for code in ("repeats", "key_row", "too_personal")}}

    def check(self, password: str, *, context: Sequence[str] = (), field: str = "password") -> str:
        """Return the password in NFC, as it is to be hashed. Raises Invalid naming `field` (ASVS 6.2.1, 6.2.4, 6.2.9).

        `context`: words that others can guess for this user: uid, name, e-mail address. Only the whole password is
        compared, never a part: "correct horse password" is fine, "Password!!2026password" is not.
        """
        normal = normalise_password(password)
        error = self._length_error(normal, field) or self._guessable_error(normal, context, field)
        if error is not None:
            raise Invalid([error])
        return normal

    def is_short(self, normal: str) -> bool:
        """Whether a password in NFC would be too short to be chosen today."""
        return len(normal) < self.minimum_length

    def _length_error(self, normal: str, field: str) -> FieldError | None:
        if self.is_short(normal):
            params = {"minimum": self.minimum_length}
            return FieldError(field, "too_short", _TOO_SHORT, params)
        if len(normal) > self.maximum_length:
            return FieldError(field, "too_long", "Use at most %(maximum)s characters", {"maximum": self.maximum_length})
        return None

    def _guessable_error(self, normal: str, context: Sequence[str], field: str) -> FieldError | None:
        weakness = find_weakness(normal, self.common, context_words([*context, self.site]))
        return None if weakness is None else FieldError(field, weakness, _WEAK[weakness])
