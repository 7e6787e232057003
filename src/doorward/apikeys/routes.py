"""A member's keys for programs over JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from doorward.apikeys.model import (
    DEFAULT_DAYS,
    LONGEST_DAYS,
    LONGEST_OVERLAP,
    MAX_NETWORKS,
    NAME_LONGEST,
    OVERLAP_HOURS,
    Made,
    decode,
    read_days,
    read_overlap,
)
from doorward.apikeys.service import ApiKeys
from doorward.apikeys.showing import key_as_json
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid
from doorward.sessions import session_of
from doorward.web.gate import Gate
from doorward.web.routing import JSON, Access, Answer, Call, JsonSchema, Operation, json_response, no_content
from doorward.web.schemas import ID, INSTANT, STRING, problems, record

OWN: Final = "/api/users/me/keys"
_UNKNOWN: Final = msgid("This field is not known here")
_FRESH: Final = "Needs an authentication of the last ten minutes, with the second factor if there is one."
_ID: JsonSchema = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_TEXTS: JsonSchema = {"type": "array", "items": STRING}
_MAYBE_INSTANT: JsonSchema = {"anyOf": [INSTANT, {"type": "null"}]}
_PER_MINUTE: JsonSchema = {"type": ["integer", "null"], "minimum": 1, "description": "Null: as for every key."}
_DAYS: JsonSchema = {"type": "integer", "minimum": 1, "maximum": LONGEST_DAYS, "default": DEFAULT_DAYS}
_KEY: Mapping[str, JsonSchema] = {
    "id": ID,
    "name": STRING,
    "hint": {"type": "string", "description": "How the newest secret begins."},
    "scopes": _TEXTS,
    "networks": {**_TEXTS, "description": "Where it may be used from; empty: anywhere."},
    "per_minute": _PER_MINUTE,
    "created_at": INSTANT,
    "expires_at": INSTANT,
    "old_secret_until": {**_MAYBE_INSTANT, "description": "How long the secret before the newest still works."},
    "last_used_at": {**_MAYBE_INSTANT, "description": "To the minute."},
    "last_address": {"type": ["string", "null"]},
}
_SECRET: JsonSchema = {"type": "string", "description": "Shown once."}
_BODY = record(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": NAME_LONGEST},
        "scopes": {**_TEXTS, "minItems": 1},
        "days": _DAYS,
        "networks": {**_TEXTS, "maxItems": MAX_NETWORKS, "examples": [["192.0.2.0/24"]]},
        "per_minute": _PER_MINUTE,
    },
    optional=("days", "networks", "per_minute"),
    strict=True,
)
_ROTATION = record(
    {
        "days": _DAYS,
        "overlap_hours": {"type": "integer", "minimum": 0, "maximum": LONGEST_OVERLAP, "default": OVERLAP_HOURS},
    },
    optional=("days", "overlap_hours"),
    strict=True,
)
_LISTED = record(
    {
        "data": {"type": "array", "items": record(_KEY)},
        "scopes": {
            "type": "array",
            "description": "What you may give a key.",
            "items": record({"name": STRING, "description": STRING}),
        },
    }
)


@dataclass(frozen=True, slots=True)
class KeysApi:
    """Below /api/users/me/keys. No key may do anything here."""

    gate: Gate
    keys: ApiKeys

    def operations(self) -> Sequence[Operation]:
        """Every operation."""
        made = record({**_KEY, "secret": _SECRET})
        return (
            Operation(
                "GET", OWN, self.get_own, Access.SIGNED_IN, "Your API keys", "API keys",
                answers={200: Answer("The newest first", _LISTED), **problems(401)},
            ),
            Operation(
                "POST", OWN, self.post_own, Access.SIGNED_IN, "Make an API key", "API keys", JSON, _BODY,
                answers={201: Answer("Made; its secret is not shown again", made), **problems(400, 401, 403, 409)},
                description=f"{_FRESH} 409: you have as many as there may be.", shows_secret=True,
            ),
            Operation(
                "POST", f"{OWN}/{{id}}/rotate", self.post_rotate, Access.SIGNED_IN, "Give an API key a new secret",
                "API keys", JSON, _ROTATION, parameters=(_ID,),
                answers={200: Answer("Its secret is not shown again", made), **problems(400, 401, 403, 404)},
                description=f"{_FRESH} The secret of before works for `overlap_hours`; the key lives `days` more.",
                shows_secret=True,
            ),
            Operation(
                "DELETE", f"{OWN}/{{id}}", self.delete_own, Access.SIGNED_IN, "End an API key", "API keys",
                answers={204: Answer("Ended, everywhere"), **problems(401, 403, 404)}, parameters=(_ID,),
                description=_FRESH,
            ),
        )  # fmt: skip

    async def get_own(self, call: Call) -> Response:
        """The caller's keys, and the scopes there are for them."""
        session = session_of(call)
        scopes = self.keys.scopes_for(session.roles).values()
        return json_response(
            {
                "data": [key_as_json(key) for key in await self.keys.list_of(session.user_id)],
                "scopes": [{"name": scope.name, "description": scope.description} for scope in scopes],
            }
        )

    async def post_own(self, call: Call) -> Response:
        """Make one."""
        session = session_of(call)
        asked = decode(call.body, self.keys.scopes_for(session.roles), self.keys.most_per_minute)
        return _answer(await self.keys.create(session, asked, call.caller), 201)

    async def post_rotate(self, call: Call) -> Response:
        """Give one a new secret."""
        days, overlap_hours = _decode_rotation(call.body)
        made = await self.keys.rotate(session_of(call), call.path_id("id"), days, overlap_hours, call.caller)
        return _answer(made, 200)

    async def delete_own(self, call: Call) -> Response:
        """End one."""
        await self.keys.delete(session_of(call), call.path_id("id"), call.caller)
        return no_content()


def _answer(made: Made, status: int) -> Response:
    return json_response({**key_as_json(made.key), "secret": made.secret}, status)


def _decode_rotation(body: Mapping[str, Any]) -> tuple[int, int]:
    days, overlap = read_days(body.get("days")), read_overlap(body.get("overlap_hours"))
    errors = [
        FieldError(name[:80], "unknown_field", _UNKNOWN) for name in body if name not in {"days", "overlap_hours"}
    ]
    errors += [found for found in (days, overlap) if isinstance(found, FieldError)]
    if errors or isinstance(days, FieldError) or isinstance(overlap, FieldError):
        raise Invalid(errors)
    return days, overlap
