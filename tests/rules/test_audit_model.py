"""The vocabulary and the encoding of audit events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.audit import Event
from doorward.audit.model import PayloadValue, canonical, storable

# The names asked for by the project's criterion C60.
ASKED = (
    "authn_login_success",
    "authn_login_fail",
    "authn_login_fail_max",
    "authn_login_lock",
    "authn_password_change",
    "authn_token_reuse",
    "authz_fail",
    "authz_change",
    "authz_admin",
    "session_created",
    "session_renewed",
    "session_expired",
    "session_logout",
    "session_use_after_expire",
    "user_created",
    "user_updated",
    "user_deleted",
    "upload_validation",
    "excess_rate_limit_exceeded",
)

scalars = st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none()
values: st.SearchStrategy[PayloadValue] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10
)


@pytest.mark.asvs("16.3.1")
@pytest.mark.parametrize("name", ASKED)
def test_the_vocabulary_has_every_name_that_was_asked_for(name: str) -> None:
    assert Event(name).value == name


def test_every_event_is_named_by_its_value() -> None:
    assert [event.name.lower() for event in Event] == [event.value for event in Event]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Event.AUTHN_LOGIN_SUCCESS, "info"),
        (Event.AUTHN_LOGIN_FAIL, "warning"),
        (Event.AUTHN_TOKEN_REUSE, "critical"),
        (Event.AUTHZ_FAIL, "critical"),
        (Event.USER_DELETED, "warning"),
        (Event.ACCOUNT_REPORTED, "critical"),
    ],
)
def test_an_event_is_as_loud_as_the_vocabulary_says(event: Event, level: str) -> None:
    assert event.level == level


@given(values)
def test_a_payload_survives_a_database_that_reorders_and_respaces_it(value: PayloadValue) -> None:
    text = canonical(storable(value))
    rewritten = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    assert canonical(json.loads(rewritten)) == text


@given(values)
def test_a_storable_payload_holds_no_nul_and_no_half_characters(value: PayloadValue) -> None:
    text = json.dumps(json.loads(canonical(storable(value))), ensure_ascii=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()


def test_a_lone_surrogate_is_written_out() -> None:
    assert storable({"a": ["\ud800\x00"]}) == {"a": ["\\ud800\\x00"]}
