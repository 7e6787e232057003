"""The software authenticator that integrators get writes what another implementation writes."""

from typing import Any

import pytest
from fido2 import cbor as theirs
from fido2.cose import CoseKey
from hypothesis import given
from hypothesis import strategies as st

from doorward.testing import cbor as ours
from doorward.testing.authenticator import EDDSA, ES256, ES512, PS256, RS256, Resident, new_key

NAMES = st.text(max_size=5) | st.integers(-300, 300)
WRITTEN = st.recursive(
    st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text(max_size=300) | st.binary(max_size=300),
    lambda within: st.lists(within, max_size=30) | st.dictionaries(NAMES, within, max_size=30),
    max_leaves=20,
)


@given(WRITTEN)
def test_it_is_the_same_cbor(value: Any) -> None:
    assert ours.encode(value) == theirs.encode(value)


def test_what_it_does_not_write_it_says_so() -> None:
    with pytest.raises(TypeError, match="float"):
        ours.encode([1.5])


@pytest.mark.parametrize("alg", [ES256, ES512, EDDSA, RS256, PS256])
def test_it_is_the_same_key(alg: int) -> None:
    key = new_key(alg)
    written = Resident(b"id", "example.org", b"handle", "ada", alg, key).public_key
    assert written == theirs.encode(CoseKey.for_alg(alg).from_cryptography_key(key.public_key()))
