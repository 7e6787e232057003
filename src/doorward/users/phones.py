"""Telephone numbers: what a person may type, and the one form it is kept in."""

import unicodedata
from collections.abc import Collection
from functools import cache
from types import ModuleType
from typing import Final

from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.text import flaw

LONGEST: Final = 64  # characters as typed; E.164 has at most 15 digits
_FIELD: Final = "phone"
_BETWEEN: Final = " .()-"
# Telephones put these around a number that is copied from a list of contacts.
_MARKS: Final = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202c\u2066\u2067\u2068\u2069"))
_WRITTEN_ELSEWHERE: Final = str.maketrans(
    "\uff0b\uff08\uff09\uff0e\uff0d\u2010\u2011\u2012\u2013\u2212\u00a0\u2007\u2009\u202f\u3000", "+().------     "
)
_MESSAGES: Final = {
    "required": "Enter a phone number",
    "wrong_type": "The phone number must be text",
    "not_a_phone": "Enter one phone number such as +49 151 23456789, with + and the country code",
    "country_code_missing": "Begin the phone number with + and the country code, such as +49",
    "not_in_use": "There is no such phone number; check its digits",
    "not_for_messages": "We do not send messages to numbers of this kind; use a mobile number",
    "country_not_served": "We do not send messages to numbers of this country",
}


def normalise_phone(typed: object, countries: Collection[str] = ()) -> str:
    """The number in E.164, such as +4915123456789. Raises Invalid naming `phone`.

    Spaces, dots, hyphens and brackets may stand between the digits, which may be of any script. `countries`: ISO 3166
    codes of those whose numbers are taken; empty: of all. Numbers that cost more than a call (premium rate, shared
    cost, personal numbers, satellite networks) or take no messages (pagers, voicemail, free-phone) are refused.
    """
    digits = _plain(typed)
    library = _library()
    try:
        number = library.parse(digits, None)
    except library.NumberParseException:
        number = None
    if number is None or number.extension or not library.is_valid_number(number):
        raise _refusal("not_in_use")
    region = library.region_code_for_number(number)
    # Numbers of no country are those of satellite and other global networks, the dearest there are.
    if library.number_type(number) not in _kinds() or region not in library.SUPPORTED_REGIONS:
        raise _refusal("not_for_messages")
    if countries and region not in countries:
        raise _refusal("country_not_served")
    return str(library.format_number(number, library.PhoneNumberFormat.E164))


def masked(number: str) -> str:
    """A number in E.164 for others to see: country code and last two digits, such as "+49 … 78"."""
    library = _library()
    try:
        code = f"+{library.parse(number, None).country_code}"
    except library.NumberParseException:
        code = "+"
    return f"{code} … {number[-2:]}"


def is_country(code: str) -> bool:
    """Whether there are telephone numbers of a country with this ISO 3166 code."""
    return code in _library().SUPPORTED_REGIONS


def _plain(typed: object) -> str:
    """Digits after a plus. Raises Invalid."""
    if not isinstance(typed, str):
        raise _refusal("required" if typed is None else "wrong_type")
    bare = typed.translate(_MARKS) if len(typed) <= LONGEST else "x"
    if flaw(bare) is not None:
        raise _refusal("not_a_phone")
    characters = bare.translate(_WRITTEN_ELSEWHERE).strip(" ")
    if not characters:
        raise _refusal("required")
    plus, rest = characters[:1], characters.removeprefix("+")
    digits = "".join(_digit(character) for character in rest if character not in _BETWEEN)
    if len(digits) != sum(character not in _BETWEEN for character in rest) or not digits:
        raise _refusal("not_a_phone")
    if plus != "+":
        raise _refusal("country_code_missing")
    # The brackets stay: in "+49 (0)151" they tell the library that the 0 is not part of the number.
    return "+" + "".join(character if character in _BETWEEN else _digit(character) for character in rest)


def _digit(character: str) -> str:
    """The digit in ASCII, whatever the script; nothing for what is none."""
    value = unicodedata.decimal(character, None)
    return "" if value is None else str(value)


def _refusal(code: str) -> Invalid:
    return Invalid([FieldError(_FIELD, code, _MESSAGES[code])])


@cache
def _library() -> ModuleType:
    import phonenumbers  # noqa: PLC0415  30 ms to import; only telephone numbers need it

    return phonenumbers


@cache
def _kinds() -> frozenset[int]:
    kind = _library().PhoneNumberType
    return frozenset({kind.MOBILE, kind.FIXED_LINE_OR_MOBILE, kind.FIXED_LINE, kind.VOIP})
