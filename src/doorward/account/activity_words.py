"""What happened to an account, in words for its owner (UX-53): from the facts of an audit row to a sentence.

A payload is written for operators. Nothing of it comes through but what is looked for here, and of that only the roles
are repeated, which their owner sees anyway: reasons, names of fields and numbers stay inside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final, Literal, TypeAlias

from doorward.audit import Event
from doorward.kernel.msgid import msgid

Icon: TypeAlias = Literal["bin", "door", "envelope", "key", "list", "person", "phone", "screen", "shield", "warning"]
By: TypeAlias = Literal["owner", "somebody else", "nobody known"]


class Weight(IntEnum):
    """Which of the things that one request did is the one to tell of."""

    IMPLIED = 0  # goes without saying beside any other
    BESIDE = 1
    PLAIN = 2
    CHIEF = 3


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence and how to show it.

    `text`: a msgid with %(name)s places for `params`; `administrator`: the same when an administrator did it.
    `is_notable`: if it was not its owner, somebody else is inside, or was. `hides_sender`: device and address are not
    the owner's business, because they may be another member's. `is_first_step`: it need not be told once the same
    sender has signed in.
    """

    text: str
    icon: Icon = "list"
    administrator: str = msgid("An administrator changed something in your account")
    weight: Weight = Weight.PLAIN
    is_notable: bool = False
    hides_sender: bool = False
    is_first_step: bool = False
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def english(self) -> str:
        """The sentence in English."""
        return self.text % self.params if self.params else self.text


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the words depend on beside the event."""

    payload: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A text of the payload, empty when there is none."""
        value = self.payload.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> Sequence[str]:
        """The texts of a list in the payload, none when there is none."""
        value = self.payload.get(name)
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def words_of(event: str, payload: Mapping[str, Any], by: By) -> Words:
    """The words for one row. `by`: who did it; an administrator is never named, nor is anything of them shown.

    Never fails, whatever the payload holds: rows may be older or newer than this version, or redacted.
    """
    entry = WORDS.get(event, OTHER)
    words = entry(_Facts(payload)) if callable(entry) else entry
    if by == "somebody else" or (by == "nobody known" and event in _OPERATORS):
        return replace(words, text=words.administrator, is_notable=False, hides_sender=True)
    return words


OTHER: Final = Words(msgid("Something else happened with your account"))
_UNUSUAL: Final = Words(msgid("Something unusual was tried with your account"), "warning")

# Without an actor these were done by the operator at the command line.
_OPERATORS: Final[frozenset[str]] = frozenset(
    {
        Event.AUTHZ_ADMIN,
        Event.AUTHZ_CHANGE,
        Event.PRIVILEGE_PERMISSIONS_CHANGED,
        Event.SENSITIVE_CREATE,
        Event.SENSITIVE_DELETE,
        Event.SENSITIVE_READ,
        Event.SENSITIVE_UPDATE,
        Event.USER_ARCHIVED,
        Event.USER_CREATED,
        Event.USER_DELETED,
        Event.USER_UPDATED,
    }
)


# Signing in -----------------------------------------------------------------------------------------------------------
def _signed_in(facts: _Facts) -> Words:
    """By what was shown, in the values of RFC 8176."""
    amr = set(facts.texts("amr"))
    if amr == {"pwd"}:
        text = msgid("You signed in with your password")
    elif amr == {"otp"}:
        text = msgid("You signed in with a link or a code from an e-mail")
    elif amr & {"hwk", "swk", "pop"} and not amr & {"pwd", "otp", "sms"}:
        text = msgid("You signed in with a passkey")
    elif "pwd" in amr:
        text = msgid("You signed in with your password and a second step")
    elif "mfa" in amr:
        text = msgid("You signed in with two steps")
    else:
        text = msgid("You signed in")
    return Words(text, "door", is_notable=True)


