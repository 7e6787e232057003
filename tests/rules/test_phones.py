"""Telephone numbers: what may be typed, the one form they have afterwards, and those that only cost money (C15)."""

import re
import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from doorward.kernel.errors import Invalid
from doorward.users import is_country, masked, normalise_phone
from tests.support.hostile import hostile_strings

ADA = "+4915123456789"
EXAMPLES = [
    (region, kind, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in phonenumbers.PhoneNumberType.values()
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]
TAKEN_KINDS = {
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE,
    phonenumbers.PhoneNumberType.VOIP,
}


def refusal(typed: object, countries: tuple[str, ...] = ()) -> str:
    with pytest.raises(Invalid) as caught:
        normalise_phone(typed, countries)
    (error,) = caught.value.errors
    assert error.field == "phone"
    assert error.text
    return error.code


@pytest.mark.parametrize(
    "typed",
    [
        *("+4915123456789", "+49 151 23456789", "+49-151-2345.6789", "+49 (151) 23456789", "  +49 151 23456789 "),
        *("+49 (0)151 23456789", "+49\u00a0151\u202f23456789", "+49\u2011151\u201323456789"),
        *("\uff0b\uff14\uff19\u3000\uff11\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",),
        *("+\u0664\u0669 \u0661\u0665\u0661 \u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",),
        *("\u202a+49 151 23456789\u202c", "\u200e+49 151 23456789"),
    ],
)
def test_however_it_is_written_it_is_one_number(typed: str) -> None:
    assert normalise_phone(typed) == ADA


REFUSED = {
    "nothing": ("", "required"),
    "no field at all": (None, "required"),
    "spaces": ("   ", "required"),
    "a number of JSON": (4915123456789, "wrong_type"),
    "a list": ([ADA], "wrong_type"),
    "no country code": ("0151 23456789", "country_code_missing"),
    "zeros instead of a plus": ("0049 151 23456789", "country_code_missing"),
    "a plus alone": ("+", "not_a_phone"),
    "two pluses": ("++4915123456789", "not_a_phone"),
    "letters": ("+1 800 FLOWERS", "not_a_phone"),
    "an extension": ("+4915123456789 ext. 5", "not_a_phone"),
    "an extension by x": ("+4915123456789x5", "not_a_phone"),
    "an extension by a semicolon": ("+4915123456789;ext=5", "not_a_phone"),
    "a pause": ("+4915123456789,5", "not_a_phone"),
    "two numbers": ("+4915123456789, +4915123456780", "not_a_phone"),
    "two numbers with a space": ("+4915123456789 +4915123456780", "not_a_phone"),
    "two lines": ("+4915123456789\r\n+4915123456780", "not_a_phone"),
    "a line break at the end": ("+4915123456789\n", "not_a_phone"),
    "a NUL": ("+4915123456789\x00", "not_a_phone"),
    "an address of the web": ("tel:+4915123456789", "not_a_phone"),
    "an e-mail address": ("ada@example.org", "not_a_phone"),
    "a raised digit": ("+4915123456789\u00b2", "not_a_phone"),
    "half a character": ("+4915123456789\ud800", "not_a_phone"),
    "5,000 digits": ("+" + "4" * 4_999, "not_a_phone"),
    "5,000 spaces": (" " * 5_000, "not_a_phone"),
    "5,000 marks": ("\u200e" * 5_000 + ADA, "not_a_phone"),
    "too few digits": ("+49151", "not_in_use"),
    "too many digits": ("+491512345678901234", "not_in_use"),
    "a country that is none": ("+999 123456789", "not_in_use"),
    "a number for films": ("+1 212 555 0100 0", "not_in_use"),
    "premium rate": ("+49 900 1234567", "not_for_messages"),
    "premium rate in America": ("+1 900 234 5678", "not_for_messages"),
    "a British personal number": ("+44 70 1234 5678", "not_for_messages"),
    "free-phone": ("+1 800 356 9377", "not_for_messages"),
    "a satellite": ("+870 773111632", "not_for_messages"),
    "another satellite": ("+881 612345678", "not_for_messages"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_one_usable_number_is_refused_with_its_reason(kind: str) -> None:
    typed, code = REFUSED[kind]
    assert refusal(typed) == code


def test_only_the_countries_that_are_listed_are_served() -> None:
    assert normalise_phone(ADA, ("DE", "AT")) == ADA
    assert refusal(ADA, ("AT",)) == "country_not_served"
    assert refusal("+44 7911 123456", ("GB",)) == "country_not_served", "Guernsey is another country, and dearer"
    assert refusal("+1 876 210 1234", ("US",)) == "country_not_served", "Jamaica shares +1 with the United States"


@pytest.mark.parametrize(("region", "kind", "number"), EXAMPLES)
def test_of_every_country_the_right_kinds_are_taken_in_the_same_form(region: str, kind: int, number: str) -> None:
    parsed = phonenumbers.parse(number, None)
    if phonenumbers.number_type(parsed) in TAKEN_KINDS:
        assert normalise_phone(number) == number, (region, kind)
    else:
        assert refusal(number) in {"not_for_messages", "not_in_use"}, (region, kind)


@given(st.sampled_from([number for *_, number in EXAMPLES]), st.data())
def test_a_number_in_its_own_form_stays_however_it_is_spread(number: str, data: st.DataObject) -> None:
    try:
        normal = normalise_phone(number)
    except Invalid:
        assume(False)  # noqa: FBT003  hypothesis's own signature
        raise
    between = st.sampled_from(["", " ", "-", ".", "\u00a0"])
    spread = "+" + "".join(digit + data.draw(between) for digit in normal[1:])
    assert normalise_phone(spread) == normal
    assert normalise_phone(normal) == normal


def taken(typed: str) -> str | None:
    """The number, whose form is checked each time; None where it is refused, which names the field each time."""
    try:
        number = normalise_phone(typed)
    except Invalid as refused:
        fields = {error.field for error in refused.errors}
    else:
        assert re.fullmatch(r"\+[1-9][0-9]{4,14}", number)
        return number
    assert fields == {"phone"}
    return None


@given(st.text())
@example("+")
@example("+(")
@example("+0")
def test_whatever_is_typed_is_a_number_or_refused(typed: str) -> None:
    taken(typed)


@given(st.text(alphabet="+0123456789 ().-", max_size=40))
def test_whatever_is_near_a_number_is_a_number_or_refused(typed: str) -> None:
    if number := taken(typed):
        assert taken(number) == number


@pytest.mark.parametrize("text", hostile_strings())
def test_no_hostile_text_makes_another_number_of_one(text: str) -> None:
    taken(text)
    digits = any(character.isdecimal() for character in text)
    assert digits or taken(f"{ADA}{text}") in {ADA, None}


def test_others_see_the_country_and_the_end_of_a_number() -> None:
    assert masked(ADA) == "+49 … 89"
    assert masked("+16502530000") == "+1 … 00"
    assert masked("nonsense") == "+ … se"


def test_countries_are_those_that_have_numbers() -> None:
    assert is_country("DE")
    assert not any(map(is_country, ("de", "XX", "001", "", "Germany")))


def test_numbers_cost_nothing_until_one_is_typed() -> None:
    code = "import sys, doorward.app; print('phonenumbers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
