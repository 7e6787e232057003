"""What happened, in words for its owner: every event has some, and nothing that operators note comes through."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.account.activity_words import OTHER, WORDS, By, Weight, Words, words_of
from doorward.audit import Event
from tests.support.sources import PACKAGE

CANARY = "canary-in-a-payload"
KEYS = ("action", "amr", "authenticator", "by", "device", "email", "failures", "fields", "kind", "legacy_id",
        "password", "phone", "purpose", "reason", "refused", "resource", "status", "to", "verb", "what",
        "why")  # fmt: skip
SECRETS = st.just(CANARY) | st.lists(st.just(CANARY)) | st.integers() | st.none() | st.booleans()
KNOWN = st.sampled_from(
    ["bound", "called off", "code", "compromised", "disabled", "factor", "leaving", "not_me", "passkey", "pending",
     "proven", "recovery", "removed", "reset", "roles changed", "sign-in", "totp", "undone", "used", "void"]
)  # fmt: skip
JSON = st.recursive(
    SECRETS | KNOWN, lambda inner: st.lists(inner) | st.dictionaries(st.just(CANARY), inner), max_leaves=5
)
PAYLOADS = st.dictionaries(st.sampled_from([key for key in KEYS if key != "to"]) | st.just(CANARY), JSON)
EVENTS = st.sampled_from([event.value for event in Event])
BYS: tuple[By, ...] = get_args(By)


def said(event: Event, payload: Mapping[str, Any], by: By = "owner") -> str:
    return words_of(event, payload, by).english


@pytest.mark.parametrize("event", Event)
def test_every_event_of_the_vocabulary_has_words(event: Event) -> None:
    assert event in WORDS


def used_events() -> Iterator[tuple[str, Event]]:
    """Every event that some module names, and which; but for those of keys and clients, which are about nobody."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name not in {"audit", "sealing"} and not path.name.startswith(("activity", "clients")):
            for name in re.findall(r"\bEvent\.([A-Z0-9_]+)", path.read_text("utf-8")):
                yield path.name, Event[name]


def test_every_event_that_the_sources_record_has_words_of_its_own() -> None:
    used = list(used_events())
    assert len({event for _, event in used}) > 15
    assert [(name, event) for name, event in used if not event.startswith("sys_") and WORDS[event] is OTHER] == []


