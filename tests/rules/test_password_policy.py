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
    long = "".join(chr(0x4E00 + index * index % 6_007) for index in range(256))
    assert POLICY.check(long[:64]) == long[:64]
    assert POLICY.check(long) == long


def test_257_characters_are_refused_and_never_cut() -> None:
    assert refusal("".join(chr(0x4E00 + index * index % 6_007) for index in range(257))) == "too_long"


@pytest.mark.asvs("6.2.8")
def test_composed_and_decomposed_letters_are_the_same_password() -> None:
    assert POLICY.check(f"caf{E_ACUTE} with a friend") == POLICY.check(f"caf{E_COMPOSED} with a friend")


def test_compatible_characters_are_different_passwords() -> None:
    circled = "\N{CIRCLED DIGIT ONE} lonely heron!"
    assert unicodedata.normalize("NFKC", circled) == "1 lonely heron!"
    assert POLICY.check(circled) == circled != POLICY.check("1 lonely heron!")


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
    ("password", "reason"),
    [
        ("correct horse battery staple", "well_known_phrase"),
        ("CorrectHorseBatteryStaple", "well_known_phrase"),
        ("c0rrect-h0rse-b4ttery-st4ple!", "well_known_phrase"),
        ("to be or not to be, that is the question", "well_known_phrase"),
        ("thequickbrownfoxjumps", "well_known_phrase"),
        ("passwordpassword", "repeats"),
        ("PasswordPasswordPass", "repeats"),
        ("Password1Password2", "too_common"),
        ("abcabcabcabcabc", "repeats"),
        ("abc-abc-abc-abc-abc", "repeats"),
        ("abc1abc2abc3abc4", "repeats"),
        ("aaaaaaaaaaaaaaaa", "repeats"),
        ("aaaaabbbbbccccc", "repeats"),
        ("qwertyuiopqwert", "key_row"),
        ("poiuytrewqasdfghjkl", "key_row"),
        ("qwertztrewqwertz", "key_row"),
        ("azertyuiopqsdfghjklm", "key_row"),
        ("йцукенгшщзхъфыва", "key_row"),
        ("1qaz2wsx3edc4rfv", "key_row"),
        ("!QAZ@WSX#EDC$RFV", "key_row"),
        ("q1w2e3r4t5y6u7i8", "key_row"),
        ("a1b2c3d4e5f6g7h8", "key_row"),
        ("abcdefghijklmnop", "key_row"),
        ("αβγδεζηθικλμνξοπ", "key_row"),
        ("qwertyuiop 2026!!", "key_row"),
        ("Password!1234567", "too_common"),
        ("P@ssw0rd12345678", "too_common"),
        ("liverpool2026liverpool", "too_common"),
        ("drowssap12345678drowssap", "repeats"),
        ("I love Manchester!", "too_common"),
        ("Sunshine Princess", "too_common"),
        ("123456789012345", "too_common"),
        ("1234567891011121314", "too_common"),
        ("147258369147258369", "too_common"),
        ("31121990 01012020", "too_common"),
        ("1985 1987 2011 2014", "too_common"),
        ("14th February 2020", "too_common"),
    ],
)
def test_what_is_guessed_first_is_refused_with_a_reason(password: str, reason: str) -> None:
    assert refusal(password) == reason


@pytest.mark.asvs("6.2.11")
@pytest.mark.parametrize(
    "password",
    [
        "Annemarie.Smithson@example.org",
        "annemarie.smithson",
        "ANNEMARIE SMITHSON",
        "AnnemarieSmithson",
        "annemarie.smithson2026!",
        "anni1990annemarie",
        "anni 12345678901",
        "I love Annemarie!!",
        "4nn3m4r13 Sm1ths0n",
        "smithson@example",
        "Fitness Club of Leeds",
        "FitnessClubOfLeeds2026",
    ],
)
def test_names_of_the_user_and_of_the_site_are_refused(password: str) -> None:
    policy = PasswordPolicy(site="Fitness Club of Leeds")
    with pytest.raises(Invalid) as caught:
        policy.check(password, context=("anni", "Annemarie Smithson", "annemarie.smithson@example.org"))
    assert [error.code for error in caught.value.errors] == ["too_personal"]


def test_a_name_within_other_words_is_fine() -> None:
    assert POLICY.check("why would anni say password", context=("anni",))


def test_a_shorter_minimum_is_possible_only_down_to_eight() -> None:
    assert PasswordPolicy(minimum_length=8).check("vjqxkwpz")
    with pytest.raises(ValueError, match="minimum length"):
        PasswordPolicy(minimum_length=7)


@pytest.mark.parametrize(
    "password",
    [
        "why would anni say password",
        "correct horse password heron",
        "qwerty is no password of mine",
        "to be or not to be a heron",
        "2026 password of the tall man",
        "liverpool liverpool herons",
    ],
)
def test_a_part_that_is_guessed_first_is_no_reason(password: str) -> None:
    """Only the whole is compared: a rule about parts would be a composition rule (NIST SP 800-63B)."""
    assert POLICY.check(password, context=("anni",)) == password


@pytest.mark.parametrize("password", ["passwordpassword", "qwertyuiopqwert", "tobeornottobe123", "iloveyou1234567"])
def test_every_reason_says_what_to_do_instead(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        POLICY.check(password)
    assert "Choose" in caught.value.errors[0].text
