"""The second step and passkeys over JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from doorward.authenticators import PASSKEY, TOTP
from doorward.kernel.errors import FieldError, Forbidden, Invalid, NotSignedIn
from doorward.kernel.ids import new_token
from doorward.kernel.msgid import msgid
from doorward.sessions import Owes, SessionCookies, Start, Ticket, session_of
from doorward.signin.model import NO_KIND, NOT_TEXT, UNKNOWN, decode_answer
from doorward.signin.outcome_routes import Begun
from doorward.signin.second_step import SecondStep
from doorward.web.csrf import sent_by_browser
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import JSON, Access, Answer, Call, Handler, JsonSchema, Operation, json_response
from doorward.web.schemas import CREDENTIAL, KINDS, MESSAGE_WITH_JWT, NEXT_STEP, SESSION, STRING, problems, record

PASSKEY_SECONDS: Final = 300
BODY_LIMIT: Final = 64 * 1024  # an attestation with its certificates
_PASSKEY_REFUSED: Final = msgid("Send `credential` as the browser gave it")
_TICKET: Final[JsonSchema] = {"type": "string", "description": "For programs; a browser's is in its cookie."}
_OPTIONS: Final[JsonSchema] = {"type": "object", "description": "For the WebAuthn API of browsers."}
_PATH: Final[JsonSchema] = {"type": "string", "description": "Where a page goes on."}
_BEGUN: Final[Mapping[int, Answer]] = {
    200: Answer(
        "Something else is owed first; or done, where a session was proven anew or a JWT was asked for",
        {"anyOf": [NEXT_STEP, SESSION, MESSAGE_WITH_JWT]},
    ),
    201: Answer("Signed in", SESSION),
}


@dataclass(frozen=True, slots=True)
class StepApi:
    """Below /api/sessions."""

    gate: Gate
    second: SecondStep
    cookies: SessionCookies
    begun: Begun

    def operations(self) -> Sequence[Operation]:
        """Every operation on half signed-in states, and those of passkeys alone."""

        def step(
            path: str, handler: Handler, title: str, body: JsonSchema, answers: Mapping[int, Answer], about: str,
            *, session: bool = False,
        ) -> Operation:  # fmt: skip
            return Operation(
                "POST", f"/api/sessions/{path}", handler, Access.OPTIONAL, title, "Second step", JSON, body, BODY_LIMIT,
                {**answers, **problems(400, 401, 403, 409, 415, 429, 503)}, description=about, claimant=True,
                session=session,
            )  # fmt: skip

        code = record(
            {"kind": {"enum": KINDS["items"]["enum"]}, "code": STRING, "credential": CREDENTIAL, "ticket": _TICKET},
            optional=("code", "credential", "ticket"), strict=True,
        )  # fmt: skip
        wish = record({"kind": {"enum": KINDS["items"]["enum"]}, "ticket": _TICKET}, optional=("ticket",), strict=True)
        only_ticket = record({"ticket": _TICKET}, optional=("ticket",), strict=True)
        asked = {200: Answer("What to answer", record({"kind": STRING, "options": _OPTIONS, "sent_to": STRING},
                                                      optional=("options", "sent_to")))}  # fmt: skip
        offered = {200: Answer("What to set up", record({"kind": STRING, "secret": STRING, "uri": STRING,
                                                         "options": _OPTIONS},
                                                        optional=("secret", "uri", "options")))}  # fmt: skip
        passkey = record(
            {"credential": CREDENTIAL, "transport": {"enum": ["cookie", "bearer"]}, "next": _PATH},
            optional=("transport", "next"), strict=True,
        )  # fmt: skip
        return (
            step(
                "authenticator/challenge", self.post_challenge, "Ask for a code or a passkey", wish, asked,
                "Sends a code (sms_code, email_code), or gives the options for a passkey.",
            ),
            step(
                "authenticator", self.post_authenticator, "Show the second factor", code, _BEGUN,
                "`code` for everything but a passkey, `credential` for that one. A recovery code leads to `enrolment`: "
                "it stands in for a factor that is lost.", session=True,
            ),
            step(
                "enrolment", self.post_enrolment, "Begin to set up a second factor", wish, offered,
                "kind: totp or passkey. Its key, or the options for the browser.",
            ),
            step(
                "enrolment/confirm", self.post_enrol, "Prove it and sign in", code, _BEGUN,
                "The first code of the app, or what the browser gave. Other sessions end.", session=True,
            ),
            step(
                "enrolment/skip", self.post_skip, "Go without a second step", only_ticket, _BEGUN,
                "After a recovery code, where nobody has to have one.", session=True,
            ),
            step(
                "restoration", self.post_restoration, "Keep an account that was about to be erased", only_ticket,
                _BEGUN, "", session=True,
            ),
            step(
                "passkey/options", self.post_passkey_options, "Ask to sign in with a passkey", record({}, strict=True),
                {200: Answer("For the browser", _OPTIONS)}, "The answer works in the browser that asked, once, for "
                "five minutes.",
            ),
            step(
                "passkey", self.post_passkey, "Sign in with a passkey", passkey, _BEGUN,
                "Two factors when the device has checked its user. `path` says where a page goes on.", session=True,
            ),
            *self._again(),
        )  # fmt: skip

    def _again(self) -> Sequence[Operation]:
        base = "/api/sessions/current/reauthenticate/passkey"
        return (
            Operation(
                "POST", f"{base}/options", self.post_again_options, Access.SIGNED_IN,
                "Ask to prove again who you are with a passkey", "Second step", JSON, record({}, strict=True),
                answers={200: Answer("For the browser", _OPTIONS), **problems(400, 401, 403, 429, 503)},
            ),
            Operation(
                "POST", base, self.post_again, Access.SIGNED_IN, "Prove again who you are with a passkey",
                "Second step", JSON, record({"credential": CREDENTIAL}, strict=True), BODY_LIMIT,
                {
                    200: Answer(
                        "Proved, and the session has a new secret; or another factor is owed",
                        {"anyOf": [SESSION, NEXT_STEP]},
                    ),
                    **problems(400, 401, 403, 429, 503),
                },
                session=True,
            ),
        )  # fmt: skip

    # The second factor ------------------------------------------------------------------------------------------

    async def post_challenge(self, call: Call) -> Response:
        """Ask for something to answer."""
        sent = decode_answer(call.body, needs_answer=False)
        ticket = await self._ticket(call, sent.ticket, "authenticator")
        claimant = await self.second.claimant(ticket, self._device(call))
        if sent.kind == PASSKEY:
            options = await self.second.factors.ask_passkey(claimant, call.caller)
            return json_response({"kind": PASSKEY, "options": options})
        await self.second.factors.send(claimant, sent.kind, call.caller)
        return json_response({"kind": sent.kind})

    async def post_authenticator(self, call: Call) -> Response:
        """Take the answer."""
        sent = decode_answer(call.body)
        ticket = await self._ticket(call, sent.ticket, "authenticator")
        claimant = await self.second.claimant(ticket, self._device(call))
        done = await self.second.verify(ticket, claimant, sent.kind, sent.answer, call.caller, self._held(call))
        return self._over(self.begun.either(done, wants_jwt=ticket.wants_jwt), ticket)

    # Setting one up ---------------------------------------------------------------------------------------------

    async def post_enrolment(self, call: Call) -> Response:
        """Offer a key, or the options for a passkey."""
        sent = decode_answer(call.body, needs_answer=False)
        ticket = await self._ticket(call, sent.ticket, "enrolment")
        if sent.kind == PASSKEY:
            return json_response({"kind": PASSKEY, "options": await self.second.offer_passkey(ticket)})
        if sent.kind != TOTP:
            raise Invalid([FieldError("kind", "not_offered", NO_KIND)])
        await self.second.offer_app(ticket)
        offer = await self.second.offered_app(ticket)
        if offer is None:
            raise NotSignedIn(reason="ticket ended meanwhile")
        return json_response({"kind": TOTP, "secret": offer.key, "uri": offer.uri})

    async def post_enrol(self, call: Call) -> Response:
        """Bind it and sign in."""
        sent = decode_answer(call.body)
        ticket = await self._ticket(call, sent.ticket, "enrolment")
        done = await self.second.enrol(ticket, sent.kind, sent.answer, call.caller, self._held(call))
        return self._over(self.begun.either(done, wants_jwt=ticket.wants_jwt), ticket)

    async def post_skip(self, call: Call) -> Response:
        """Sign in without a second step from now on."""
        ticket = await self._ticket(call, _only_ticket(call.body), "enrolment")
        done = await self.second.give_up(ticket, call.caller, self._held(call))
        return self._over(self.begun.either(done, wants_jwt=ticket.wants_jwt), ticket)

    async def post_restoration(self, call: Call) -> Response:
        """Keep the account."""
        ticket = await self._ticket(call, _only_ticket(call.body), "restoration")
        done = await self.second.restore(ticket, call.caller, self._held(call))
        return self._over(self.begun.either(done, wants_jwt=ticket.wants_jwt), ticket)

    # Passkeys alone ---------------------------------------------------------------------------------------------

    async def post_passkey_options(self, call: Call) -> Response:
        """Ask."""
        _refuse_fields(call.body)
        cookie = call.cookies.get(self.gate.cookies.passkey) or new_token()  # one for all tabs of a browser
        response = json_response(await self.second.ask_anybody(cookie, call.caller))
        self.gate.cookies.put(response, self.gate.cookies.passkey, cookie, PASSKEY_SECONDS)
        return response

    async def post_passkey(self, call: Call) -> Response:
        """Answer, and be signed in."""
        errors = [
            FieldError(name[:80], "unknown_field", UNKNOWN)
            for name in call.body
            if name not in {"credential", "transport", "next"}
        ]
        transport = call.body.get("transport", "cookie")
        if transport not in ("cookie", "bearer"):
            errors.append(FieldError("transport", "out_of_range", msgid("Choose cookie or bearer")))
        asked = call.body.get("next")
        if asked is not None and not isinstance(asked, str):
            errors.append(FieldError("next", "wrong_type", NOT_TEXT))
        credential = _credential(call.body, errors)
        names = self.gate.cookies
        path = local_path(asked if isinstance(asked, str) else None, "/account")
        start = Start(transport, replaced=self._held(call), path=path)
        cookie = call.cookies.get(names.passkey)
        done = await self.second.sign_in(cookie, credential, call.caller, self._device(call), start)
        response = self.begun.session(done, {"path": path, "password_change": None})
        names.drop(response, names.passkey)
        return response

    async def post_again_options(self, call: Call) -> Response:
        """Ask somebody signed in."""
        _refuse_fields(call.body)
        return json_response(await self.second.ask_again(session_of(call), call.caller))

    async def post_again(self, call: Call) -> Response:
        """Prove anew who one is."""
        errors = [FieldError(name[:80], "unknown_field", UNKNOWN) for name in call.body if name != "credential"]
        credential = _credential(call.body, errors)
        return self.begun.renewed(await self.second.reauthenticate(session_of(call), credential, call.caller))

    # ------------------------------------------------------------------------------------------------------------

    async def _ticket(self, call: Call, sent: str | None, owes: Owes) -> Ticket:
        """What the caller holds: a program in the body, a browser in its cookie, and neither the other's."""
        if sent is not None and sent_by_browser(call.request.headers):
            raise Forbidden(msgid("Tokens for programs are not accepted from a browser"), reason="ticket from browser")
        held = call.cookies.get(self.gate.cookies.ticket) if sent is None else sent
        ticket = await self.second.ticket(held, owes)
        if ticket.transport != ("cookie" if sent is None else "bearer"):
            raise NotSignedIn(reason="ticket travels otherwise")
        # A ticket to prove oneself anew counts in the session that it was made in, and in no other.
        if ticket.reauthenticates and (call.session is None or call.session.id != ticket.session_id):
            raise NotSignedIn(reason="ticket of another session")
        return ticket

    def _over(self, response: Response, ticket: Ticket) -> Response:
        """Take the ticket back, unless there is another one in its place."""
        mark = f"{self.gate.cookies.ticket}=".encode()
        renewed = any(name == b"set-cookie" and value.startswith(mark) for name, value in response.raw_headers)
        if ticket.transport == "cookie" and not renewed:
            self.gate.cookies.drop(response, self.gate.cookies.ticket)
        return response

    def _device(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.device)

    def _held(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.session)


def _refuse_fields(body: Mapping[str, Any]) -> None:
    if body:
        raise Invalid([FieldError(name[:80], "unknown_field", UNKNOWN) for name in body])


def _only_ticket(body: Mapping[str, Any]) -> str | None:
    errors = [FieldError(name[:80], "unknown_field", UNKNOWN) for name in body if name != "ticket"]
    ticket = body.get("ticket")
    if ticket is not None and not isinstance(ticket, str):
        errors.append(FieldError("ticket", "wrong_type", NOT_TEXT))
    if errors:
        raise Invalid(errors)
    return ticket if isinstance(ticket, str) else None


def _credential(body: Mapping[str, Any], errors: list[FieldError]) -> Mapping[str, Any]:
    credential = body.get("credential")
    if not isinstance(credential, dict):
        errors.append(FieldError("credential", "required", _PASSKEY_REFUSED))
    if errors or not isinstance(credential, dict):
        raise Invalid(errors)
    return credential
