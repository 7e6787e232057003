"""HTTP of recovery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response

from doorward.authenticators import RECOVERY, code_field, new_password_field
from doorward.confirmations import State
from doorward.kernel.errors import FieldError, Invalid, Problem
from doorward.kernel.msgid import msgid
from doorward.recovery.service import Recovery, is_by_code
from doorward.users import core_field, decode_address
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, json_response, redirect
from doorward.web.schemas import STRING, problems, record

SENT: Final = {"message": "If there is an account with this address, a link to choose a new password is on its way"}
CHANGED: Final = {"message": "The new password is set. Sign in with it"}
CODE_PAGE: Final = "/recovery/code"
DONE_PAGE: Final = "/sign-in?recovered=1"
_UNKNOWN: Final = msgid("This field is not known here")
_NOT_TEXT: Final = msgid("This must be text")
_TOO_LONG: Final = msgid("This is too long")
_LONGEST: Final = 320  # code points; no handle, no address and no code is longer
_OF_CODE: Final = {
    "identifier": msgid("Enter your username or e-mail address"),
    "code": msgid("Enter one of your recovery codes"),
}
_STATUS: Final[dict[State, int]] = {"live": 200, "used": 410, "void": 410, "expired": 410, "unknown": 404}


@dataclass(frozen=True, slots=True)
class RecoveryRoutes:
    """The pages below /recovery, the API, and the address where password managers look."""

    gate: Gate
    recovery: Recovery

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            *self._api(),
            Operation("GET", "/recovery", self.get_page, Access.OPTIONAL, "Choose a new password"),
            Operation(
                "POST",
                "/recovery",
                self.post_page,
                Access.OPTIONAL,
                "Send me a link",
                reads=FORM,
                again=self.show,
            ),
            Operation("GET", "/recovery/sent", self.get_sent, Access.OPTIONAL, "Check your inbox"),
            Operation("GET", CODE_PAGE, self.get_code, Access.OPTIONAL, "Use a recovery code"),
            Operation(
                "POST",
                CODE_PAGE,
                self.post_code_page,
                Access.OPTIONAL,
                "Use a recovery code",
                reads=FORM,
                again=self.show_code,
            ),
            Operation("GET", "/recovery/{token}", self.get_link, Access.OPTIONAL, "Choose a new password"),
            Operation(
                "POST",
                "/recovery/{token}",
                self.post_link,
                Access.OPTIONAL,
                "Choose a new password",
                reads=FORM,
                again=self.show_link,
            ),
            # https://www.w3.org/TR/change-password-url/ (UX-28)
            Operation(
                "GET", "/.well-known/change-password", self.get_well_known, Access.ANYONE, "Where to change a password"
            ),
        )

    def _api(self) -> Sequence[Operation]:
        return (
            Operation(
                "POST",
                "/api/recovery",
                self.post_recovery,
                Access.ANYONE,
                "Ask for a link to choose a new password",
                "Recovery",
                JSON,
                record({"email": {"type": "string", "format": "email"}}, strict=True),
                answers={
                    202: Answer("Sent, if there is such an account", record({"message": STRING})),
                    **problems(400, 403, 409, 415, 429, 503),
                },
                claimant=True,
                description="The answer is the same whether or not the address has an account. The link holds for an "
                "hour. 409: this installation cannot send mail.",
            ),
            Operation(
                "POST",
                "/api/recovery/code",
                self.post_code,
                Access.ANYONE,
                "Use a recovery code to choose a new password",
                "Recovery",
                JSON,
                record({"identifier": STRING, "code": STRING}, strict=True),
                answers={
                    200: Answer("The code is used up", record({"token": STRING})),
                    **problems(400, 403, 415, 429, 503),
                },
                claimant=True,
                description="`token` sets one password within a quarter of an hour: send it to POST "
                "/api/recovery/complete. The rest of the codes end with that. A second factor is still asked for at "
                "the sign-in. The answer to a wrong code is the same whether or not there is such a user.",
            ),
            Operation(
                "POST",
                "/api/recovery/complete",
                self.post_complete,
                Access.ANYONE,
                "Choose a new password with the link's token",
                "Recovery",
                JSON,
                record({"token": STRING, "password": {"type": "string", "format": "password"}}, strict=True),
                answers={
                    200: Answer("The password is set; nobody is signed in", record({"message": STRING})),
                    **problems(400, 403, 415, 503),
                },
                claimant=True,
                description="`token` is the last part of the link, or the `token` of a `password_change_required` or "
                "of POST /api/recovery/code. It works once. Every session of the user ends.",
            ),
        )

    # API --------------------------------------------------------------------------------------------------------

    async def post_recovery(self, call: Call) -> Response:
        """Ask for a link."""
        await self._ask(call, decode_address(call.body))
        return json_response(SENT, 202)

    async def post_code(self, call: Call) -> Response:
        """Spend a recovery code."""
        return json_response({"token": await self._use_code(call, call.body)})

    async def post_complete(self, call: Call) -> Response:
        """Set the password."""
        token = _token(call.body)
        await self.recovery.complete(token, call.body.get("password"), call.caller)
        return json_response(CHANGED)

    # Asking -----------------------------------------------------------------------------------------------------

    async def get_page(self, call: Call) -> Response:
        """The form, or where to find help."""
        return await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form with what was typed."""
        fields = [_email_field(call.form_text("email"))]
        return self.gate.form(call, "recovery.html", fields, problem, offered=self.recovery.outbox.can_mail)

    async def post_page(self, call: Call) -> Response:
        """Send a link, if there is such an account."""
        await self._ask(call, decode_address({"email": call.form_text("email").strip()}))
        return redirect("/recovery/sent")

    async def get_sent(self, call: Call) -> Response:
        """What happens next; the same for everybody."""
        return self.gate.render(call, "recovery_sent.html")

    # Recovery codes ---------------------------------------------------------------------------------------------

    async def get_code(self, call: Call) -> Response:
        """The form for somebody who has kept recovery codes."""
        return await self.show_code(call, None)

    async def show_code(self, call: Call, problem: Problem | None) -> Response:
        """The form with the name that was typed. The code is never sent back."""
        name = FormField(
            "identifier",
            msgid("Username or e-mail"),
            "text",
            call.form_text("identifier"),
            required=True,
            autocomplete="username",
            attributes={"autocapitalize": "off", "spellcheck": "false"},
            messages={"required": _OF_CODE["identifier"]},
        )
        code = replace(code_field(RECOVERY), messages={"required": _OF_CODE["code"]})
        return self.gate.form(call, "recovery_code.html", [name, code], problem)

    async def post_code_page(self, call: Call) -> Response:
        """Spend a recovery code, and go on to the form for a new password."""
        token = await self._use_code(call, {name: call.form_text(name).strip() for name in _OF_CODE})
        return redirect(f"/recovery/{token}")

    async def _use_code(self, call: Call, body: Mapping[str, Any]) -> str:
        identifier, code = _decode_code(body)
        return await self.recovery.use_code(identifier, code, call.caller, call.cookies.get(self.gate.cookies.device))

    # Coming back ------------------------------------------------------------------------------------------------

    async def get_link(self, call: Call) -> Response:
        """The form. Nothing is used up: mail scanners follow every link (C23)."""
        return await self.show_link(call, None)

    async def show_link(self, call: Call, problem: Problem | None) -> Response:
        """The form, or why the link no longer works and the form for another one. Whose it is, it does not say."""
        state, found = await self.recovery.look(call.path("token"))
        offered = self.recovery.outbox.can_mail
        if state == "live":
            field = new_password_field(self.recovery.passwords.policy, label=msgid("New password"))
            by_code = found is not None and is_by_code(found)
            forced = found is not None and found.purpose == "password" and not by_code
            response = self.gate.form(call, "recovery_link.html", [field], problem, forced=forced, by_code=by_code)
        else:
            fields = [_email_field("")]
            response = self.gate.form(call, "recovery_over.html", fields, None, state=state, offered=offered)
            response.status_code = _STATUS[state]
        return _kept_secret(response)

    async def post_link(self, call: Call) -> Response:
        """Set the password; signing in with it is the next step."""
        await self.recovery.complete(call.path("token"), call.form_text("password"), call.caller)
        return _kept_secret(redirect(DONE_PAGE))

    async def get_well_known(self, _: Call) -> Response:
        """Where a password manager finds the form."""
        return Response(status_code=302, headers={"location": "/account/password"})

    async def _ask(self, call: Call, address: str) -> None:
        await self.recovery.ask(address, call.caller, call.cookies.get(self.gate.cookies.device))