_FAILED: Final = Words(msgid("Somebody tried to sign in and failed"), "warning")
_FAILED_ACTIONS: Final[Mapping[str, Words]] = {
    "code": Words(msgid("Somebody entered a wrong code"), "warning"),
    "api key": Words(msgid("An API key of yours was refused"), "warning", is_notable=True),
    "factor": Words(  # nobody gets there who has not passed the first
        msgid("Somebody failed at your second step"), "warning", weight=Weight.CHIEF, is_notable=True
    ),
    "reauthenticate": Words(  # in front of a live session
        msgid("Somebody who was signed in entered a wrong password"), "warning", is_notable=True
    ),
}
_FAILED_REASONS: Final[Mapping[str, Words]] = {
    "wrong password": Words(msgid("Somebody entered a wrong password"), "warning"),
    "password known to others": Words(
        msgid("Your password was entered, but it opens nothing since others may know it"), "warning", is_notable=True
    ),
    **dict.fromkeys(  # the password was right
        ("disabled", "leaving"),
        Words(msgid("Your password was entered while your account was closed"), "warning", is_notable=True),
    ),
}


_FAILED_PASSKEY: Final = Words(msgid("Somebody tried a passkey that did not work"), "warning")


_KEY_IN_ADDRESS: Final = Words(
    msgid("An API key of yours was sent in an address, where others may read it: replace it"),
    "warning",
    is_notable=True,
)


def _failed(facts: _Facts) -> Words:
    if facts.text("action") == "api key" and facts.text("reason") == "in an address":
        return _KEY_IN_ADDRESS
    if facts.text("action") == "factor" and facts.text("kind") == "passkey":  # perhaps the only thing that was shown
        return _FAILED_PASSKEY
    by_reason = _FAILED_REASONS.get(facts.text("reason"), _FAILED)
    return _FAILED_ACTIONS.get(facts.text("action"), by_reason)


# Links and codes ------------------------------------------------------------------------------------------------------
_SENT: Final[Mapping[str, str]] = {
    "recovery": msgid("A link to choose a new password was asked for"),
    "password": msgid("A new password was asked of you before you could sign in"),
    "sign_in": msgid("A link to sign in with was asked for"),
    "sign_up": msgid("Somebody tried to sign up with your e-mail address"),
}


# The words of the pages where it is asked for and called off.
_COOL_OFF: Final[Mapping[str, Words]] = {
    "asked for": Words(
        msgid("Somebody asked to get into your account without your second step"), "warning", is_notable=True
    ),
    "begun": Words(
        msgid("The wait to get into your account without your second step began"), "warning", is_notable=True
    ),
    "called off": Words(msgid("The wait to get into your account without your second step was called off"), "shield"),
    "over": Words(
        msgid("The wait to get into your account without your second step was over"), "warning", is_notable=True
    ),
}
_FIRST_STEP: Final = Words(
    msgid("The first step of signing in succeeded, and a second was asked for"),
    "door",
    weight=Weight.BESIDE,
    is_notable=True,
    is_first_step=True,
)


_KEY: Final[Mapping[str, Words]] = {
    "created": Words(
        msgid("You made an API key"), "key", msgid("An administrator made an API key for you"), is_notable=True
    ),
    "rotated": Words(msgid("You gave an API key a new secret"), "key", is_notable=True),
}
_KEY_ENDED: Final = Words(
    msgid("An API key ended"), "key", msgid("An administrator ended an API key of yours"), is_notable=True
)


def _removed(facts: _Facts) -> Words:
    if facts.text("purpose") == "api key":
        return _KEY_ENDED
    return Words(msgid("A link or a code was removed"), "envelope")


def _sent(facts: _Facts) -> Words:
    if facts.text("purpose") == "api key" and facts.text("what") in _KEY:
        return _KEY[facts.text("what")]
    if facts.text("purpose") == "next step":
        return _FIRST_STEP
    if facts.text("purpose") == "cool-off" and facts.text("what") in _COOL_OFF:
        return _COOL_OFF[facts.text("what")]
    text = _SENT.get(facts.text("purpose"), msgid("A link or a code was made for your account"))
    return Words(text, "envelope", weight=Weight.BESIDE)


_CALLED_OFF: Final = Words(msgid("A link or a code was called off"), "envelope")
_NOT_ME: Final = Words(msgid("You reported that something was not you"), "shield", weight=Weight.CHIEF)
_REPORTED: Final[Mapping[str, Words]] = {
    "not_me": _NOT_ME,
    "sign_in": Words(msgid("You reported that you had not asked for a link to sign in with"), "shield"),
}


