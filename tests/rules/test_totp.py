"""TOTP: the codes of RFC 6238, each accepted once, in its own step and the next."""

from base64 import b32encode
from urllib.parse import unquote

import pyotp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doorward.authenticators.kind import Passed, Refused, Secret, State
from doorward.authenticators.kinds.totp import FRESH, KIND, Totp, code_at, grouped, new_secret, uri
from doorward.kernel.instant import SECOND
from tests.support.hostile import hostile_strings

RFC_KEY = b"12345678901234567890"
SECRET: Secret = {"key": b32encode(RFC_KEY).decode()}
STEP = 37_037_036  # of 1111111109 seconds, appendix B
SECONDS = 1_111_111_109
MICROSECOND = 1


def at(step: int, seconds: float = 0) -> int:
    """The instant so many seconds into a step."""
    return step * 30 * SECOND + round(seconds * SECOND)


def verify(answer: str, now: int, state: State = FRESH, kind: Totp | None = None) -> Passed:
    return (kind or Totp()).verify(SECRET, state, answer, now)


def refusal(answer: str, now: int, state: State = FRESH, kind: Totp | None = None) -> str:
    with pytest.raises(Refused) as refused:
        verify(answer, now, state, kind)
    return refused.value.reason


# Codes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    assert code_at(RFC_KEY, seconds // 30, digits=8) == code
    assert verify(code[-6:], seconds * SECOND).state == {"step": seconds // 30}


def test_codes_are_those_of_rfc_4226_appendix_d() -> None:
    expected = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489"
    assert [code_at(RFC_KEY, counter) for counter in range(10)] == expected.split()


@given(st.binary(min_size=14, max_size=64), st.integers(0, 253_402_300_799))
@example(RFC_KEY, 0)
def test_codes_are_those_of_another_implementation(key: bytes, seconds: int) -> None:
    text = b32encode(key).decode().rstrip("=")
    code = pyotp.TOTP(text).at(seconds)
    assert code_at(key, seconds // 30) == code
    assert KIND.verify({"key": text}, FRESH, code, seconds * SECOND).state == {"step": seconds // 30}


# When they count -----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.5", "6.5.8")
def test_a_code_counts_in_its_own_step_and_the_next_to_the_microsecond() -> None:
    code = code_at(RFC_KEY, STEP)
    assert refusal(code, at(STEP) - MICROSECOND) == "wrong"
    for now in (at(STEP), at(STEP, 29.999_999), at(STEP + 1), at(STEP + 1, 29.999_999)):
        assert verify(code, now) == Passed({"step": STEP}, ("otp",))
    assert refusal(code, at(STEP + 2)) == "wrong"


@pytest.mark.parametrize("distance", [-10, -2, 1, 2, 10])
def test_a_code_of_a_step_further_off_is_wrong(distance: int) -> None:
    assert refusal(code_at(RFC_KEY, STEP + distance), at(STEP, 15)) == "wrong"


@pytest.mark.asvs("6.5.5")
def test_a_strict_one_takes_a_code_for_its_own_thirty_seconds_only() -> None:
    strict = Totp(strict=True)
    code = code_at(RFC_KEY, STEP)
    assert refusal(code, at(STEP) - MICROSECOND, kind=strict) == "wrong"
    assert verify(code, at(STEP), kind=strict).state == {"step": STEP}
    assert verify(code, at(STEP, 29.999_999), kind=strict).state == {"step": STEP}
    assert refusal(code, at(STEP + 1), kind=strict) == "wrong"


def test_the_first_steps_of_all_have_none_before_them() -> None:
    assert verify(code_at(RFC_KEY, 0), 0).state == {"step": 0}
    assert verify(code_at(RFC_KEY, 0), at(1)).state == {"step": 0}
    assert refusal("000000", 0) == "wrong"


# Once ----------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
def test_a_code_opens_once_even_within_its_own_thirty_seconds() -> None:
    code = code_at(RFC_KEY, STEP)
    spent = verify(code, at(STEP, 3)).state
    assert refusal(code, at(STEP, 3), spent) == "used before"
    assert refusal(code, at(STEP, 29), spent) == "used before"
    assert refusal(code, at(STEP + 1, 29), spent) == "used before"


@pytest.mark.asvs("6.5.1")
def test_what_was_shown_before_an_accepted_code_counts_no_more() -> None:
    spent = verify(code_at(RFC_KEY, STEP), at(STEP, 3)).state
    assert refusal(code_at(RFC_KEY, STEP - 1), at(STEP, 4), spent) == "used before"


def test_the_next_code_counts_at_once_and_so_does_the_present_one_after_the_one_before() -> None:
    before = verify(code_at(RFC_KEY, STEP - 1), at(STEP, 1)).state
    present = verify(code_at(RFC_KEY, STEP), at(STEP, 2), before).state
    assert present == {"step": STEP}
    assert verify(code_at(RFC_KEY, STEP + 1), at(STEP + 1), present).state == {"step": STEP + 1}


def test_a_clock_that_was_put_back_brings_no_code_back() -> None:
    spent = verify(code_at(RFC_KEY, STEP + 100), at(STEP + 100)).state
    assert refusal(code_at(RFC_KEY, STEP), at(STEP), spent) == "used before"


def test_two_steps_with_one_code_by_chance_count_as_the_later() -> None:
    """One in a million; the earlier would let the code be sent once more."""
    step = 910_738
    code = code_at(RFC_KEY, step)
    assert code == code_at(RFC_KEY, step - 1)
    spent = verify(code, at(step)).state
    assert spent == {"step": step}
    assert refusal(code, at(step, 1), spent) == "used before"


# What is typed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "081 804",
        " 081804 ",
        "08 18 04\n",
        "081-804",
        "081\u00a0804",
        "081\u202f804",
        "081\u2011804",
        "081\u2013804",
        "\u2066081 804\u2069",
        "\ufeff081\u200b804",
        "-".join("081804"),
    ],
)
def test_gaps_do_not_matter(typed: str) -> None:
    assert verify(typed, SECONDS * SECOND).state == {"step": STEP}


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "81804",
        "0081804",
        "081804081804",
        "08180o",
        "+81804",
        "081_804",
        "0.81804",
        "0x8180",
        "081804\x00",
        "\uff10\uff18\uff11\uff18\uff10\uff14",
        "\u0660\u0668\u0661\u0668\u0660\u0664",
        "0818\u2070\u2074",
        "08180\ud835\udfd2",
        "08180\ud800",
        "081804" * 1_667,
        " " * 10_000,
        "\u0660" * 10_000,
    ],
)
def test_what_is_not_six_plain_digits_is_malformed(typed: str) -> None:
    assert refusal(typed, SECONDS * SECOND) == "malformed"


