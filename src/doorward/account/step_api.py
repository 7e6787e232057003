"""A member's second factors and passkeys over JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response

from doorward.account.steps import NO_KIND, Changed, Steps
from doorward.authenticators import PASSKEY, RECOVERY, TOTP, Bound, recovery_codes_left
from doorward.kernel.errors import FieldError, Invalid, NotSignedIn
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.sessions import SessionCookies, session_of
from doorward.web.gate import Gate
from doorward.web.routing import JSON, Access, Answer, Call, Handler, JsonSchema, Operation, json_response, no_content
from doorward.web.schemas import CREDENTIAL, ID, INSTANT, KINDS, STRING, problems, record

OWN: Final = "/api/users/me/authenticators"
BODY_LIMIT: Final = 64 * 1024
UNKNOWN: Final = msgid("This field is not known here")
NOT_TEXT: Final = msgid("This must be text")
_FRESH: Final = "Needs an authentication of the last ten minutes, with the second factor if there is one."
_ID: JsonSchema = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_KIND: JsonSchema = KINDS["items"]
_OPTIONS: JsonSchema = {"type": "object", "description": "For the WebAuthn API of browsers."}
_BOUND = record(
    {
        "id": ID,
        "kind": _KIND,
        "label": STRING,
        "bound_at": INSTANT,
        "last_used_at": {"anyOf": [INSTANT, {"type": "null"}]},
        "second_step": {"type": "boolean", "description": "Whether a password alone is not enough because of it."},
        "left": {"type": "integer", "description": "Recovery codes that are unused."},
    },
    optional=("left",),
)
_OFFER = record(
    {"kind": _KIND, "secret": STRING, "uri": STRING, "options": _OPTIONS, "codes": {"type": "array", "items": STRING}},
    optional=("secret", "uri", "options", "codes"),
)


@dataclass(frozen=True, slots=True)
class StepsApi:
    """Below /api/users/me/authenticators, and what an administrator does for others."""

    gate: Gate
    steps: Steps
    cookies: SessionCookies

    def operations(self) -> Sequence[Operation]:
        """Every operation."""

        def own(
            method: str, path: str, handler: Handler, title: str, body: JsonSchema | None,
            answers: Mapping[int, Answer], about: str = "", *, session: bool = False,
        ) -> Operation:  # fmt: skip
            return Operation(
                method, path, handler, Access.SIGNED_IN, title, "Authenticators", None if body is None else JSON, body,
                BODY_LIMIT, answers, (_ID,) if "{id}" in path else (), about, session=session,
            )  # fmt: skip

        confirm = record(
            {"kind": _KIND, "code": STRING, "credential": CREDENTIAL, "kept": {"type": "boolean"}, "label": STRING},
            optional=("code", "credential", "kept", "label"), strict=True,
        )  # fmt: skip
        bound = {
            200: Answer("Bound; the new secret of a program's session", record({"id": ID, "token": STRING})),
            201: Answer("Bound", record({"id": ID})),
            **problems(400, 401, 403, 409, 503),
        }
        listed = record({"data": {"type": "array", "items": _BOUND}})
        return (
            own("GET", OWN, self.get_own, "Your second factors and passkeys", None,
                {200: Answer("In the order in which they were bound", listed), **problems(401)}),
            replace(own("POST", OWN, self.post_offer, "Begin to set one up", record({"kind": _KIND}, strict=True),
                {200: Answer("What to set up", _OFFER), **problems(400, 401, 403, 409, 503)},
                f"{_FRESH} totp: a key for the app; passkey: options for the browser; recovery_code: ten codes, shown "
                "once."), shows_secret=True),
            own("POST", f"{OWN}/confirm", self.post_confirm, "Prove it and turn it on", confirm, bound,
                f"{_FRESH} totp: `code` of the app; passkey: `credential`; recovery_code: `kept` or one of them as "
                "`code`; sms_code and email_code need nothing more than what is proven. The first second factor ends "
                "your other sessions; the session rises to it and gets a new secret. It ends, too, where nothing was "
                "shown just now (sms_code): sign in with it.", session=True),
            own("POST", f"{OWN}/upgrade/options", self.post_upgrade_options, "Offer a passkey after a password",
                record({}, strict=True), {200: Answer("For the browser", _OPTIONS), **problems(401, 403, 409)},
                "For `navigator.credentials.create` with `mediation: conditional`."),
            own("POST", f"{OWN}/upgrade", self.post_upgrade, "Keep a passkey that the browser made by itself",
                record({"credential": CREDENTIAL}, strict=True),
                {204: Answer("Kept: it signs in, and is never asked for"), **problems(400, 401, 403, 409)}),
            own("PATCH", f"{OWN}/{{id}}", self.patch_own, "Rename one", record({"label": STRING}, strict=True),
                {204: Answer("Renamed"), **problems(400, 401, 403, 404)}),
            own("DELETE", f"{OWN}/{{id}}", self.delete_own, "Remove one", None,
                {204: Answer("Removed"), **problems(401, 403, 404, 409)},
                f"{_FRESH} 409: you have to have a second factor, or it is your only way in."),
            Operation(
                "DELETE", "/api/users/{id}/authenticators", self.delete_others, Access.ADMIN,
                "Remove every second factor of a user", "Authenticators",
                answers={204: Answer("Removed; the user is told"), **problems(401, 403, 404, 409)}, parameters=(_ID,),
                description="For somebody who has lost them all, once you are sure who they are. Their sessions end. "
                "Needs an authentication of the last ten minutes. 409: without them nobody could sign in any more.",
            ),
        )  # fmt: skip

    async def get_own(self, call: Call) -> Response:
        """What the caller has bound."""
        own = await self.steps.overview(session_of(call))
        return json_response({"data": [_as_json(one) for one in own.bound]})

    async def post_offer(self, call: Call) -> Response:
        """Begin to set one up."""
        session, sent = session_of(call), _decode(call.body, "kind")
        kind = sent["kind"]
        if kind == PASSKEY:
            return json_response({"kind": kind, "options": await self.steps.offer_passkey(session)})
        if kind == RECOVERY:
            return json_response({"kind": kind, "codes": list(await self.steps.offer_codes(session, call.caller))})
        if kind != TOTP:
            raise Invalid([FieldError("kind", "not_offered", NO_KIND)], reason="nothing to offer")
        await self.steps.offer_app(session)
        offer = await self.steps.offered_app(session)
        if offer is None:
            raise NotSignedIn(reason="ended meanwhile")
        return json_response({"kind": kind, "secret": offer.key, "uri": offer.uri})

    async def post_confirm(self, call: Call) -> Response:
        """Prove it and turn it on."""
        kind, answer, label, kept = _decode_confirmation(call.body)
        session = session_of(call)
        return self._bound(call, await self.steps.bind(session, kind, answer, call.caller, label, kept=kept))

    async def post_upgrade_options(self, call: Call) -> Response:
        """Options for a passkey that the browser makes by itself."""
        _only(call.body)
        return json_response(await self.steps.offer_passkey(session_of(call), conditional=True))

    async def post_upgrade(self, call: Call) -> Response:
        """Keep it."""
        _only(call.body, "credential")
        await self.steps.bind_by_itself(session_of(call), call.body.get("credential"), call.caller)
        return no_content()

    async def patch_own(self, call: Call) -> Response:
        """Rename one."""
        _only(call.body, "label")
        await self.steps.rename(session_of(call), call.path_id("id"), call.body.get("label"), call.caller)
        return no_content()

    async def delete_own(self, call: Call) -> Response:
        """Remove one."""
        await self.steps.remove(session_of(call), call.path_id("id"), call.caller)
        return no_content()

    async def delete_others(self, call: Call) -> Response:
        """Remove all of another user's."""
        await self.steps.reset(session_of(call), call.path_id("id"), call.caller)
        return no_content()

    def _bound(self, call: Call, changed: Changed) -> Response:
        session = session_of(call)
        if changed.token is None or session.transport == "cookie":
            response = json_response({"id": changed.id}, 201)
        else:
            response = json_response({"id": changed.id, "token": changed.token})
        if changed.token is not None:
            self.cookies.attach_token(response, session, changed.token)
        return response


