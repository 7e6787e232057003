"""The words of the audit log: OWASP's Application Logging Vocabulary, and what one event holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from doorward.kernel.instant import Instant

# No floats: JSON databases rewrite them, and the digest of a payload must survive a round trip.
PayloadValue: TypeAlias = "str | int | bool | Sequence[PayloadValue] | Mapping[str, PayloadValue] | None"
Payload: TypeAlias = Mapping[str, PayloadValue]
Level: TypeAlias = Literal["info", "warning", "critical"]


class Outcome(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"


class Event(StrEnum):
    """What happened, in the names of the OWASP Logging Vocabulary (ASVS 16.3); the last group is our own."""

    AUTHN_LOGIN_SUCCESS = "authn_login_success"
    AUTHN_LOGIN_SUCCESSAFTERFAIL = "authn_login_successafterfail"
    AUTHN_LOGIN_FAIL = "authn_login_fail"
    AUTHN_LOGIN_FAIL_MAX = "authn_login_fail_max"
    AUTHN_LOGIN_LOCK = "authn_login_lock"
    AUTHN_PASSWORD_CHANGE = "authn_password_change"  # noqa: S105  the name of an event
    AUTHN_PASSWORD_CHANGE_FAIL = "authn_password_change_fail"  # noqa: S105
    AUTHN_IMPOSSIBLE_TRAVEL = "authn_impossible_travel"
    AUTHN_TOKEN_CREATED = "authn_token_created"  # noqa: S105  as above
    AUTHN_TOKEN_REVOKED = "authn_token_revoked"  # noqa: S105
    AUTHN_TOKEN_REUSE = "authn_token_reuse"  # noqa: S105
    AUTHN_TOKEN_DELETE = "authn_token_delete"  # noqa: S105

    AUTHZ_FAIL = "authz_fail"
    AUTHZ_CHANGE = "authz_change"
    AUTHZ_ADMIN = "authz_admin"

    CRYPT_DECRYPT_FAIL = "crypt_decrypt_fail"
    CRYPT_ENCRYPT_FAIL = "crypt_encrypt_fail"

    EXCESS_RATE_LIMIT_EXCEEDED = "excess_rate_limit_exceeded"

    UPLOAD_COMPLETE = "upload_complete"
    UPLOAD_STORED = "upload_stored"
    UPLOAD_VALIDATION = "upload_validation"
    UPLOAD_DELETE = "upload_delete"

    INPUT_VALIDATION_FAIL = "input_validation_fail"
    INPUT_VALIDATION_DISCRETE_FAIL = "input_validation_discrete_fail"

    MALICIOUS_EXCESS_404 = "malicious_excess_404"
    MALICIOUS_EXTRANEOUS = "malicious_extraneous"
    MALICIOUS_ATTACK_TOOL = "malicious_attack_tool"
    MALICIOUS_CORS = "malicious_cors"
    MALICIOUS_DIRECT_REFERENCE = "malicious_direct_reference"

    PRIVILEGE_PERMISSIONS_CHANGED = "privilege_permissions_changed"

    SENSITIVE_CREATE = "sensitive_create"
    SENSITIVE_READ = "sensitive_read"
    SENSITIVE_UPDATE = "sensitive_update"
    SENSITIVE_DELETE = "sensitive_delete"

    SEQUENCE_FAIL = "sequence_fail"

    SESSION_CREATED = "session_created"
    SESSION_RENEWED = "session_renewed"
    SESSION_EXPIRED = "session_expired"
    SESSION_USE_AFTER_EXPIRE = "session_use_after_expire"

    SYS_STARTUP = "sys_startup"
    SYS_SHUTDOWN = "sys_shutdown"
    SYS_RESTART = "sys_restart"
    SYS_CRASH = "sys_crash"
    SYS_MONITOR_DISABLED = "sys_monitor_disabled"
    SYS_MONITOR_ENABLED = "sys_monitor_enabled"

    USER_CREATED = "user_created"
    USER_UPDATED = "user_updated"
    USER_ARCHIVED = "user_archived"
    USER_DELETED = "user_deleted"

    SESSION_LOGOUT = "session_logout"  # someone ended it on purpose; OWASP has only session_expired for all reasons
    # An owner says that somebody else was in their account. The vocabulary has words for what software notices only.
    ACCOUNT_REPORTED = "account_reported"

    @property
    def level(self) -> Level:
        """How loud the vocabulary wants it."""
        if self in _CRITICAL:
            return "critical"
        return "info" if self in _INFO else "warning"


_INFO = frozenset(
    {
        Event.AUTHN_LOGIN_SUCCESS,
        Event.AUTHN_LOGIN_SUCCESSAFTERFAIL,
        Event.AUTHN_PASSWORD_CHANGE,
        Event.AUTHN_TOKEN_CREATED,
        Event.AUTHN_TOKEN_REVOKED,
        Event.UPLOAD_COMPLETE,
        Event.UPLOAD_STORED,
        Event.UPLOAD_VALIDATION,
        Event.UPLOAD_DELETE,
        Event.SESSION_CREATED,
        Event.SESSION_RENEWED,
        Event.SESSION_EXPIRED,
        Event.SESSION_LOGOUT,
    }
)
_CRITICAL = frozenset(
    {
        Event.AUTHN_PASSWORD_CHANGE_FAIL,
        Event.AUTHN_IMPOSSIBLE_TRAVEL,
        Event.AUTHN_TOKEN_REUSE,
        Event.AUTHZ_FAIL,
        Event.MALICIOUS_EXTRANEOUS,
        Event.MALICIOUS_ATTACK_TOOL,
        Event.MALICIOUS_CORS,
        Event.MALICIOUS_DIRECT_REFERENCE,
        Event.SEQUENCE_FAIL,
        Event.SESSION_USE_AFTER_EXPIRE,
        Event.ACCOUNT_REPORTED,
    }
)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of `audit_event`, without the columns that the sealer of the chain fills later.

    `payload` is canonical JSON text, or None when there was none or when it was redacted; `payload_digest` stays.
    """

    id: str
    at: Instant
    event: str
    outcome: str
    user_id: str | None
    actor_id: str | None
    session_id: str | None
    address: str
    request_id: str
    payload: str | None
    payload_digest: bytes | None
    mac: bytes
    key_id: str

    def signed_bytes(self) -> bytes:
        """What the MAC covers: every column but `mac` itself, the payload by its digest so that it can be redacted."""
        digest = None if self.payload_digest is None else self.payload_digest.hex()
        who = [self.user_id, self.actor_id, self.session_id, self.address, self.request_id]
        return canonical(["audit_event/1", self.id, self.at, self.event, self.outcome, *who, digest, self.key_id])


def canonical(value: PayloadValue) -> bytes:
    """The one JSON encoding of a value (sorted, compact, ASCII), the same after any database has rewritten it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def storable(value: PayloadValue) -> PayloadValue:
    """Write out what PostgreSQL refuses in text (NUL and lone surrogates), so that no input can stop an audit row."""
    if isinstance(value, str):
        return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(storable(key)): storable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [storable(item) for item in value]
    return value
