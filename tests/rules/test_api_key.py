"""The form of an API key's secret."""

import re
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.apikeys import check_scopes
from doorward.kernel.api_key import PATTERN, find_api_key, is_api_key, new_api_key, with_checksum
from doorward.kernel.secret import REDACTED, scrub

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.asvs("11.5.1")
def test_a_key_is_new_every_time_and_looks_like_one() -> None:
    made = {new_api_key() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(re.fullmatch(PATTERN, key) and is_api_key(key) for key in made)


def test_the_checksum_is_that_of_the_documented_rule() -> None:
    """docs/api-keys.md: the last six characters are the CRC-32 of the 43 before, in base 62."""
    digits = "0" * 42 + "1"
    number = 0
    for character in with_checksum(digits)[-6:]:
        number = number * 62 + BASE62.index(character)
    assert number == crc32(digits.encode())
    assert with_checksum(digits) == f"dw_{digits}" + with_checksum(digits)[-6:]


@given(st.integers(3, 51), st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(at: int, instead: str) -> None:
    key = with_checksum("7sunQ0d3XvhKQ9m2LkTzYb4pWcRf8eJiA1gH6oUaZxC")
    wrong = key[:at] + instead + key[at + 1 :]
    assert is_api_key(wrong) is (wrong == key)


GOOD = with_checksum("7sunQ0d3XvhKQ9m2LkTzYb4pWcRf8eJiA1gH6oUaZxC")


@pytest.mark.parametrize("text", ["", "dw_", "dw_x", "dw_" + "0" * 49, "DW_" + GOOD[3:], GOOD + "0"])
def test_what_is_no_key_is_told_without_a_database(text: str) -> None:
    assert not is_api_key(text)


def test_a_key_is_found_in_an_address_however_it_is_escaped() -> None:
    key = new_api_key()
    escaped = "".join(f"%{ord(character):02X}" for character in key)
    for query in (f"key={key}", f"a=1&api_key={key}&b=2", key, f"x={escaped}", f"x=%64w_{key[3:]}"):
        assert find_api_key(query) == key
    for query in ("", "sort=-coins", "x=dw_", f"x={key[:-1]}", "q=dw_" + "0" * 49):
        assert find_api_key(query) is None


@pytest.mark.asvs("16.2.5")
def test_no_log_line_shows_a_key() -> None:
    for secret in (new_api_key(), "dwc_" + "A" * 43, "dws_" + "b" * 43, "whsec_" + "c" * 43 + "="):
        assert scrub(f"tried {secret} there") == f"tried {REDACTED} there"


def test_scopes_of_apps_have_names_of_their_own_and_words() -> None:
    assert list(check_scopes({"orders:read": "Read your orders", "a.b_c-d:e": "x"})) == []
    wrong = {"users:write": "x", "openid": "x", "Orders": "x", "a b": "x", "x" * 61: "x", "orders:read": " "}
    assert [name for name, _ in check_scopes(wrong)] == list(wrong)
