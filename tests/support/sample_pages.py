"""One plausible visit to every page: what its route would hand to the template."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from doorward.account.activity import Happening, entries
from doorward.account.activity_words import words_of
from doorward.account.contacts import EmailState, Pending
from doorward.account.frame import NoWayBack
from doorward.account.key_routes import key_fields, scope_fields
from doorward.account.phones import PhoneState
from doorward.account.steps import Overview
from doorward.apikeys import OWN_SCOPES, ApiKey
from doorward.app import exports
from doorward.authenticators import AppOffer, Bound, PasswordPolicy, code_field
from doorward.authenticators.qr import qr_svg
from doorward.kernel.instant import DAY, MINUTE, SECOND
from doorward.recovery.not_me import Happened
from doorward.signin.cool_off import Wait
from doorward.signup.forms import confirmation_field
from doorward.testing import MovableClock
from doorward.users.directory import Column, Member, Page
from doorward.web.forms import FormField
from doorward.web.pages import Pages

NOW = MovableClock().now()
RETURN = "https://app.example.org/callback?code=c0de"
ADA = {"name": "Ada Lovelace", "uid": "ada"}

IDENTIFIER = FormField(
    "identifier", "Username or e-mail", "text", required=True, autocomplete="username",
    attributes={"autocapitalize": "off", "spellcheck": "false"}, messages={"required": "Enter your username"},
)  # fmt: skip
PASSWORD = FormField(
    "password", "Password", "password", required=True, autocomplete="current-password",
    messages={"required": "Enter your password"},
)  # fmt: skip
NEW_PASSWORD = FormField(
    "password", "Password", "password", required=True, autocomplete="new-password",
    hint="At least %(minimum)s characters. A few words that only you would put together work well.",
    params={"minimum": 15}, attributes={"minlength": "15"},
    messages={"required": "Enter a password", "too_short": "The password needs at least %(minimum)s characters"},
    advice=PasswordPolicy().advice,
)  # fmt: skip
UID = FormField(
    "uid", "Username", "text", required=True, autocomplete="username",
    hint="2 to 64 characters, without spaces. Other members see it.",
    attributes={"minlength": "2", "maxlength": "64", "autocapitalize": "off", "spellcheck": "false"},
    messages={"required": "Enter a username", "too_short": "The username needs at least 2 characters"},
)  # fmt: skip
NAME = FormField(
    "name", "Name", "text", required=True, autocomplete="name", attributes={"minlength": "2", "maxlength": "64"},
    messages={"required": "Enter your name", "too_short": "The name needs at least 2 characters"},
)  # fmt: skip
EMAIL = FormField("email", "E-mail", "email", autocomplete="email", messages={"wrong_type": "That is no address"})
DOB = FormField(
    "dob", "Date of birth", "date", autocomplete="bday", attributes={"min": "1900-01-01", "max": "2026-11-23"},
    messages={"in_the_future": "The date of birth is in the future"},
)  # fmt: skip
GOAL = FormField(
    "goal", "Weekly goal", "number", hint="Hours a week, from %(minimum)s to %(maximum)s.",
    params={"minimum": 1, "maximum": 40}, attributes={"min": "1", "max": "40", "step": "1"},
    messages={"out_of_range": "Choose %(minimum)s to %(maximum)s", "wrong_type": "Enter a whole number"},
)  # fmt: skip
EXERCISE = FormField(
    "exercise", "Exercise", "textarea", hint="JSON", attributes={"dir": "ltr", "spellcheck": "false", "rows": "6"}
)
NEWSLETTER = FormField("newsletter", "Send me news once a month", "checkbox")
LEVEL = FormField("level", "Level", "select", options=(("", "None"), ("new", "New"), ("old", "Experienced")))

PROFILE = [
    replace(NAME, value=ADA["name"]),
    replace(EMAIL, value="ada@example.org"),
    replace(DOB, value="1815-12-10", attributes={}),
    replace(GOAL, value="5"),
    replace(EXERCISE, value='{\n  "run": [3.1, 4.2],\n  "swim": null\n}'),
    replace(LEVEL, value="old"),
    replace(NEWSLETTER, value="true"),
]
FACTS = [("Coins", "1710"), ("Roles", "admin, auditor")]
SESSIONS: list[dict[str, Any]] = [
    {"id": "s1", "device": "Firefox on Debian", "address": "192.0.2.7", "place": "Paris, France", "current": True,
     "last_seen": NOW, "created": NOW - 3 * DAY},
    {"id": "s2", "device": "Safari on iPhone", "address": "2001:db8::7", "place": None, "current": False,
     "last_seen": NOW - 40 * MINUTE, "created": NOW - 9 * DAY},
    {"id": "s3", "device": "A program", "address": "198.51.100.23", "current": False,
     "place": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch, United Kingdom",
     "last_seen": NOW - 2 * DAY, "created": NOW - 2 * DAY},
]  # fmt: skip
FIREFOX = {"device": "Firefox on Debian", "address": "192.0.2.7", "place": "Paris, France"}
SAFARI = {"device": "Safari on iPhone", "address": "2001:db8:85a3:8d3:1319:8a2e:370:7348", "place": None}
STRANGER = {"device": "A program", "address": "198.51.100.23", "place": "Llanfairpwllgwyngyll, United Kingdom"}
NOT_SHOWN = {"device": None, "address": None, "place": None}
HAPPENED: list[tuple[int, str, dict[str, Any], dict[str, Any], bool]] = [  # minutes ago, event, payload, sender, here
    (1, "authn_password_change", {}, FIREFOX, True),
    (1, "session_logout", {"why": "ended with the others"}, FIREFOX, False),
    (1, "session_logout", {"why": "ended with the others"}, FIREFOX, False),
    (1, "session_renewed", {}, FIREFOX, True),
    (5, "authn_login_successafterfail", {"amr": ["pwd", "otp", "mfa"]}, FIREFOX, True),
    (5, "session_created", {}, FIREFOX, True),
    *((30 + n, "authn_login_fail", {"action": "sign-in", "reason": "wrong password"}, STRANGER, False)
      for n in range(12)),
    (55, "authn_login_fail", {"action": "factor"}, STRANGER, False),
    (900, "user_updated", {"authenticator": "passkey", "what": "bound"}, SAFARI, False),
    (2_000, "user_updated", {"authenticator": "recovery_code", "what": "used"}, SAFARI, False),
    (3_000, "user_updated", {"email": "proven"}, NOT_SHOWN, False),
    (9_000, "authz_change", {"to": ["auditor", "support"]}, NOT_SHOWN, False),
    (20_000, "user_created", {}, FIREFOX, False),
    (20_000, "session_created", {}, FIREFOX, False),
]  # fmt: skip
ACTIVITY = entries(
    Happening(
        id=f"e{number}", at=NOW - minutes * MINUTE, event=event,
        outcome="failure" if event == "authn_login_fail" else "success",
        words=words_of(event, payload, "somebody else" if event == "authz_change" else "owner"),
        is_here=here, request_id=f"r{minutes}", **sender,
    )
    for number, (minutes, event, payload, sender, here) in enumerate(HAPPENED)
)  # fmt: skip
COLUMNS = [
    Column("coins", "Coins", numeric=True, sortable=True),
    Column("club", "Club", numeric=False, sortable=False),
]
ROWS = [
    (1, "Grace Hopper", "grace", 1840, "Navy"), (2, "Ada Lovelace", "ada", 1710, "Analytical"),
    (2, "Annie Easley", "annie", 1710, None), (4, "سلمى الخطيب", "salma", 960, "نادي الجري"),
    (5, "Hedy Lamarr", "hedy", 310, None), (6, "Mary Jackson", "mary", 42, "West"), (None, "Bo", "bo", None, None),
]  # fmt: skip
MEMBERS = [
    Member(id=uid, uid=uid, name=name, rank=rank, own=uid == "ada", values={"coins": coins, "club": club}, shown={})
    for rank, name, uid, coins, club in ROWS
]
LEADERBOARD = Page("-coins", ranked=True, columns=COLUMNS, rows=MEMBERS, next_cursor="eyJ2IjogNDJ9", own=MEMBERS[1])
DOCUMENT: Mapping[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://id.example.org"}],
    "paths": {
        "/api/users": {
            "get": {
                "summary": "List members", "tags": ["Users"], "security": [{}, {"cookie": []}],
                "parameters": [{"name": "sort", "in": "query", "schema": {"type": "string"},
                                "description": "A sortable field; - in front for the largest first"}],
                "responses": {"200": {"description": "A page of members", "content": {"application/json": {"schema": {
                    "type": "object", "properties": {"data": {"type": "array", "items": {"type": "object",
                        "properties": {"id": {"type": "string", "format": "uuid"}, "rank": {"type": "integer"}}}},
                        "next_cursor": {"type": ["string", "null"]}}}}}}},
            },
            "post": {
                "summary": "Sign up", "tags": ["Users"], "security": [],
                "description": "Every bad field is listed at once.",
                "requestBody": {"content": {"application/json": {"schema": {"type": "object", "required": ["uid"],
                    "properties": {"uid": {"type": "string", "description": "2 to 64 characters"},
                                   "dob": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}}}}}},
                "responses": {"201": {"description": "Created"},
                              "400": {"description": "Some fields are wrong", "content": {"application/problem+json": {
                                  "schema": {"$ref": "#/components/schemas/Problem"}}}}},
            },
        },
        "/api/users/{id}": {
            "delete": {
                "summary": "Delete a user", "tags": ["Users"], "security": [{"cookie": []}, {"bearer": []}],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string",
                                "format": "uuid"}}],
                "responses": {"204": {"description": "Deleted"}},
            },
        },
        "/api/sessions": {
            "post": {
                "summary": "Sign in", "tags": ["Sessions"], "security": [],
                "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
                    "identifier": {"type": "string"}, "password": {"type": "string", "format": "password"},
                    "transport": {"enum": ["cookie", "bearer"]}}}}}},
                "responses": {"201": {"description": "Signed in"}},
            },
        },
    },
    "components": {"schemas": {"Problem": {"type": "object", "properties": {
        "title": {"type": "string"}, "status": {"type": "integer", "example": 400}, "code": {"type": "string"}}}}},
}  # fmt: skip

CHALLENGE = {"token": "t0k3n", "salt": "5a17", "target": "7a49", "iterations": 1, "numbers": 2, "patience_seconds": 30}
ADDRESS = "ada.lovelace@analytical.engine.example"
LONG_ADDRESS = "augusta-ada.king-countess-of-lovelace@analytical-engine.example"
STATES = ("used", "void", "expired", "unknown")  # of a link that no longer works
CODE = FormField(
    "code", "Code", "text", required=True, autocomplete="one-time-code", hint="Six digits. Spaces do not matter.",
    attributes={"inputmode": "numeric", "dir": "ltr"}, messages={"required": "Enter the code"},
)  # fmt: skip
RECOVERY_CODE = FormField(
    "code", "Recovery code", "text", required=True, autocomplete="off",
    hint="16 letters and digits. Case and gaps do not matter.",
    attributes={"dir": "ltr", "spellcheck": "false", "autocapitalize": "off"},
    messages={"required": "Enter one of your recovery codes"},
)  # fmt: skip
MAIL = {
    "id": "m1", "kind": "mail", "subject": "123456 ist Ihr Code für Doorward", "to": LONG_ADDRESS, "arrived_at": NOW,
    "code": "123456", "path": "/verify/t0k3n", "html": "<p>", "text": "https://id.example.org/verify/" + "t0k3n" * 9,
}  # fmt: skip
TEXT_MESSAGE = {**MAIL, "id": "m2", "kind": "sms", "to": "+44 7400 123456", "path": None, "html": None}
REQUIRED_EMAIL = replace(EMAIL, required=True)
PHONE = FormField(
    "phone", "Phone number", "text", required=True, autocomplete="tel", attributes={"inputmode": "tel", "dir": "ltr"},
    hint="With the code of the country, such as +44 7400 123456.", messages={"required": "Enter a phone number"},
)  # fmt: skip

APP = AppOffer("JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", "otpauth://totp/Doorward:ada?secret=JBSWY3DPEHPK3PXP")
QR = Markup(qr_svg(APP.uri))  # noqa: S704  two paths of numbers
USED_BEFORE = "This code is not right, or it has been used before. Wait for the next one, or try another way"
OFF_THE_CLOCK = "This code does not fit. Check the clock of your device and enter the newest code"
NOT_AMONG = "This is not one of the new codes. Copy one of them, or tick the box"
WAYS = [("totp", "Authenticator app"), ("sms_code", "Text message"), ("recovery_code", "Recovery code")]
CODES = [f"{number}abc-defg-hjkm-npq{number}" for number in range(10)]
RECOVERY_FIELDS = [
    FormField(
        "code", "One of the codes", "text", hint="To make sure that you have them: enter any one. It stays good."
    ),
    FormField("kept", "Or: I have kept them", "checkbox"),
]

API_KEY = ApiKey(
    "k1", "u1", "Nightly report of the warehouse", "dw_a1B2c3", ("profile:read", "users:read"),
    ("192.0.2.0/24", "2001:db8:85a3::8a2e:370:0/112"), 60, NOW - DAY, NOW + 89 * DAY, NOW - MINUTE, "192.0.2.7",
    NOW + DAY,
)  # fmt: skip


def bound(key: str, kind: str, label: str, *, used: bool = True) -> Bound:
    """Something that a user has."""
    state = {"unused": [1, 2, 3]} if kind == "recovery_code" else {}
    last = NOW - 3 * MINUTE if used else None
    return Bound(
        key, "u1", kind, label, {"credential_id": key}, state, 1, bound_at=NOW - 40 * DAY, last_used_at=last, step=True
    )


OWN = [
    bound("a1", "passkey", "iCloud Keychain"), bound("a2", "passkey", "Passkey", used=False),
    bound("a3", "totp", "Authenticator app"), bound("a4", "sms_code", "Text message"),
    bound("a5", "email_code", "E-mail", used=False), bound("a6", "recovery_code", "Recovery code"),
]  # fmt: skip
KINDS = ["email_code", "passkey", "recovery_code", "sms_code", "totp"]
EVERYTHING = Overview(
    OWN, KINDS, has_password=True, has_factor=True, grace_until=None, email="ada@example.org", phone="+49 151 23456789"
)
SECURITY: Mapping[str, Any] = {
    "going_on": "", "is_enough": False,
    "own": EVERYTHING, "passkeys": OWN[:2], "app": OWN[2], "text": OWN[3], "mail": OWN[4], "codes": OWN[5],
    "codes_left": 3, "fresh": True, "phones": True,
    "signal": {"rp_id": "localhost", "user_id": "QUJD", "credentials": '["a1"]'},
}  # fmt: skip
NO_SECURITY: Mapping[str, Any] = {
    "own": Overview([], KINDS, has_password=True, has_factor=False, grace_until=NOW + 5 * DAY,
                    email="ada@example.org", phone=None), "passkeys": [], "app": None,
    "text": None, "mail": None, "codes": None, "codes_left": 0, "fresh": False, "signal": None,
    "going_on": "", "is_enough": False,
}  # fmt: skip
STEP: Mapping[str, Any] = {
    "fields": [code_field("totp")], "kind": "totp", "asked": "Enter the six digits that your authenticator app shows.",
    "sends": False, "sent_to": None, "code_until": 0, "others": WAYS[1:], "reauthenticates": False,
    "offers_recovery": True,
}  # fmt: skip


def waiting(number: str | None, *, begun: bool, email: bool, phone: bool, due: int | None) -> Wait:
    """Where somebody stands who lost every second step."""
    return Wait(ADDRESS, number, has_begun=begun, email_shown=email, phone_shown=phone, due_at=due)


USERNAME = FormField(
    "confirm", "Type your username to confirm", "text", required=True, autocomplete="off",
    attributes={"autocapitalize": "off", "spellcheck": "false"},
    messages={"required": "Type your username if you want to delete your account"},
)  # fmt: skip
DATA = [part.about for part in exports()]

NOTHING: Mapping[str, Any] = {}
# Page -> template, path, whether someone is signed in, context.
PAGES: Mapping[str, tuple[str, str, bool, Mapping[str, Any]]] = {
    "start": ("home.html", "/", False, NOTHING),
    "sign-up": ("sign_up.html", "/sign-up", False, {
        "fields": [UID, NAME, EMAIL, NEW_PASSWORD], "next": "/account", "challenge": None, "passkeys": True}),
    "sign-up-flood": ("sign_up.html", "/sign-up", False, {
        "fields": [EMAIL, NEW_PASSWORD, UID, NAME], "next": "/account", "challenge": CHALLENGE, "passkeys": False}),
    "sign-up-wrong": ("sign_up.html", "/sign-up", False, {
        "fields": [replace(UID, value="a", error="The username needs at least 2 characters"), replace(NAME, value="Al"),
                   EMAIL, replace(NEW_PASSWORD, error="The password needs at least %(minimum)s characters")],
        "errors": [("uid", "The username needs at least 2 characters"),
                   ("password", "The password needs at least 15 characters")], "next": "/account", "challenge": None,
        "passkeys": True}),
    "sign-up-twice": ("sign_up.html", "/sign-up", False, {
        "fields": [UID, NAME, NEW_PASSWORD, replace(confirmation_field(), error="The two passwords are not the same")],
        "errors": [("password_confirmation", "The two passwords are not the same")], "next": "/account",
        "challenge": None, "passkeys": False}),
    "sign-up-passkey": ("sign_up_passkey.html", "/sign-up/passkey", False, {
        "fields": [UID, NAME, EMAIL], "next": "/account", "challenge": CHALLENGE}),
    "sign-up-create": ("sign_up_create.html", "/sign-up/passkey/create", False, {"name": LONG_ADDRESS}),
    "sign-up-create-wrong": ("sign_up_create.html", "/sign-up/passkey/create", False, {
        "name": "", "errors": [("", "That took too long. Please begin again")]}),
    "sign-in": ("sign_in.html", "/sign-in", False, {
        "fields": [IDENTIFIER, PASSWORD], "next": "/account", "by_email": True, "passkeys": True}),
    "sign-in-wrong": ("sign_in.html", "/sign-in", False, {
        "fields": [replace(IDENTIFIER, value="ada"), PASSWORD], "next": "/account", "by_email": False,
        "passkeys": False,
        "errors": [("", "The name or the password is not right")]}),
    "sign-in-wait": ("sign_in.html", "/sign-in", False, {
        "fields": [replace(IDENTIFIER, value="ada"), PASSWORD], "next": "/account",
        "by_email": False, "passkeys": True, "retry_after_seconds": 42,
        "retry_at": NOW + 42 * SECOND, "errors": [("", "Too many tries; please wait a little")]}),
    "confirm": ("confirm.html", "/confirm", True, {
        "fields": [PASSWORD], "next": "/account/delete", "has_password": True, "passkey": False}),
    "confirm-passkey": ("confirm.html", "/confirm", True, {
        "fields": [PASSWORD], "next": "/account/delete", "has_password": True, "passkey": True}),
    "confirm-wrong": ("confirm.html", "/confirm", True, {
        "fields": [replace(PASSWORD, error="This is not your current password")],
        "errors": [("password", "This is not your current password")],
        "next": "/account/delete", "has_password": True, "passkey": False}),
    "confirm-wait": ("confirm.html", "/confirm", True, {
        "fields": [PASSWORD], "next": "/account/delete", "has_password": True, "passkey": True,
        "retry_after_seconds": 42, "retry_at": NOW + 42 * SECOND,
        "errors": [("", "Too many tries; please wait a little")]}),
    "confirm-nothing": ("confirm.html", "/confirm", True, {
        "fields": [], "next": "/account/delete", "has_password": False, "passkey": False}),
    "continue": ("continue.html", "/confirm/continue", True, {
        "target": "/account/email", "kept": {"email": "ada@example.org"}}),
    "step": ("step.html", "/sign-in/step", False, STEP),
    "step-wrong": ("step.html", "/sign-in/step", False, {
        **STEP, "fields": [replace(code_field("totp"), error=USED_BEFORE)], "errors": [("code", USED_BEFORE)]}),
    "step-wait": ("step.html", "/sign-in/step", False, {
        **STEP, "errors": [("", "Too many tries; please wait a little")], "retry_after_seconds": 42,
        "retry_at": NOW + 42 * SECOND}),
    "step-send": ("step.html", "/sign-in/step", False, {
        **STEP, "kind": "sms_code", "asked": "We send six digits by text message to your number.", "sends": True}),
    "step-sent": ("step.html", "/sign-in/step", True, {
        **STEP, "kind": "email_code", "asked": "We send six digits to your e-mail address.", "sends": True,
        "sent_to": "a…@example.org", "code_until": NOW + 10 * MINUTE, "reauthenticates": True}),
    "step-passkey": ("step.html", "/sign-in/step", False, {
        **STEP, "fields": [], "kind": "passkey", "asked": "Use your passkey."}),
    "step-recovery": ("step.html", "/sign-in/step", False, {
        **STEP, "fields": [code_field("recovery_code")], "kind": "recovery_code", "asked": "Enter one of the codes."}),
    "lost": ("lost.html", "/sign-in/lost", False, {"others": WAYS, "cool_off": True, "helps": "help@example.org"}),
    "lost-everything": ("lost.html", "/sign-in/lost", False, {"others": [], "cool_off": False, "helps": ""}),
    "enrol": ("enrol.html", "/sign-in/set-up", False, {
        "fields": [], "offer": None, "qr": None, "recovered": True, "passkeys": True}),
    "enrol-app": ("enrol.html", "/sign-in/set-up", False, {
        "fields": [code_field("totp")], "offer": APP, "qr": QR, "recovered": False, "passkeys": True}),
    "enrol-app-wrong": ("enrol.html", "/sign-in/set-up", False, {
        "fields": [replace(code_field("totp"), error=OFF_THE_CLOCK)], "errors": [("code", OFF_THE_CLOCK)],
        "offer": APP, "qr": QR, "recovered": True, "passkeys": True}),
    "keep": ("keep.html", "/sign-in/keep", False, {"until": NOW + 13 * DAY}),
    "cool-off": ("cool_off.html", "/sign-in/cool-off", False, {
        "hours": 72, "is_over": False,
        "state": waiting("+491512345678", begun=True, email=True, phone=False, due=None)}),
    "cool-off-wrong": ("cool_off.html", "/sign-in/cool-off/code", False, {
        "hours": 72, "is_over": False,
        "errors": [("", "This code is not right or has expired. Only the newest one works")],
        "state": waiting("+491512345678", begun=True, email=False, phone=False, due=None)}),
    "cool-off-begin": ("cool_off.html", "/sign-in/cool-off", False, {
        "hours": 72, "is_over": False,
        "state": waiting("+491512345678", begun=False, email=False, phone=False, due=None)}),
    "cool-off-waits": ("cool_off.html", "/sign-in/cool-off", False, {
        "hours": 72, "is_over": False,
        "state": waiting("+491512345678", begun=True, email=True, phone=True, due=NOW + 3 * DAY)}),
    "cool-off-over": ("cool_off.html", "/sign-in/cool-off", False, {
        "hours": 72, "is_over": True,
        "state": waiting("+491512345678", begun=True, email=True, phone=True, due=NOW)}),
    "cool-off-closed": ("cool_off.html", "/sign-in/cool-off", False, {
        "hours": 72, "is_over": False,
        "state": waiting(None, begun=False, email=False, phone=False, due=None)}),
    **{f"cool-off-stop-{state}": ("cool_off_stop.html", "/cool-off/t0k3n", False, {"state": state})
       for state in ("live", *STATES)},
    "security": ("security.html", "/account/security", True, SECURITY),
    "security-nothing": ("security.html", "/account/security", True, NO_SECURITY),
    "security-for-app": ("security.html", "/account/security", True, {
        **NO_SECURITY, "going_on": RETURN, "is_enough": False}),
    "security-enough": ("security.html", "/account/security", True, {
        **SECURITY, "going_on": RETURN, "is_enough": True}),
    "keys": ("keys.html", "/account/keys", True, {
        "fields": key_fields({}, 600), "scopes": scope_fields({}, list(OWN_SCOPES.values())),
        "keys": [(API_KEY, False, True), (replace(API_KEY, id="k2", last_used_at=None, networks=()), True, False)]}),
    "keys-none": ("keys.html", "/account/keys", True, {
        "fields": key_fields({}, 600), "scopes": scope_fields({}, list(OWN_SCOPES.values())), "keys": []}),
    "key-made": ("key_made.html", "/account/keys", True, {"key": API_KEY, "secret": "dw_" + "a1B2" * 12 + "9"}),
    "app": ("app.html", "/account/security/app", True, {"fields": [code_field("totp")], "offer": APP, "qr": QR}),
    "app-wrong": ("app.html", "/account/security/app/confirm", True, {
        "fields": [replace(code_field("totp"), error=OFF_THE_CLOCK)], "errors": [("code", OFF_THE_CLOCK)],
        "offer": APP, "qr": QR}),
    "security-stale": ("security.html", "/account/security", True, {
        **SECURITY, "fresh": False, "notice": "The new name is saved.", "giving_up": NOW + 2 * DAY}),
    "security-wrong": ("security.html", "/account/security/a1/rename", True, {
        **SECURITY, "codes": None, "codes_left": 0, "errors": [("", "Enter a name")]}),
    "codes-wrong": ("codes.html", "/account/security/codes/confirm", True, {
        "fields": [replace(RECOVERY_FIELDS[0], value="1abc", error=NOT_AMONG), RECOVERY_FIELDS[1]],
        "errors": [("code", NOT_AMONG)],
        "codes": CODES, "filename": "codes-2026-11-23.txt", "day": "2026-11-23"}),
    "codes": ("codes.html", "/account/security/codes", True, {
        "fields": RECOVERY_FIELDS, "codes": CODES, "filename": "codes-2026-11-23.txt", "day": "2026-11-23"}),
    "profile": ("profile.html", "/account", True, {
        "fields": PROFILE, "facts": FACTS, "email": ADDRESS, "notice": "Your changes are saved.", "upgrade": True}),
    "profile-no-way-back": ("profile.html", "/account", True, {
        "fields": PROFILE, "facts": [], "email": None, "notice": "Welcome! Your account is ready.", "upgrade": False,
        "no_way_back": NoWayBack(has_password=True, can_mail=True)}),
    "profile-wrong": ("profile.html", "/account/profile", True, {
        "facts": FACTS, "email": None, "unconfirmed": ADDRESS, "phones": True, "upgrade": False,
        "no_way_back": NoWayBack(has_password=True, can_mail=True),
        "fields": [replace(NAME, value="", error="Enter your name"), *PROFILE[1:3],
                   replace(GOAL, value="400", error="Choose %(minimum)s to %(maximum)s"), *PROFILE[4:-1],
                   replace(NEWSLETTER, error="Tick the box, or leave it")],
        "errors": [("name", "Enter your name"), ("goal", "Choose 1 to 40"),
                   ("newsletter", "Tick the box, or leave it")]}),
    "password": ("password.html", "/account/password", True, {
        "change_wanted": "short", "has_password": True,
        "fields": [replace(PASSWORD, name="current_password", label="Current password"),
                   replace(NEW_PASSWORD, name="new_password", label="New password")]}),
    "password-wrong": ("password.html", "/account/password", True, {
        "change_wanted": None, "has_password": True,
        "fields": [replace(PASSWORD, name="current_password", label="Current password",
                           error="This is not your current password"),
                   replace(NEW_PASSWORD, name="new_password", label="New password")],
        "errors": [("current_password", "This is not your current password")]}),
    "password-first": ("password.html", "/account/password", True, {
        "change_wanted": None, "has_password": False, "no_way_back": NoWayBack(has_password=False, can_mail=False),
        "fields": [replace(NEW_PASSWORD, name="new_password", label="New password")]}),
    "sessions": ("sessions.html", "/account/sessions", True, {"sessions": SESSIONS}),
    "sessions-alone": ("sessions.html", "/account/sessions", True, {
        "sessions": SESSIONS[:1], "notice": "All other sessions have ended."}),
    "activity": ("activity.html", "/account/activity", True, {
        "entries": ACTIVITY, "next_cursor": "e9", "is_first": False, "not_me": True, "days": 90, "phones": True}),
    "activity-plain": ("activity.html", "/account/activity", True, {
        "entries": ACTIVITY, "next_cursor": None, "is_first": True, "not_me": False, "days": 90}),
    "activity-empty": ("activity.html", "/account/activity", True, {
        "entries": [], "next_cursor": None, "is_first": True, "not_me": True, "days": 90}),
    "delete": ("delete.html", "/account/delete", True, {
        "fields": [USERNAME], "fresh": True, "due_at": NOW + 14 * DAY, "days": 14, "told": True}),
    "delete-wrong": ("delete.html", "/account/delete", True, {
        "fields": [replace(USERNAME, value="adah", error="This is not your username")],
        "errors": [("confirm", "This is not your username")],
        "fresh": True, "due_at": NOW + 14 * DAY, "days": 14, "told": False}),
    "delete-stale": ("delete.html", "/account/delete", True, {
        "fields": [USERNAME], "fresh": False, "due_at": NOW + 14 * DAY, "days": 14, "told": True}),
    "data": ("data.html", "/account/data", True, {"parts": DATA, "fresh": True}),
    "data-wait": ("data.html", "/account/export", True, {
        "parts": DATA, "fresh": True, "retry_after_seconds": 720, "retry_at": NOW + 720 * SECOND,
        "errors": [("", "You have downloaded your data several times. Please wait before you do so again")]}),
    "data-stale": ("data.html", "/account/data", True, {"parts": DATA, "fresh": False}),
    "left": ("home.html", "/", False, {
        "notice": "Your account will be erased in 14 days. If you change your mind, sign in before then to keep it."}),
    "members": ("members.html", "/members", True, {"members": LEADERBOARD}),
    "members-empty": ("members.html", "/members", True, {
        "members": Page("name", ranked=False, columns=[], rows=[], next_cursor=None, own=None)}),
    "set-up": ("setup.html", "/setup/t0k3n", False, {"fields": [UID, NAME, NEW_PASSWORD]}),
    "set-up-promote": ("setup.html", "/setup/t0k3n", True, {"fields": []}),
    "sign-in-email": ("sign_in_email.html", "/sign-in/email", False, {"fields": [REQUIRED_EMAIL], "next": "/account"}),
    "sign-in-code": ("sign_in_code.html", "/sign-in/email/code", False, {
        "fields": [CODE], "address": ADDRESS, "code_until": NOW + 10 * MINUTE, "is_code_over": False,
        "resend_seconds": 42, "mailbox": True}),
    "sign-in-link": ("sign_in_link.html", "/sign-in/link/t0k3n", False, {
        "at_home": True, "place": "/sign-in/link/t0k3n"}),
    "sign-in-link-elsewhere": ("sign_in_link.html", "/sign-in/link/t0k3n", False, {
        "at_home": False, "place": "/sign-in/link/t0k3n",
        "asked": {"device": "Firefox on Debian", "address": "2001:db8:85a3:8d3:1319:8a2e:370:7348", "at": NOW}}),
    **{f"sign-in-link-{state}": ("sign_in_link_over.html", "/sign-in/link/t0k3n", False, {
        "state": state, "fields": [REQUIRED_EMAIL]}) for state in STATES},
    "recovery": ("recovery.html", "/recovery", False, {"fields": [REQUIRED_EMAIL], "offered": True}),
    "recovery-without-mail": ("recovery.html", "/recovery", False, {"fields": [], "offered": False}),
    "recovery-code": ("recovery_code.html", "/recovery/code", False, {"fields": [IDENTIFIER, RECOVERY_CODE]}),
    "recovery-code-wait": ("recovery_code.html", "/recovery/code", False, {
        "fields": [replace(IDENTIFIER, value="ada"), RECOVERY_CODE], "retry_after_seconds": 42,
        "retry_at": NOW + 42 * SECOND, "errors": [("", "Too many tries; please wait a little")]}),
    "recovery-link-by-code": ("recovery_link.html", "/recovery/t0k3n", False, {
        "fields": [NEW_PASSWORD], "forced": False, "by_code": True}),
    "recovery-link-wrong": ("recovery_link.html", "/recovery/t0k3n", False, {
        "fields": [replace(NEW_PASSWORD, error="The password needs at least %(minimum)s characters")],
        "errors": [("password", "The password needs at least 15 characters")], "forced": False, "by_code": False}),
    "recovery-sent": ("recovery_sent.html", "/recovery/sent", False, {"mailbox": True}),
    "recovery-link": ("recovery_link.html", "/recovery/t0k3n", False, {
        "fields": [NEW_PASSWORD], "forced": True, "by_code": False}),
    **{f"recovery-{state}": ("recovery_over.html", "/recovery/t0k3n", False, {
        "state": state, "offered": True, "fields": [REQUIRED_EMAIL]}) for state in STATES},
    "code": ("verify_code.html", "/verify", False, {
        "fields": [replace(CODE, error="This code is not right or has expired. Only the newest one works")],
        "title": "Check your inbox", "address": ADDRESS, "code_until": NOW + 10 * MINUTE, "link_until": NOW + DAY,
        "is_code_over": False, "is_new": True, "resend_seconds": 42, "mailbox": True}),
    "link": ("verify_link.html", "/verify/t0k3n", False, {
        "fields": [], "address": ADDRESS, "is_new": True, "facts": []}),
    "link-elsewhere": ("verify_link.html", "/verify/t0k3n", False, {
        "fields": [NEW_PASSWORD], "address": ADDRESS, "is_new": True,
        "facts": [("Name", "Ada <Lovelace>"), ("Username", "ada")]}),
    **{f"link-{state}": ("verify_over.html", "/verify/t0k3n", False, {"state": state, "is_new": True})
       for state in STATES},
    "nothing-waits": ("nothing_waits.html", "/verify", False, NOTHING),
    "closed": ("closed.html", "/sign-up", False, NOTHING),
    "invitation": ("invitation.html", "/invitation/t0k3n", False, {
        "fields": [NEW_PASSWORD, UID, NAME], "address": ADDRESS}),
    **{f"invitation-{state}": ("invitation_over.html", "/invitation/t0k3n", False, {"state": state})
       for state in STATES},
    "email": ("email.html", "/account/email", True, {
        "fields": [CODE, EMAIL], "fresh": True, "offered": True, "phones": True,
        "state": EmailState(ADDRESS, proven=True, pending=Pending(
            LONG_ADDRESS, here=True, code_expires_at=NOW + 10 * MINUTE, expires_at=NOW + DAY))}),
    "email-first": ("email.html", "/account/email", True, {
        "fields": [CODE, EMAIL], "fresh": False, "offered": True,
        "state": EmailState(None, proven=False, pending=None)}),
    "phone": ("phone.html", "/account/phone", True, {
        "fields": [CODE, PHONE], "fresh": True, "phones": True,
        "state": PhoneState("+49 151 23456789", "+44 7400 123456", NOW + 10 * MINUTE)}),
    "undo": ("undo.html", "/undo/t0k3n", False, {
        "state": "live", "changed": {"old": ADDRESS, "new": LONG_ADDRESS}}),
    "forward-lost": ("forward_lost.html", "/forward-auth/wiki/lost", False, {
        "app": "Wiki", "address": "https://wiki.example.org/",
        "why": "Your account is not allowed to use this app. Ask whoever looks after it."}),
    "going-on": ("going_on.html", "/oauth/authorize", True, {"address": RETURN}),
    "not-me": ("not_me.html", "/not-me/t0k3n", False, {
        "happened": Happened("new_device", NOW, "Firefox on Linux", ""), "action": "/not-me/t0k3n", "hidden": {}}),
    "not-me-code": ("not_me.html", "/not-me/t0k3n", False, {
        "happened": Happened("recovery_code_used", NOW, "A program", "Recovery code"), "action": "/not-me/t0k3n",
        "hidden": {}}),
    "not-me-signed-in": ("not_me.html", "/account/not-me/e1", True, {
        "happened": Happened("session_created", NOW, "Firefox on Linux", ""), "action": "/account/not-me",
        "hidden": {"event": "e1"}}),
    **{f"not-me-{state}": ("not_me_over.html", "/not-me/t0k3n", False, {"state": state, "offered": True})
       for state in (*STATES, "moved")},
    "not-me-sent": ("not_me_sent.html", "/not-me/sent", False, {"offered": True, "mailbox": True}),
    "not-me-without-mail": ("not_me_sent.html", "/not-me/sent", False, {"offered": False}),
    **{f"undo-{state}": ("undo.html", "/undo/t0k3n", False, {"state": state, "changed": {}}) for state in STATES},
    "mailbox": ("mailbox.html", "/dev/mail", False, {"mails": [MAIL, TEXT_MESSAGE]}),
    "mailbox-empty": ("mailbox.html", "/dev/mail", False, {"mails": []}),
    "mailbox-message": ("mailbox_message.html", "/dev/mail/m1", False, {"mail": {**MAIL, "html": None}}),
    "mailbox-closed": ("mailbox_closed.html", "/dev/mail", False, NOTHING),
    "error": ("error.html", "/nowhere", False, {"problem": {
        "status": 404, "title": "There is nothing here", "detail": "There is nothing here",
        "request_id": "5f0c1a9e77d3b2c4"}}),
    "problem": ("problem.html", "/problems/rate-limited", False, {"kind": {
        "status": 429, "code": "rate_limited", "title": "Too many tries; please wait a little",
        "text": "Too many tries."}}),
    "api-docs": ("api_docs.html", "/api/docs", False, {"api": DOCUMENT}),
}  # fmt: skip


def rendered(pages: Pages, sample: str, *, locale: str = "en", theme: str = "system") -> bytes:
    """A sample as a visitor gets it."""
    template, path, signed_in, context = PAGES[sample]
    user = ADA if signed_in else None
    return pages.render(template, locale=locale, theme=theme, user=user, csrf_token="t" * 43, path=path, **context)