@pytest.mark.parametrize(
    ("event", "payload", "by", "expected"),
    [
        (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["pwd"]}, "owner", "You signed in with your password"),
        (Event.AUTHN_LOGIN_SUCCESSAFTERFAIL, {"amr": ["pwd"], "failures": 3}, "owner",
         "You signed in with your password"),
        (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["pwd", "otp", "mfa"]}, "owner",
         "You signed in with your password and a second step"),
        (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["hwk", "user", "mfa"]}, "owner", "You signed in with a passkey"),
        (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["otp"]}, "owner", "You signed in with a link or a code from an e-mail"),
        (Event.AUTHN_LOGIN_SUCCESS, {}, "owner", "You signed in"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "sign-in", "reason": "wrong password"}, "nobody known",
         "Somebody entered a wrong password"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "reauthenticate", "reason": "wrong password"}, "nobody known",
         "Somebody who was signed in entered a wrong password"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "factor", "kind": "totp", "reason": "wrong code"}, "nobody known",
         "Somebody failed at your second step"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "factor", "kind": "passkey", "reason": "no challenge"}, "nobody known",
         "Somebody tried a passkey that did not work"),
        (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["pwd", "hwk", "user", "mfa"]}, "owner",
         "You signed in with your password and a second step"),
        (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["otp", "sms", "mfa"]}, "owner", "You signed in with two steps"),
        (Event.AUTHN_TOKEN_CREATED, {"purpose": "next step", "owes": "authenticator", "amr": ["pwd"]}, "nobody known",
         "The first step of signing in succeeded, and a second was asked for"),
        (Event.AUTHN_TOKEN_CREATED, {"purpose": "cool-off", "what": "asked for"}, "nobody known",
         "Somebody asked to get into your account without your second step"),
        (Event.AUTHN_TOKEN_REVOKED, {"purpose": "cool-off", "what": "called off"}, "nobody known",
         "The wait to get into your account without your second step was called off"),
        (Event.AUTHN_TOKEN_REUSE, {"fields": ["authenticators"], "authenticator": "passkey", "what": "count"}, "owner",
         "A passkey was used that may have been copied"),
        (Event.AUTHZ_CHANGE, {"fields": ["authenticators"], "what": "reset", "kinds": ["totp"]}, "nobody known",
         "An administrator removed all your second steps"),
        (Event.AUTHZ_CHANGE, {"fields": ["authenticators"], "what": "lost", "kinds": ["totp"]}, "owner",
         "All your second steps were removed"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "code", "purpose": "sign_in"}, "nobody known",
         "Somebody entered a wrong code"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "sign-in", "reason": "disabled"}, "nobody known",
         "Your password was entered while your account was closed"),
        (Event.AUTHN_LOGIN_FAIL, {"action": "sign-in", "reason": "no password"}, "nobody known",
         "Somebody tried to sign in and failed"),
        (Event.AUTHN_PASSWORD_CHANGE, {}, "owner", "Your password was changed"),
        (Event.AUTHN_PASSWORD_CHANGE, {"by": "recovery"}, "owner",
         "Your password was changed with a link from an e-mail"),
        (Event.AUTHN_TOKEN_CREATED, {"purpose": "recovery"}, "nobody known",
         "A link to choose a new password was asked for"),
        (Event.AUTHN_TOKEN_CREATED, {"purpose": "sign_up"}, "nobody known",
         "Somebody tried to sign up with your e-mail address"),
        (Event.AUTHN_TOKEN_REVOKED, {"purpose": "not_me"}, "owner", "You reported that something was not you"),
        (Event.AUTHZ_CHANGE, {"from": [], "to": ["auditor", "support"]}, "somebody else",
         "An administrator changed your roles to: auditor, support"),
        (Event.AUTHZ_CHANGE, {"from": ["admin"], "to": []}, "nobody known", "An administrator took your roles away"),
        (Event.AUTHZ_FAIL, {"verb": "update", "resource": "user", "refused": 7}, "somebody else",
         "Somebody tried to change your account and was refused"),
        (Event.SESSION_LOGOUT, {"why": "signed out"}, "owner", "A device was signed out"),
        (Event.SESSION_LOGOUT, {"why": "leaving"}, "owner", "A device was signed out"),
        (Event.SESSION_LOGOUT, {"why": "roles changed"}, "somebody else",
         "A device was signed out, because what you may do here changed"),
        (Event.SESSION_RENEWED, {}, "owner", "You confirmed that it was you"),
        (Event.SENSITIVE_READ, {}, "owner", "Your data were exported"),
        (Event.USER_CREATED, {}, "owner", "You created your account"),
        (Event.USER_CREATED, {"legacy_id": "old:7"}, "nobody known",
         "Your account was brought here from another system"),
        (Event.USER_UPDATED, {"fields": ["name", "motto"]}, "owner", "You changed your profile"),
        (Event.USER_UPDATED, {"fields": ["coins"]}, "somebody else", "An administrator changed your profile"),
        (Event.USER_UPDATED, {"fields": ["status"], "status": "disabled"}, "nobody known",
         "An administrator closed your account"),
        (Event.USER_UPDATED, {"fields": ["email"], "email": "pending"}, "owner",
         "You asked for another e-mail address"),
        (Event.USER_UPDATED, {"fields": ["email"], "email": "proven"}, "owner", "Your e-mail address was confirmed"),
        (Event.USER_UPDATED, {"fields": ["phone"], "phone": "void"}, "nobody known",
         "Your phone number was removed, because somebody else confirmed it as theirs"),
        (Event.USER_UPDATED, {"fields": ["password"], "password": "compromised"}, "nobody known",
         "An administrator reported that others may know your password"),
        (Event.USER_UPDATED, {"fields": ["authenticators"], "authenticator": "passkey", "what": "bound"}, "owner",
         "A passkey was added"),
        (Event.USER_UPDATED, {"fields": ["authenticators"], "authenticator": "recovery_code", "what": "used"}, "owner",
         "A recovery code was used"),
        (Event.USER_UPDATED, {"fields": ["authenticators"], "authenticator": "yubikey", "what": "bound"}, "owner",
         "A way to prove that it is you was added"),
        (Event.USER_UPDATED, {"fields": ["authenticators"], "authenticator": "totp", "what": "reset"}, "somebody else",
         "An administrator removed all your second steps"),
        (Event.USER_ARCHIVED, {"due_at": "2026-12-07T05:00:00.000Z"}, "owner",
         "You asked for your account to be deleted"),
    ],
)  # fmt: skip
def test_what_is_recorded_is_told_in_plain_words(
    event: Event, payload: Mapping[str, Any], by: By, expected: str
) -> None:
    assert said(event, payload, by) == expected


@pytest.mark.parametrize("kind", ["totp", "passkey", "sms_code", "email_code", "recovery_code"])
@pytest.mark.parametrize("what", ["bound", "removed", "used"])
def test_every_kind_of_second_step_has_words_of_its_own(kind: str, what: str) -> None:
    told = said(Event.USER_UPDATED, {"fields": ["authenticators"], "authenticator": kind, "what": what})
    assert not told.startswith("A way to prove")


def test_a_report_of_the_owners_is_told() -> None:
    assert (
        said(Event.ACCOUNT_REPORTED, {"by": "link", "what": "new_device"}) == "You reported that something was not you"
    )


