"""Files for spreadsheets: read back as they were written, and nothing in them runs."""

import codecs
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.web.spreadsheet import BEGINNING, csv_bytes

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
BREAKS = ("\t", "\r", "\n")


def read(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


def test_lines_end_and_quotes_are_doubled_as_rfc_4180_has_it() -> None:
    assert csv_bytes([["Time", 'say "no"'], ["a,b", "c\r\nd"]]) == (b'"Time","say ""no"""\r\n"a,b","c\r\nd"\r\n')


def test_a_spreadsheet_is_told_that_it_is_utf_8() -> None:
    body = BEGINNING + csv_bytes([["Gerät", "العنوان"]])
    assert body.startswith(codecs.BOM_UTF8)
    assert body.decode("utf-8-sig") == '"Gerät","العنوان"\r\n'
    assert csv_bytes([]) == b""


@pytest.mark.asvs("1.2.10")
@pytest.mark.parametrize(
    "begin", [*SIGNS, *BREAKS, *(f"{space}{sign}" for space in (" ", "\u00a0 ") for sign in SIGNS)]
)
def test_what_begins_like_a_formula_is_text(begin: str) -> None:
    cell = f'{begin}HYPERLINK("https://evil.example";"x")'
    assert read(csv_bytes([[cell, "x"]])) == [[f"'{cell}", "x"]]


@given(st.lists(st.lists(TEXTS, min_size=1), max_size=5))
def test_every_other_text_comes_back_as_it_was(rows: list[list[str]]) -> None:
    back = read(csv_bytes(rows))
    assert [[cell.removeprefix("'") for cell in row] for row in back] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]
    for row in back:
        assert not [cell for cell in row if cell.startswith(BREAKS) or cell.strip().startswith(SIGNS)]
