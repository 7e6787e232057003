"""JSON Schemas that several rooms' answers share, for the API description (OpenAPI 3.1 = JSON Schema 2020-12)."""

from collections.abc import Mapping
from typing import Any

from doorward.web.routing import Answer, JsonSchema

STRING: JsonSchema = {"type": "string"}
ID: JsonSchema = {"type": "string", "format": "uuid"}
INSTANT: JsonSchema = {"type": "string", "format": "date-time"}


def record(properties: Mapping[str, JsonSchema], *, optional: tuple[str, ...] = (), strict: bool = False) -> JsonSchema:
    """An object schema; every property is required but those named optional."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }
    if strict:
        schema["additionalProperties"] = False
    return schema


_PROBLEM = record(
    {
        "type": {"type": "string", "format": "uri-reference"},
        "title": STRING,
        "status": {"type": "integer"},
        "detail": STRING,
        "message": {"type": "string", "description": "Equal to detail."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "instance": STRING,
        "request_id": STRING,
        "errors": {
            "type": "array",
            "description": "Every field that is wrong.",
            "items": record({"field": STRING, "pointer": STRING, "code": STRING, "detail": STRING}),
        },
        "retry_after": {"type": "integer", "description": "Seconds."},
        "max_age": {"type": "integer", "description": "Seconds an authentication may be old."},
        "scopes": {
            "type": "array",
            "items": STRING,
            "description": "Any of them would do for an API key; empty: none would.",
        },
        "acr_values": {"type": "string", "description": "The level an authentication has to reach: aal1, aal2."},
    },
    optional=("errors", "retry_after", "max_age", "scopes", "acr_values"),
)
PROBLEM: JsonSchema = {
    **_PROBLEM,
    "examples": [
        {
            "type": "https://id.example.org/problems/invalid",
            "title": "Some of what you sent is not valid",
            "status": 400,
            "detail": "Enter your name",
            "message": "Enter your name",
            "code": "invalid",
            "instance": "/api/users",
            "request_id": "5f0c1a9e77d3b2c4",
            "errors": [{"field": "name", "pointer": "#/name", "code": "required", "detail": "Enter your name"}],
        }
    ],
}

_MEANING = {
    400: "Something sent is not valid; every bad field is listed",
    401: "Not signed in, or wrong credentials",
    403: "Not allowed, or a fresh authentication is needed",
    404: "Nothing here for this caller",
    409: "Does not fit the present state",
    412: "Somebody has changed it since: If-Match names another version",
    413: "Too large",
    415: "Wrong media type",
    422: "This Idempotency-Key came with another request before",
    429: "Too many tries; see Retry-After",
    503: "A needed part is down or full; see Retry-After",
}


def problems(*statuses: int) -> dict[int, Answer]:
    """The refusals an operation documents."""
    return {status: Answer(_MEANING[status], PROBLEM) for status in statuses}


OAUTH_ERROR: JsonSchema = record({"error": STRING, "error_description": STRING})


def oauth_problems(*statuses: int) -> dict[int, Answer]:
    """The refusals that an operation of OAuth documents (RFC 6749 §5.2)."""
    meaning = {**_MEANING, 400: "Refused; `error` says why", 401: "The app or its token was not accepted"}
    return {status: Answer(meaning[status], OAUTH_ERROR) for status in statuses}


KINDS: JsonSchema = {"type": "array", "items": {"enum": ["totp", "passkey", "sms_code", "email_code", "recovery_code"]}}
CREDENTIAL: JsonSchema = {
    "type": "object",
    "description": "What `PublicKeyCredential.toJSON()` gives (WebAuthn level 3 §5.1).",
}
NEXT_STEP = record(
    {
        "message": STRING,
        "next": {
            "enum": ["authenticator", "enrolment", "restoration"],
            "description": "What is owed before a session begins: a second factor, setting one up, or taking back the "
            "deletion of the account.",
        },
        "kinds": KINDS,
        "expires_at": INSTANT,
        "ticket": {"type": "string", "description": "For programs; a browser has it in a cookie."},
    },
    optional=("message", "ticket"),
)

USER_SUMMARY = record({"id": ID, "uid": STRING, "name": STRING, "roles": {"type": "array", "items": STRING}})
SESSION = record(
    {
        "id": ID,
        "user": USER_SUMMARY,
        "csrf_token": {"type": "string", "description": "Send it as X-CSRF-Token with every unsafe request."},
        "transport": {"enum": ["cookie", "bearer"]},
        "amr": {"type": "array", "items": STRING, "description": "RFC 8176"},
        "aal": {"type": "integer", "description": "NIST SP 800-63B"},
        "auth_time": {"type": "integer", "description": "Seconds since the epoch."},
        "created_at": INSTANT,
        "expires_at": INSTANT,
        "token": {"type": "string", "description": "Only with transport bearer; shown once."},
        "password_change": {"type": ["string", "null"], "description": "Why the password should be replaced."},
    },
    optional=("token", "password_change"),
)
SESSIONS = record(
    {
        "data": {
            "type": "array",
            "items": record(
                {
                    "id": ID,
                    "current": {"type": "boolean"},
                    "transport": STRING,
                    "device": STRING,
                    "address": STRING,
                    "place": {
                        "type": ["string", "null"],
                        "description": "Roughly where that address is, when the server has a file of places.",
                    },
                    "created_at": INSTANT,
                    "last_seen_at": INSTANT,
                    "expires_at": INSTANT,
                }
            ),
        }
    }
)
_SECRET = {"type": "string", "format": "password"}
CREDENTIALS = record(
    {"identifier": STRING, "password": _SECRET, "transport": {"enum": ["cookie", "bearer"], "default": "cookie"}},
    optional=("transport",),
    strict=True,
)
UID_CREDENTIALS = record(
    {"uid": {"type": "string", "description": "The handle, or a verified e-mail address."}, "password": _SECRET},
    strict=True,
)
MESSAGE_WITH_JWT = record(
    {"message": STRING, "data": record({"jwt": STRING, "user": record({"id": ID, "uid": STRING, "name": STRING})})}
)