def test_an_event_of_a_later_version_is_told_in_general_words() -> None:
    assert words_of("authn_by_telepathy", {"what": CANARY}, "owner") == OTHER


@given(EVENTS | st.text(max_size=10), PAYLOADS, st.sampled_from(BYS))
def test_nothing_of_a_payload_comes_through(event: str, payload: Mapping[str, Any], by: By) -> None:
    words = words_of(event, payload, by)
    assert CANARY not in f"{words.text}{words.administrator}"
    assert words.params == {}


@given(st.lists(st.text() | st.none() | st.integers()))
def test_roles_that_are_no_texts_are_left_out(roles: list[Any]) -> None:
    texts = [role for role in roles if isinstance(role, str)]
    assert words_of(Event.AUTHZ_CHANGE, {"to": roles}, "owner").params == ({"roles": ", ".join(texts)} if texts else {})


@given(EVENTS, PAYLOADS)
def test_what_somebody_else_did_is_never_said_to_be_the_owners_doing(event: str, payload: Mapping[str, Any]) -> None:
    words = words_of(event, payload, "somebody else")
    assert not words.text.startswith("You ")
    assert words.hides_sender
    assert not words.is_notable


@pytest.mark.asvs("14.2.6")
@pytest.mark.parametrize(
    ("event", "payload", "by"),
    [
        (Event.USER_UPDATED, {"fields": ["email"], "email": "void"}, "nobody known"),
        (Event.USER_UPDATED, {"fields": ["phone"], "phone": "void"}, "nobody known"),
        (Event.USER_UPDATED, {"fields": ["email"], "email": "proven"}, "owner"),
        (Event.SESSION_LOGOUT, {"why": "another session began in its place"}, "owner"),
        (Event.USER_UPDATED, {"fields": ["status"], "status": "active"}, "nobody known"),
        (Event.AUTHZ_FAIL, {"verb": "delete", "resource": "user"}, "somebody else"),
    ],
)
def test_where_the_sender_may_be_another_member_nothing_of_them_is_shown(
    event: Event, payload: Mapping[str, Any], by: By
) -> None:
    assert words_of(event, payload, by).hides_sender


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (Event.AUTHN_LOGIN_FAIL, {"action": "sign-in", "reason": "wrong password"}),
        (Event.AUTHN_LOGIN_FAIL, {"action": "factor"}),
        (Event.AUTHN_TOKEN_CREATED, {"purpose": "recovery"}),
        (Event.AUTHN_LOGIN_LOCK, {}),
    ],
)
def test_who_fails_to_get_in_is_shown(event: Event, payload: Mapping[str, Any]) -> None:
    """They did not prove to be anybody, and the owner may need to tell them from themselves."""
    assert not words_of(event, payload, "nobody known").hides_sender


NOTABLE: list[tuple[Event, Mapping[str, Any]]] = [
    (Event.AUTHN_LOGIN_SUCCESS, {"amr": ["pwd"]}),
    (Event.AUTHN_LOGIN_FAIL, {"action": "factor"}),
    (Event.AUTHN_LOGIN_FAIL, {"action": "reauthenticate", "reason": "wrong password"}),
    (Event.AUTHN_PASSWORD_CHANGE, {}),
    (Event.SESSION_CREATED, {}),
    (Event.AUTHN_TOKEN_CREATED, {"purpose": "next step"}),
    (Event.AUTHN_TOKEN_CREATED, {"purpose": "cool-off", "what": "asked for"}),
    (Event.AUTHZ_CHANGE, {"fields": ["authenticators"], "what": "given up"}),
    (Event.USER_UPDATED, {"email": "proven"}),
    (Event.USER_UPDATED, {"phone": "removed"}),
    (Event.USER_UPDATED, {"authenticator": "totp", "what": "removed"}),
    (Event.USER_UPDATED, {"authenticator": "recovery_code", "what": "used"}),
]


@pytest.mark.parametrize(("event", "payload"), NOTABLE)
def test_what_an_intruder_would_do_is_notable(event: Event, payload: Mapping[str, Any]) -> None:
    assert words_of(event, payload, "owner").is_notable


def test_what_anybody_can_do_from_outside_is_not() -> None:
    for payload in ({"action": "sign-in", "reason": "wrong password"}, {"action": "code"}):
        assert not words_of(Event.AUTHN_LOGIN_FAIL, payload, "nobody known").is_notable
    assert not words_of(Event.AUTHN_TOKEN_CREATED, {"purpose": "recovery"}, "nobody known").is_notable


def test_a_session_that_begins_goes_without_saying_beside_a_sign_in() -> None:
    ranks: list[Words] = [words_of(event, {}, "owner") for event in (Event.SESSION_CREATED, Event.AUTHN_LOGIN_SUCCESS)]
    assert [words.weight for words in ranks] == [Weight.IMPLIED, Weight.PLAIN]