@pytest.mark.parametrize("text", hostile_strings())
def test_no_hostile_text_is_more_than_refused(text: str) -> None:
    assert refusal(text, SECONDS * SECOND) in {"malformed", "wrong"}


@given(st.text(max_size=40))
def test_whatever_is_typed_is_the_code_or_refused(text: str) -> None:
    try:
        passed = verify(text, SECONDS * SECOND)
    except Refused:
        return
    digits = "".join(character for character in text if character.isdigit())
    assert (digits, passed.state) == ("081804", {"step": STEP})


# Secrets -------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.3")
def test_a_new_secret_has_160_bits_of_its_own() -> None:
    made = [new_secret()["key"] for _ in range(50)]
    assert len(set(made)) == 50
    assert all(len(pyotp.TOTP(key).byte_secret()) == 20 for key in made)
    assert not any("=" in key for key in made)


def test_people_read_the_key_in_groups_of_four() -> None:
    assert grouped(SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"


# The address in the QR code ------------------------------------------------------------------------------------------


def test_the_address_says_everything_in_the_form_that_apps_read() -> None:
    assert uri(SECRET, "Doorward", "anni@example.org") == (
        "otpauth://totp/Doorward:anni%40example.org"
        f"?secret={SECRET['key']}&issuer=Doorward&algorithm=SHA1&digits=6&period=30"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Anni & Söhne", "Anni & Söhne"),
        ("50 % off?secret=AAAA&issuer=Bank#", "50 % off?secret=AAAA&issuer=Bank#"),
        ("Bank/../Other", "Bank/../Other"),
        ("a+b", "a+b"),
        ("%3A", "%3A"),
        ("منزل", "منزل"),
        ("Example: staging", "Example staging"),
        ("Example:staging", "Example staging"),
        (" : Example\n:: ", "Example"),
    ],
)
def test_whatever_site_and_user_are_called_an_app_reads_it(name: str, shown: str) -> None:
    for issuer, account in ((name, "anni"), ("Example", name)):
        address = uri(SECRET, issuer, account)
        assert address.isascii()
        read = pyotp.parse_uri(address)
        assert isinstance(read, pyotp.TOTP)
        assert read.issuer == (shown if issuer == name else "Example")
        assert read.name == (shown if account == name else "anni")
        assert (read.secret, read.digits, read.interval) == (SECRET["key"], 6, 30)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
@example("a/b", "c/d")
def test_a_label_is_one_segment_with_one_colon_that_ends_the_issuer(issuer: str, account: str) -> None:
    label, _, parameters = uri(SECRET, issuer, account).removeprefix("otpauth://totp/").partition("?")
    assert unquote(label).count(":") == 1
    assert "/" not in label
    assert parameters.count("&") == 4
    assert f"issuer={label.partition(':')[0]}&" in parameters
