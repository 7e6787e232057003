"""Which passwords may be chosen: NIST SP 800-63B §3.1.1.2 and ASVS 5.0 V6.2 (C1-C5)."""

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid
from doorward.kernel.text import normalise_password

MINIMUM_LENGTH = 15  # code points, where a password may be the only factor
MAXIMUM_LENGTH = 256
LOWEST_MINIMUM = 8  # only where every path asks for a second factor
LOWEST_MAXIMUM = 64

_TRIMMINGS = string.digits + string.punctuation + string.whitespace


@cache
def common_passwords() -> frozenset[str]:
    """The list shipped beside this file: what is guessed first, in small letters."""
    lines = files(__package__).joinpath("common_passwords.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


_REQUIRED = msgid("Enter a password")
_TOO_SHORT = msgid("Use at least %(minimum)s characters. Several words in a row are easy to remember")


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Lengths in code points after NFC, and words that are no secret. No rule about kinds of characters."""

    minimum_length: int = MINIMUM_LENGTH
    maximum_length: int = MAXIMUM_LENGTH
    common: frozenset[str] = field(default_factory=common_passwords, repr=False)

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

    def check(self, password: str, *, context: Sequence[str] = (), field: str = "password") -> str:
        """Return the password in NFC, as it is to be hashed. Raises Invalid naming `field` (ASVS 6.2.1, 6.2.4, 6.2.9).

        `context`: words that others can guess for this user: uid, name, e-mail address, the site's name.
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
        cores = _cores(normal)
        if not cores.isdisjoint(self.common):
            message = (
                "Many people use this password, so it is guessed first. Choose words that only you would put together"
            )
            return FieldError(field, "too_common", message)
        if not cores.isdisjoint(_words(context)):
            message = "This password is made of your name or address. Choose words that others cannot guess"
            return FieldError(field, "too_personal", message)
        return None


def _cores(password: str) -> frozenset[str]:
    """The password as a guesser sees it: in small letters, without digits and signs around it, a repetition once.

    Only the whole is compared, never a part: "correct horse password" is fine, "Password!!2026password" is not.
    """
    folded = password.casefold()
    bare = folded.strip(_TRIMMINGS)
    if 2 * len(bare) < len(folded):  # mostly digits and signs: these are then the secret, not what they surround
        return frozenset({folded, _unit(folded)})
    return frozenset({folded, _unit(folded), bare, _unit(bare)})


def _words(context: Iterable[str]) -> frozenset[str]:
    """Context words as a guesser joins them: as they are, without spaces, and the local part of an address."""
    words: set[str] = set()
    for text in context:
        folded = normalise_password(text).casefold()
        for word in (folded, folded.partition("@")[0]):
            words |= {word, "".join(word.split()), word.strip(_TRIMMINGS)}
    return frozenset(words - {""})


def _unit(text: str) -> str:
    """The shortest beginning that, repeated, gives the text (the last time perhaps cut): "abcabcab" gives "abc"."""
    borders = [0] * len(text)  # Knuth, Morris, Pratt: how much of the beginning ends here
    length = 0
    for index in range(1, len(text)):
        while length and text[index] != text[length]:
            length = borders[length - 1]
        length += text[index] == text[length]
        borders[index] = length
    return text[: len(text) - length]
