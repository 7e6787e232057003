"""Ids sort by the instant they were made at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.kernel.ids import first_id, is_id, new_id

INSTANTS = st.integers(min_value=0, max_value=2**48 * 1000 - 2)


@given(INSTANTS)
def test_the_first_id_of_an_instant_is_above_all_before_it_and_below_all_of_it(now: int) -> None:
    assert first_id(now) <= new_id(now) < first_id(now + 1)


@given(INSTANTS)
def test_what_is_made_is_an_id(now: int) -> None:
    assert is_id(new_id(now))
    assert is_id(first_id(now))


@pytest.mark.parametrize(
    "text",
    ["", "x", "0197ae2c-1111-7abc-8def-0123456789aB", "0197ae2c11117abc8def0123456789ab", "g" * 36, "-" * 36,
     "0197ae2c-1111-7abc-8def-0123456789ab\n", "0197ae2c-1111-7abc-8def-0123456789ab0",
     "٠197ae2c-1111-7abc-8def-0123456789ab"],
)  # fmt: skip
def test_nothing_else_is_one(text: str) -> None:
    assert not is_id(text)
