"""Text that people type: what is the same, what may be kept, what can be seen.

Text is kept as it was sent. Keys for comparison are computed beside it and stored in columns of their own, so the rules
below may only change together with a migration that computes the stored keys anew.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias

from doorward.kernel.domains import domain_key

Flaw: TypeAlias = Literal["control_character", "line_break", "half_character", "direction_override"]

EMAIL_OCTETS = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
_LOCAL_PART_OCTETS = 64  # RFC 5321 §4.5.3.1.1
_PHONE_DIGITS = 7

_BREAKS = "\t\n\r\u2028\u2029"
# These turn round the text that follows them, also beyond their own field ("Trojan Source").
_OVERRIDES = "\u202a-\u202e\u2066-\u2069"
_FLAWS = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_BREAKS}{_OVERRIDES}]")
_FLAWS_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Unicode's Default_Ignorable_Code_Point, and the blank Braille cell: nothing is drawn for these.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_PHONE = re.compile(r"\+?[\d\s().\-/]+")
_LOCAL_PART = re.compile(r"""[^\s@<>()\[\]\\,;:"]+""")
_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?")


NORMALISED_LONGEST = 1_024  # code points; NFC makes at most four of them one


def normal_form(text: str) -> str:
    """Unicode NFC, but for texts too long to be a password or a name in any form, which stay as they are.

    Normalising takes a time that grows with the square of a run of combining marks: 60 kB of them take a second.
    """
    return text if len(text) > NORMALISED_LONGEST else unicodedata.normalize("NFC", text)


def normalise_password(text: str) -> str:
    """Unicode NFC and nothing else: case, spaces and look-alikes all count (NIST SP 800-63B §3.1.1.2; C4)."""
    return normal_form(text)


def uid_key(text: str) -> str:
    """What two handles are compared by: NFKC, case folding, then the confusable skeleton of UTS #39 §4.

    "Ada", "ADA" and the same in full-width or Cyrillic letters have one key, and so have "paypal" and "paypa1".
    """
    decomposed = unicodedata.normalize("NFD", _fold(_INVISIBLE.sub("", text)))
    return unicodedata.normalize("NFKC", decomposed.translate(_prototypes()))


def email_key(text: str) -> str:
    """What two e-mail addresses are compared by. Dots and plus signs are significant.

    The local part in NFC and small letters; not case-folded, for "ß" and "ss" may be two mailboxes. The domain as the
    DNS compares it: an address that differs there belongs to somebody else.
    """
    local, at, domain = unicodedata.normalize("NFC", text.strip()).rpartition("@")
    return f"{unicodedata.normalize('NFC', local.lower())}{at}{domain_key(domain)}"


def flaw(text: str, *, several_lines: bool = False) -> Flaw | None:
    """Why text cannot be kept, if it cannot. Where there are `several_lines`, tabs and line breaks are fine.

    NUL is among the control characters (PostgreSQL stores none); half of a surrogate pair has no UTF-8 form.
    """
    match = (_FLAWS_IN_LINES if several_lines else _FLAWS).search(text)
    return None if match is None else _name_flaw(match[0])


def is_visible(text: str) -> bool:
    """Whether there is anything to see: a letter, a digit, a sign or an emoji."""
    return any(unicodedata.category(character)[0] in "LNPS" for character in _INVISIBLE.sub("", text))


def has_invisible(text: str) -> bool:
    """Whether some character draws nothing, such as a zero-width space."""
    return _INVISIBLE.search(text) is not None


def is_phone_like(text: str) -> bool:
    """Whether this would pass for a telephone number: digits and what stands between them, at least seven digits."""
    plain = unicodedata.normalize("NFKC", text)
    return _PHONE.fullmatch(plain) is not None and sum(map(str.isdecimal, plain)) >= _PHONE_DIGITS


def is_plausible_email(text: str) -> bool:
    """Whether this has the form of one e-mail address (RFC 5321, RFC 6531); only a message to it can prove more."""
    local, _, domain = text.partition("@")
    labels = domain.split(".")
    return (
        flaw(text) is None
        and not has_invisible(text)
        and len(text.encode()) <= EMAIL_OCTETS
        and len(local.encode()) <= _LOCAL_PART_OCTETS
        and _LOCAL_PART.fullmatch(local) is not None
        and "" not in local.split(".")
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdecimal()
    )


def _name_flaw(character: str) -> Flaw:
    if character in _BREAKS:
        return "line_break"
    match unicodedata.category(character):
        case "Cs":
            return "half_character"
        case "Cf":
            return "direction_override"
        case _:
            return "control_character"


def _fold(text: str) -> str:
    # Twice: case folding can undo a normal form, as with U+0345.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@cache
def _prototypes() -> Mapping[int, str]:
    """Each character that looks like another, to that other (confusables.txt beside this file)."""
    lines = files(__package__).joinpath("confusables.txt").read_text("utf-8").splitlines()
    rows = (line.split(";") for line in lines if not line.startswith("#"))
    return {int(source, 16): _decode(prototype) for prototype, sources in rows for source in sources.split()}


def _decode(points: str) -> str:
    return "".join(chr(int(point, 16)) for point in points.split())
