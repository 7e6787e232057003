"""Bodies that break readers or that two readers understand differently."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.kernel.errors import Malformed
from doorward.kernel.strict_json import loads

REFUSED = {
    "nothing": b"",
    "spaces": b"  \n ",
    "20,000 arrays deep": b"[" * 20_000 + b"]" * 20_000,
    "20,000 objects deep": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "20,000 arrays that never close": b"[" * 20_000,
    "deep after a string with quotes": b'{"a":"\\"[","b":' + b"[" * 40 + b"]" * 40 + b"}",
    "33 levels": b"[" * 33 + b"]" * 33,
    "a name twice": b'{"coins":1,"coins":2}',
    "a name twice, once escaped": b'{"coins":1,"c\\u006fins":2}',
    "a name twice, deep inside": b'[{"a":{"b":1,"b":1}}]',
    "NaN": b'{"a":NaN}',
    "Infinity": b"Infinity",
    "-Infinity": b"[-Infinity]",
    "1e999": b'{"a":1e999}',
    "-1e999": b"-1e999",
    "an integer of 65 bits": b"18446744073709551616",
    "2 to the 63rd": b"9223372036854775808",
    "one below the least integer": b"-9223372036854775809",
    "an integer of a million digits": b"9" * 1_000_000,
    "invalid UTF-8": b'{"a":"\xff"}',
    "overlong UTF-8": b'"\xc0\xaf"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "half a surrogate pair": b'{"a":"\\ud83d"}',
    "half a surrogate pair as a name": b'{"\\uDE00":1}',
    "surrogates in the wrong order": b'"\\ude00\\ud83d"',
    "a raw control character": b'"a\nb"',
    "a raw NUL": b'"a\x00b"',
    "a comma too many": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "two values": b"{}{}",
    "a comment": b"/* a */ {}",
    "a leading zero": b"01",
    "a plus sign": b"+1",
    "hexadecimal": b"0x10",
    "a form": b"uid=ada&name=Ada",
    "an unknown escape": b'"\\x41"',
    "a string without an end": b'"abc',
    "brackets that cross": b'{"a":[}]',
}


@pytest.mark.asvs("1.5.3")
@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_an_ambiguous_or_broken_body_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":[1,-0,2.5,true,null,"x"]}', {"a": [1, 0, 2.5, True, None, "x"]}),
        (b" 9223372036854775807 ", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\u0000"', "\x00"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"' + b"[" * 20_000 + b'"', "[" * 20_000),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b"1e-999", 0.0),
    ],
)
def test_what_json_allows_is_read(body: bytes, value: object) -> None:
    assert loads(body) == value


def test_a_string_that_never_ends_takes_no_quadratic_time() -> None:
    body = b'"' + b'\\"' * 500_000
    started = time.perf_counter()
    with pytest.raises(Malformed):
        loads(body)
    assert time.perf_counter() - started < 5  # quadratic would be hours


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON_VALUES)
def test_every_json_value_is_read_as_it_was_written(value: object) -> None:
    for ascii_only in (False, True):
        assert loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_value_or_malformed(body: bytes) -> None:
    try:
        loads(body)
    except Malformed as error:
        assert error.detail  # noqa: PT017  any outcome but another exception is right