def _called_off(facts: _Facts) -> Words:
    if facts.text("purpose") == "cool-off" and facts.text("what") in _COOL_OFF:
        return _COOL_OFF[facts.text("what")]
    return _REPORTED.get(facts.text("purpose"), _CALLED_OFF)


def _password_changed(facts: _Facts) -> Words:
    text = msgid("Your password was changed")
    if facts.text("by") == "recovery":
        text = msgid("Your password was changed with a link from an e-mail")
    return Words(text, "key", is_notable=True)


# Sessions -------------------------------------------------------------------------------------------------------------
_SIGNED_OUT: Final = Words(
    msgid("A device was signed out"), "screen", msgid("An administrator signed a device out"), Weight.BESIDE
)
_RIGHTS_CHANGED: Final = msgid("A device was signed out, because what you may do here changed")
_ENDED: Final[Mapping[str, Words]] = {
    **dict.fromkeys(
        ("roles changed", "status changed"),
        replace(_SIGNED_OUT, text=_RIGHTS_CHANGED, administrator=_RIGHTS_CHANGED),
    ),
    "more than fifty sessions": replace(
        _SIGNED_OUT, text=msgid("The oldest device was signed out, because there were too many")
    ),
    "another session began in its place": replace(  # their own, which is told then, or somebody else's
        _SIGNED_OUT,
        text=msgid("A device was signed out, because somebody signed in there anew"),
        weight=Weight.IMPLIED,
        hides_sender=True,
    ),
}


def _ended(facts: _Facts) -> Words:
    return _ENDED.get(facts.text("why"), _SIGNED_OUT)


# The account ----------------------------------------------------------------------------------------------------------
def _created(facts: _Facts) -> Words:
    administrator = msgid("An administrator created your account")
    if facts.text("legacy_id"):
        administrator = msgid("Your account was brought here from another system")
    return Words(msgid("You created your account"), "person", administrator, Weight.CHIEF)


_RESET: Final = Words(
    msgid("All your second steps were removed"),
    "shield",
    msgid("An administrator removed all your second steps"),
    is_notable=True,
)


def _rights(facts: _Facts) -> Words:
    if "authenticators" in facts.texts("fields"):
        return _RESET
    roles = facts.texts("to")
    if not roles:
        return Words(msgid("You have no roles any more"), "person", msgid("An administrator took your roles away"))
    return Words(
        msgid("Your roles are now: %(roles)s"),
        "person",
        msgid("An administrator changed your roles to: %(roles)s"),
        params={"roles": ", ".join(roles)},
    )


_PROFILE: Final = Words(
    msgid("You changed your profile"), "person", msgid("An administrator changed your profile"), is_notable=True
)
_STATUS: Final[Mapping[str, Words]] = {
    "active": Words(msgid("You kept your account"), "person", msgid("An administrator opened your account again")),
    "disabled": Words(msgid("Your account was closed"), "person", msgid("An administrator closed your account")),
}
_REPORTED_PASSWORD: Final = Words(
    msgid("You reported that others may know your password"),
    "key",
    msgid("An administrator reported that others may know your password"),
)
_EMAIL_TAKEN: Final = msgid("Your e-mail address was removed, because somebody else confirmed it as theirs")
_PHONE_TAKEN: Final = msgid("Your phone number was removed, because somebody else confirmed it as theirs")
_EMAIL: Final[Mapping[str, Words]] = {
    "pending": Words(
        msgid("You asked for another e-mail address"),
        "envelope",
        msgid("An administrator asked for another e-mail address for you"),
        is_notable=True,
    ),
    # The link works wherever it is opened: who typed a stranger's address must not learn where that stranger is.
    "proven": Words(msgid("Your e-mail address was confirmed"), "envelope", is_notable=True, hides_sender=True),
    "called off": Words(
        msgid("You kept your e-mail address as it was"),
        "envelope",
        msgid("An administrator kept your e-mail address as it was"),
    ),
    "undone": Words(
        msgid("Your old e-mail address was put back with the link that was sent to it"),
        "envelope",
        weight=Weight.CHIEF,
        is_notable=True,
    ),
    "removed": Words(
        msgid("Your e-mail address was removed"),
        "envelope",
        msgid("An administrator removed your e-mail address"),
        is_notable=True,
    ),
    "void": Words(_EMAIL_TAKEN, "envelope", _EMAIL_TAKEN),
}
_PHONE: Final[Mapping[str, Words]] = {
    "pending": Words(msgid("You asked for another phone number"), "phone", is_notable=True),
    "proven": Words(msgid("Your phone number was confirmed"), "phone", is_notable=True),
    "removed": Words(
        msgid("Your phone number was removed"),
        "phone",
        msgid("An administrator removed your phone number"),
        is_notable=True,
    ),
    "void": Words(_PHONE_TAKEN, "phone", _PHONE_TAKEN),
}