def _as_json(one: Bound) -> dict[str, object]:
    def text(at: Instant | None) -> str | None:
        return None if at is None else to_rfc3339(at)

    shown: dict[str, object] = {
        "id": one.id,
        "kind": one.kind,
        "label": one.label,
        "bound_at": text(one.bound_at),
        "last_used_at": text(one.last_used_at),
        "second_step": one.step,
    }
    return {**shown, "left": recovery_codes_left(one)} if one.kind == RECOVERY else shown


def _only(body: Mapping[str, Any], *known: str) -> None:
    """Raise Invalid naming every field that is not known."""
    if unknown := [FieldError(name[:80], "unknown_field", UNKNOWN) for name in body if name not in known]:
        raise Invalid(unknown)


def _decode(body: Mapping[str, Any], *wanted: str) -> dict[str, str]:
    """The texts of a body, all of which have to be there. Raises Invalid naming every bad field."""
    errors = [FieldError(name[:80], "unknown_field", UNKNOWN) for name in body if name not in wanted]
    errors += [FieldError(name, "required", NO_KIND) for name in wanted if not isinstance(body.get(name), str)]
    if errors:
        raise Invalid(errors)
    return {name: body[name] for name in wanted}


def _decode_confirmation(body: Mapping[str, Any]) -> tuple[str, object, object, bool]:
    known = ("kind", "code", "credential", "kept", "label")
    errors = [FieldError(name[:80], "unknown_field", UNKNOWN) for name in body if name not in known]
    kind, kept = body.get("kind"), body.get("kept", False)
    if not isinstance(kind, str):
        errors.append(FieldError("kind", "required", NO_KIND))
    if not isinstance(kept, bool):
        errors.append(FieldError("kept", "wrong_type", msgid("Choose true or false")))
    errors += [
        FieldError(name, "wrong_type", NOT_TEXT)
        for name in ("code", "label")
        if body.get(name) is not None and not isinstance(body[name], str)
    ]
    if errors or not isinstance(kind, str):
        raise Invalid(errors)
    return kind, body.get("credential" if kind == PASSKEY else "code"), body.get("label"), kept is True
