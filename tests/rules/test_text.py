"""What is the same text, what can be kept and what can be seen."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.kernel import text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "aDA"),
        ("ada", "ａｄａ"),  # full width
        ("ada", "аdа"),  # one Cyrillic letter
        ("oscar", "οѕсаr"),  # Greek and Cyrillic letters
        ("paypal", "paypa1"),
        ("bob0", "bobo"),
        ("modern", "modem"),
        ("straße", "STRASSE"),
        ("josé", "jose\u0301"),
        ("ﬁnn", "finn"),
        ("admin", "ad\u200bmin"),
        ("admin", "ad\u00admin"),
        ("σας", "ΣΑΣ"),
        ("admin", "𝖆𝖉𝖒𝖎𝖓"),
    ],
)
def test_handles_that_look_alike_have_one_key(one: str, other: str) -> None:
    assert text.uid_key(one) == text.uid_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ada", "ida"), ("jose", "josé"), ("user12", "user21"), ("ann", "anna"), ("a_b", "a-b")]
)
def test_handles_that_differ_have_two_keys(one: str, other: str) -> None:
    assert text.uid_key(one) != text.uid_key(other)


@pytest.mark.parametrize("name", [*"023456789abcdefghijklnopqrstuvwxyz", "quiet10", "anna.b", "ada_99"])
def test_a_plain_handle_keeps_its_own_key_apart_from_look_alikes_of_letters(name: str) -> None:
    assert text.uid_key(name) == name.replace("0", "o").replace("1", "l").replace("m", "rn")


@given(st.text(max_size=30))
def test_a_key_is_stable_and_ignores_case_and_form(handle: str) -> None:
    key = text.uid_key(handle)
    assert key == text.uid_key(handle)
    assert unicodedata.normalize("NFKC", key) == key
    assert text.uid_key(unicodedata.normalize("NFD", handle)) == key
    assert text.uid_key(unicodedata.normalize("NFC", handle)) == key


@pytest.mark.asvs("6.2.8")
def test_a_password_is_brought_to_nfc_and_no_further() -> None:
    assert text.normalise_password("e\u0301") == "\u00e9"
    assert text.normalise_password("\u2460") != "1"
    assert text.normalise_password("  Straße ") == "  Straße "


@pytest.mark.parametrize(
    ("sent", "flaw"),
    [
        ("a\x00b", "control_character"),
        ("\x07", "control_character"),
        ("a\x1b[31m", "control_character"),
        ("a\x7f", "control_character"),
        ("a\x85b", "control_character"),
        ("a\nb", "line_break"),
        ("a\r\nSet-Cookie: x", "line_break"),
        ("a\tb", "line_break"),
        ("a\u2028b", "line_break"),
        ("a\ud800b", "half_character"),
        ("\udfff", "half_character"),
        ("ada\u202egnp.exe", "direction_override"),
        ("\u2066ada", "direction_override"),
        ("Ada Lovelace", None),
        ("👩\u200d💻", None),
        ("نص\u200f", None),
        ("", None),
    ],
)
def test_a_line_is_refused_with_the_reason(sent: str, flaw: str | None) -> None:
    assert text.flaw(sent) == flaw


@pytest.mark.parametrize("sent", ["one\ntwo", "a\tb", "a\r\nb", "a\u2028b", "\u202eabc\u202c"])
def test_text_of_several_lines_may_break(sent: str) -> None:
    assert text.flaw(sent, several_lines=True) is None


@pytest.mark.parametrize("sent", ["\x00", "a\x0bb", "\ud800", "\x9f"])
def test_text_of_several_lines_still_holds_no_control_characters(sent: str) -> None:
    assert text.flaw(sent, several_lines=True) is not None


@given(st.text(alphabet=st.characters(codec=None), max_size=40))
def test_whatever_has_no_flaw_can_be_encoded_and_holds_no_nul(sent: str) -> None:
    if text.flaw(sent, several_lines=True) is None:
        assert b"\0" not in sent.encode()


@pytest.mark.parametrize(
    "sent", ["", " ", "\u3000\u00a0", "\u200b\u200d", "\u3164\u3164", "\u2800", "\ufe0f", "\u0301"]
)
def test_nothing_to_see_is_not_visible(sent: str) -> None:
    assert not text.is_visible(sent)


@pytest.mark.parametrize("sent", ["a", " é ", "😀", "-", "字", "0"])
def test_something_to_see_is_visible(sent: str) -> None:
    assert text.is_visible(sent)


@pytest.mark.parametrize(
    "sent", ["+491711234567", "0171 1234567", "(555) 123-4567", "١٢٣٤٥٦٧", "5551234", "+１５５５１２３４"]
)
def test_digits_in_groups_pass_for_a_telephone_number(sent: str) -> None:
    assert text.is_phone_like(sent)


@pytest.mark.parametrize("sent", ["123456", "ada2000000", "2026-11", "agent007", ""])
def test_other_handles_do_not(sent: str) -> None:
    assert not text.is_phone_like(sent)


@pytest.mark.parametrize(
    "sent",
    [
        "ada@example.org",
        "a.b+c@sub.example.co",
        "josé@exämple.de",
        "用户@例子.中国",
        "o'brien@example.org",
        "x@1.example",
    ],
)
def test_an_address_is_plausible(sent: str) -> None:
    assert text.is_plausible_email(sent)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada@example",
        "ada@@example.org",
        "a@b@example.org",
        "ada@example..org",
        ".ada@example.org",
        "a..da@example.org",
        "ada@-example.org",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "ada@example.org\r\nBcc: x@example.org",
        "ada@example.org,x@example.org",
        "Ada <ada@example.org>",
        "ada lovelace@example.org",
        "ada@exam ple.org",
        "a\x00da@example.org",
        "ad\u200ba@example.org",
        "a" * 65 + "@example.org",
        "ada@" + "a" * 64 + ".org",
        "ada@" + ".".join(["abcdefgh"] * 30) + ".org",
        "ada@example.org\n",
        "ada@ex_ample_.org",
    ],
)
def test_anything_else_is_no_address(sent: str) -> None:
    assert not text.is_plausible_email(sent)


def test_addresses_are_compared_without_case() -> None:
    assert text.email_key(" Ada@Example.ORG ") == text.email_key("ada@example.org")
    assert text.email_key("a.da@example.org") != text.email_key("ada@example.org")


def test_addresses_that_mail_tells_apart_are_two() -> None:
    """Else who owns one proves the other (the DNS and mail servers do not fold "ß")."""
    assert text.email_key("ada@busineß.example") != text.email_key("ada@business.example")
    assert text.email_key("straße@example.org") != text.email_key("strasse@example.org")


def test_a_domain_in_two_notations_is_one() -> None:
    assert text.email_key("ada@BÜCHER.example") == text.email_key("ada@xn--bcher-kva.example")
    assert text.email_key("ada@bu\N{COMBINING DIAERESIS}cher.example") == text.email_key("ada@bücher.example")
    assert text.email_key("ada@ｅxample.org") == text.email_key("ada@example.org")