def _updated(facts: _Facts) -> Words:
    if "authenticator" in facts.payload:
        return _authenticator(facts)
    if facts.text("password") == "compromised":
        return _REPORTED_PASSWORD
    for name, words in (("email", _EMAIL), ("phone", _PHONE), ("status", _STATUS)):
        if facts.text(name) in words:
            return words[facts.text(name)]
    return _PROFILE


# Second factors and passkeys ------------------------------------------------------------------------------------------
_AUTHENTICATORS: Final[Mapping[tuple[str, str], str]] = {
    ("totp", "bound"): msgid("An authenticator app was added"),
    ("totp", "removed"): msgid("An authenticator app was removed"),
    ("totp", "renamed"): msgid("An authenticator app was renamed"),
    ("totp", "used"): msgid("A code of your authenticator app was used"),
    ("passkey", "bound"): msgid("A passkey was added"),
    ("passkey", "removed"): msgid("A passkey was removed"),
    ("passkey", "renamed"): msgid("A passkey was renamed"),
    ("passkey", "used"): msgid("A passkey was used"),
    ("sms_code", "bound"): msgid("Codes by text message were switched on"),
    ("sms_code", "removed"): msgid("Codes by text message were switched off"),
    ("sms_code", "used"): msgid("A code from a text message was used"),
    ("email_code", "bound"): msgid("Codes by e-mail were switched on"),
    ("email_code", "removed"): msgid("Codes by e-mail were switched off"),
    ("email_code", "used"): msgid("A code from an e-mail was used"),
    ("recovery_code", "bound"): msgid("Recovery codes were made"),
    ("recovery_code", "renewed"): msgid("New recovery codes were made, and the old ones stopped working"),
    ("recovery_code", "removed"): msgid("Your recovery codes were removed"),
    ("recovery_code", "used"): msgid("A recovery code was used"),
}
_ANY_AUTHENTICATOR: Final[Mapping[str, str]] = {
    "bound": msgid("A way to prove that it is you was added"),
    "removed": msgid("A way to prove that it is you was removed"),
    "renamed": msgid("A way to prove that it is you was renamed"),
    "used": msgid("A way to prove that it is you was used"),
    "renewed": msgid("A way to prove that it is you was renewed"),
}


def _authenticator(facts: _Facts) -> Words:
    kind, what = facts.text("authenticator"), facts.text("what")
    if what == "reset":
        return _RESET
    any_kind = _ANY_AUTHENTICATOR.get(what, msgid("The ways in which you prove that it is you were changed"))
    administrator = msgid("An administrator changed the ways in which you prove that it is you")
    # That a step of a sign-in was taken stands beside the sign-in; a recovery code is one of few.
    weight = Weight.BESIDE if what == "used" and kind != "recovery_code" else Weight.PLAIN
    return Words(_AUTHENTICATORS.get((kind, what), any_kind), "shield", administrator, weight, is_notable=True)


def _reused(facts: _Facts) -> Words:
    text = msgid("Something that works only once was used again")
    if facts.text("authenticator") == "passkey":  # its count went back (C31)
        text = msgid("A passkey was used that may have been copied")
    return Words(text, "warning", is_notable=True)


