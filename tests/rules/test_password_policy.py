"""C1-C5: which passwords may be chosen, and why the others may not."""

import unicodedata

import pytest

from doorward.authenticators import PasswordPolicy
from doorward.kernel.errors import Invalid

POLICY = PasswordPolicy()
E_ACUTE, E_COMPOSED = "e\u0301", "\u00e9"


def refusal(password: str, *context: str) -> str:
    with pytest.raises(Invalid) as caught:
        POLICY.check(password, context=context)
    (error,) = caught.value.errors
    return error.code


@pytest.mark.asvs("6.2.1")
def test_fourteen_characters_are_too_few_and_the_answer_says_how_many_are_enough() -> None:
    with pytest.raises(Invalid) as caught:
        POLICY.check("vjqxkwpzmdtrbh", field="new_password")
    (error,) = caught.value.errors
    assert (error.field, error.code) == ("new_password", "too_short")
    assert "at least 15 characters" in error.text


@pytest.mark.asvs("6.2.1")
def test_fifteen_characters_are_enough() -> None:
    assert POLICY.check("vjqxkwpzmdtrbhn") == "vjqxkwpzmdtrbhn"


def test_length_is_counted_in_code_points_after_nfc() -> None:
    decomposed = "vjqxkwpzmdtrb" + E_ACUTE
    assert len(decomposed) == 15
    assert refusal(decomposed) == "too_short"
    assert len(POLICY.check("vjqxkwpzmdtrbh" + E_ACUTE)) == 15


def test_a_character_outside_the_basic_plane_is_one() -> None:
    assert refusal("\N{PILE OF POO}\N{CAT FACE}" * 7) == "too_short"
    assert POLICY.check("vjqxkwpzmdtrbh\N{CAT FACE}")


@pytest.mark.asvs("6.2.9")
def test_64_and_256_characters_are_welcome() -> None:
    long = "".join(chr(0x4E00 + index) for index in range(256))
    assert POLICY.check(long[:64]) == long[:64]
    assert POLICY.check(long) == long


def test_257_characters_are_refused_and_never_cut() -> None:
    assert refusal("".join(chr(0x4E00 + index) for index in range(257))) == "too_long"


@pytest.mark.asvs("6.2.8")
def test_composed_and_decomposed_letters_are_the_same_password() -> None:
    assert POLICY.check(f"caf{E_ACUTE} with a friend") == POLICY.check(f"caf{E_COMPOSED} with a friend")


def test_compatible_characters_are_different_passwords() -> None:
    circled = "\N{CIRCLED DIGIT ONE} lonely number"
    assert unicodedata.normalize("NFKC", circled) == "1 lonely number"
    assert POLICY.check(circled) == circled != POLICY.check("1 lonely number")


@pytest.mark.asvs("6.2.8")
@pytest.mark.parametrize(
    "password", ["  leading spaces", "trailing space ", "Mixed Case Words", "\u00a0\u00a0no-break-space"]
)
def test_nothing_but_nfc_is_changed(password: str) -> None:
    assert POLICY.check(password) == password


@pytest.mark.asvs("6.2.5")
@pytest.mark.parametrize(
    "password",
    [
        "nul \0 in between",
        "\"quotes\" & 'more'",
        "emoji \N{GRINNING FACE}\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5} words",
        "only small letters here",
        "ONLY CAPITALS THERE",
        "483920174658392",
        "%$&!§/()=?#+*~{}",
        "пятнадцать букв тут",
        "<script>alert(1)</script>",
    ],
)
def test_there_is_no_rule_about_kinds_of_characters(password: str) -> None:
    assert POLICY.check(password) == password


@pytest.mark.asvs("6.2.4")
@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "CorrectHorseBatteryStaple",
        "passwordpassword",
        "PasswordPasswordPass",
        "Password!1234567",
        "aaaaaaaaaaaaaaaa",
        "qwertyuiopqwert",
        "123456789012345",
        "thequickbrownfoxjumps",
    ],
)
def test_what_is_guessed_first_is_refused_with_a_reason(password: str) -> None:
    assert refusal(password) == "too_common"


@pytest.mark.asvs("6.2.11")
@pytest.mark.parametrize(
    "password",
    [
        "Annemarie.Smithson@example.org",
        "annemarie.smithson",
        "ANNEMARIE SMITHSON",
        "AnnemarieSmithson",
        "annemarie.smithson2026!",
        "anniannianniannianni",
        "Fitness Club of Leeds",
    ],
)
def test_names_of_the_user_and_of_the_site_are_refused(password: str) -> None:
    context = ("anni", "Annemarie Smithson", "annemarie.smithson@example.org", "Fitness Club of Leeds")
    assert refusal(password, *context) == "too_personal"


def test_a_name_within_other_words_is_fine() -> None:
    assert POLICY.check("why would anni say password", context=("anni",))


def test_a_shorter_minimum_is_possible_only_down_to_eight() -> None:
    assert PasswordPolicy(minimum_length=8).check("vjqxkwpz")
    with pytest.raises(ValueError, match="minimum length"):
        PasswordPolicy(minimum_length=7)


def test_every_shipped_common_password_is_written_as_it_is_compared() -> None:
    assert all(word == unicodedata.normalize("NFC", word).casefold() for word in POLICY.common)