def _email_field(typed: str) -> FormField:
    return replace(core_field("email", typed), required=True, hint="")


def _decode_code(body: Mapping[str, Any]) -> tuple[str, str]:
    """A name and a code. Raises Invalid naming every bad field."""
    errors = [FieldError(name[:80], "unknown_field", _UNKNOWN) for name in body if name not in _OF_CODE]
    for name, missing in _OF_CODE.items():
        value = body.get(name)
        if value is None or value == "":
            errors.append(FieldError(name, "required", missing))
        elif not isinstance(value, str):
            errors.append(FieldError(name, "wrong_type", _NOT_TEXT))
        elif len(value) > _LONGEST:
            errors.append(FieldError(name, "too_long", _TOO_LONG))
    if errors:
        raise Invalid(errors)
    return body["identifier"], body["code"]


def _token(body: Any) -> str:  # noqa: ANN401  a decoded body
    errors = [FieldError(name, "unknown_field", _UNKNOWN) for name in body if name not in {"token", "password"}]
    token = body.get("token")
    if not isinstance(token, str) or not token:
        errors.insert(0, FieldError("token", "required", msgid("Send the token of the link")))
    if errors or not isinstance(token, str):
        raise Invalid(errors)
    return token


def _kept_secret(response: Response) -> Response:
    response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
    return response