# The table ------------------------------------------------------------------------------------------------------------
WORDS: Final[Mapping[str, Words | Callable[[_Facts], Words]]] = {
    Event.ACCOUNT_REPORTED: _NOT_ME,
    Event.AUTHN_LOGIN_SUCCESS: _signed_in,
    Event.AUTHN_LOGIN_SUCCESSAFTERFAIL: _signed_in,
    Event.AUTHN_LOGIN_FAIL: _failed,
    Event.AUTHN_LOGIN_FAIL_MAX: Words(msgid("Signing in failed too often"), "warning"),
    Event.AUTHN_LOGIN_LOCK: Words(msgid("After many wrong passwords further tries have to wait"), "warning"),
    Event.AUTHN_PASSWORD_CHANGE: _password_changed,
    Event.AUTHN_PASSWORD_CHANGE_FAIL: Words(
        msgid("Your password was to be changed, but the current one was not right"), "warning", is_notable=True
    ),
    Event.AUTHN_IMPOSSIBLE_TRAVEL: Words(
        msgid("You signed in from places too far from each other"), "warning", is_notable=True
    ),
    Event.AUTHN_TOKEN_CREATED: _sent,
    Event.AUTHN_TOKEN_REVOKED: _called_off,
    Event.AUTHN_TOKEN_REUSE: _reused,
    Event.AUTHN_TOKEN_DELETE: _removed,
    Event.AUTHZ_FAIL: Words(
        msgid("You tried something that you may not do"),
        "warning",
        msgid("Somebody tried to change your account and was refused"),
    ),
    Event.AUTHZ_CHANGE: _rights,
    Event.AUTHZ_ADMIN: OTHER,
    Event.CRYPT_DECRYPT_FAIL: OTHER,
    Event.CRYPT_ENCRYPT_FAIL: OTHER,
    Event.EXCESS_RATE_LIMIT_EXCEEDED: Words(msgid("Too many tries were made, and some were refused"), "warning"),
    Event.UPLOAD_COMPLETE: OTHER,
    Event.UPLOAD_STORED: OTHER,
    Event.UPLOAD_VALIDATION: OTHER,
    Event.UPLOAD_DELETE: OTHER,
    Event.INPUT_VALIDATION_FAIL: OTHER,
    Event.INPUT_VALIDATION_DISCRETE_FAIL: OTHER,
    Event.MALICIOUS_EXCESS_404: _UNUSUAL,
    Event.MALICIOUS_EXTRANEOUS: _UNUSUAL,
    Event.MALICIOUS_ATTACK_TOOL: _UNUSUAL,
    Event.MALICIOUS_CORS: _UNUSUAL,
    Event.MALICIOUS_DIRECT_REFERENCE: _UNUSUAL,
    Event.PRIVILEGE_PERMISSIONS_CHANGED: Words(msgid("What you may do here was changed"), "person"),
    Event.SENSITIVE_CREATE: OTHER,
    Event.SENSITIVE_READ: Words(
        msgid("Your data were exported"), "person", msgid("An administrator read your data"), is_notable=True
    ),
    Event.SENSITIVE_UPDATE: OTHER,
    Event.SENSITIVE_DELETE: OTHER,
    Event.SEQUENCE_FAIL: _UNUSUAL,
    Event.SESSION_CREATED: Words(msgid("A device was signed in"), "screen", weight=Weight.IMPLIED, is_notable=True),
    Event.SESSION_RENEWED: Words(msgid("You confirmed that it was you"), "key", weight=Weight.IMPLIED, is_notable=True),
    Event.SESSION_EXPIRED: Words(msgid("A device was signed out after its time"), "screen", weight=Weight.BESIDE),
    Event.SESSION_USE_AFTER_EXPIRE: _UNUSUAL,
    Event.SESSION_LOGOUT: _ended,
    Event.SYS_STARTUP: OTHER,
    Event.SYS_SHUTDOWN: OTHER,
    Event.SYS_RESTART: OTHER,
    Event.SYS_CRASH: OTHER,
    Event.SYS_MONITOR_DISABLED: OTHER,
    Event.SYS_MONITOR_ENABLED: OTHER,
    Event.USER_CREATED: _created,
    Event.USER_UPDATED: _updated,
    Event.USER_ARCHIVED: Words(
        msgid("You asked for your account to be deleted"),
        "bin",
        msgid("An administrator asked for your account to be deleted"),
        Weight.CHIEF,
        is_notable=True,
    ),
    Event.USER_DELETED: Words(
        msgid("Your account was deleted"), "bin", msgid("An administrator deleted your account"), Weight.CHIEF
    ),
}
