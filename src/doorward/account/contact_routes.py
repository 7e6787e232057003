"""HTTP of a member's e-mail address and phone number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response

from doorward.account.contacts import Contacts
from doorward.account.frame import Frame
from doorward.account.phones import Phones
from doorward.confirmations import State
from doorward.kernel.errors import FieldError, Invalid, Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import session_of
from doorward.users import core_field
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.routing import (
    FORM,
    JSON,
    Access,
    Again,
    Answer,
    Call,
    Handler,
    JsonSchema,
    Operation,
    json_response,
    no_content,
    redirect,
)
from doorward.web.schemas import STRING, problems, record

_ID: JsonSchema = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_ASKED: Final = {"message": "If it is yours, confirm it with what we have just sent there"}
_BEGUN = Answer("Begun, whoever else may have it: a message is on its way there", record({"message": STRING}))
_EMAIL, _PENDING = "/api/users/{id}/email", "/api/users/{id}/email/pending"
_PHONE = "/api/users/{id}/phone"
_FRESH = "Needs an authentication of the last ten minutes."
_ABOUT_EMAIL = (
    f"{_FRESH} The old address stays until the link or the code sent to the new one comes back (POST "
    "/api/verifications). Your own, or anybody's for an administrator."
)
_ABOUT_PENDING = "A change that nobody has confirmed yet is called off."
_ABOUT_PHONE = f"{_FRESH} The code sent there comes back by POST /api/verifications from this session."
_DOCUMENTS: Final[Mapping[tuple[str, str], tuple[JsonSchema | None, Mapping[int, Answer]]]] = {
    ("POST", _EMAIL): (record({"email": {"type": "string", "format": "email"}}, strict=True), {202: _BEGUN}),
    ("DELETE", _PENDING): (None, {204: Answer("Nothing is waiting to be confirmed any more")}),
    ("POST", _PHONE): (
        record({"phone": {"type": "string", "examples": ["+49 1512 3456789"]}}, strict=True),
        {202: _BEGUN},
    ),
    ("DELETE", _PHONE): (None, {204: Answer("Removed")}),
}
_STATUS: Final[Mapping[State, int]] = {"live": 200, "used": 200, "void": 410, "expired": 410, "unknown": 404}
_REFERRER: Final = ("referrer-policy", "no-referrer")  # the path is the secret


@dataclass(frozen=True, slots=True)
class ContactRoutes:
    """The pages under /account/email and /account/phone, the link to the old address, and the API."""

    gate: Gate
    contacts: Contacts
    phones: Phones
    frame: Frame

    def operations(self) -> Sequence[Operation]:
        """Every operation on addresses and numbers."""

        def form(path: str, handler: Handler, title: str, again: Again | None = None) -> Operation:
            return Operation("POST", path, handler, Access.SIGNED_IN, title, reads=FORM, again=again)

        return (
            *self._api(),
            Operation("GET", "/account/email", self.get_email, Access.SIGNED_IN, "E-mail address"),
            form("/account/email", self.post_email, "Change your e-mail address", self.show_email),
            form("/account/email/code", self.post_email_code, "Confirm your e-mail address", self.show_email),
            form("/account/email/resend", self.post_email_resend, "Send the mail again", self.show_email),
            form("/account/email/keep", self.post_email_keep, "Keep your e-mail address", self.show_email),
            Operation("GET", "/account/phone", self.get_phone, Access.SIGNED_IN, "Phone number"),
            form("/account/phone", self.post_phone, "Add a phone number", self.show_phone),
            form("/account/phone/code", self.post_phone_code, "Confirm your phone number", self.show_phone),
            form("/account/phone/resend", self.post_phone_resend, "Send the code again", self.show_phone),
            form("/account/phone/remove", self.post_phone_remove, "Remove your phone number", self.show_phone),
            Operation("GET", "/undo/{token}", self.get_undo, Access.OPTIONAL, "Undo a change of address"),
            Operation(
                "POST", "/undo/{token}", self.post_undo, Access.OPTIONAL, "Undo a change of address", reads=FORM,
                again=self.show_undo,
            ),
        )  # fmt: skip

    def _api(self) -> Sequence[Operation]:
        def write(method: str, path: str, handler: Handler, title: str, about: str, *other: int) -> Operation:
            body, done = _DOCUMENTS[method, path]
            return Operation(
                method, path, handler, Access.SIGNED_IN, title, "Users", None if body is None else JSON, body,
                answers={**done, **problems(401, 403, 404, *other)}, parameters=(_ID,), description=about,
            )  # fmt: skip

        return (
            write("POST", _EMAIL, self.post_user_email, "Change an e-mail address", _ABOUT_EMAIL, 400, 409, 429, 503),
            write("DELETE", _PENDING, self.delete_user_email, "Keep the old e-mail address", _ABOUT_PENDING),
            write("POST", _PHONE, self.post_user_phone, "Add or change your number", _ABOUT_PHONE, 400, 429, 503),
            write("DELETE", _PHONE, self.delete_user_phone, "Remove your number", _FRESH),
        )

    # API --------------------------------------------------------------------------------------------------------

    async def post_user_email(self, call: Call) -> Response:
        """Begin to change an address."""
        address = _only(call.body, "email")
        await self.contacts.ask(session_of(call), call.path_id("id"), address, call.caller)
        return json_response(_ASKED, 202)

    async def delete_user_email(self, call: Call) -> Response:
        """Call the change off."""
        await self.contacts.call_off(session_of(call), call.path_id("id"), call.caller)
        return no_content()

    async def post_user_phone(self, call: Call) -> Response:
        """Begin to add a number."""
        number = _only(call.body, "phone")
        await self.phones.ask(session_of(call), call.path_id("id"), number, call.caller)
        return json_response(_ASKED, 202)

    async def delete_user_phone(self, call: Call) -> Response:
        """Remove a number."""
        await self.phones.remove(session_of(call), call.path_id("id"), call.caller)
        return no_content()

    # E-mail -----------------------------------------------------------------------------------------------------

    async def get_email(self, call: Call) -> Response:
        """The address, and how to confirm or change it."""
        return await self.show_email(call, None)

    async def show_email(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was wrong and what was typed."""
        session = session_of(call)
        fields = [_code_field(), replace(core_field("email", call.form_text("email")), required=True)]
        return self.gate.form(
            call,
            "email.html",
            fields,
            problem,
            state=await self.contacts.state(session),
            fresh=session.is_fresh(self.gate.clock.now()),
            offered=self.contacts.outbox.can_mail,
            **await self.frame.around(call, problem),
        )

    async def post_email(self, call: Call) -> Response:
        """Begin to change one's own address."""
        session = session_of(call)
        await self.contacts.ask(session, session.user_id, call.form_text("email").strip(), call.caller)
        return redirect("/account/email?sent=1")

    async def post_email_code(self, call: Call) -> Response:
        """Confirm with the code."""
        done = await self.contacts.submit_code(session_of(call), call.form_text("code"), call.caller)
        return redirect(done.path)

    async def post_email_resend(self, call: Call) -> Response:
        """Send it again."""
        await self.contacts.resend(session_of(call), call.caller)
        return redirect("/account/email?sent=1")

    async def post_email_keep(self, call: Call) -> Response:
        """Call the change off."""
        session = session_of(call)
        await self.contacts.call_off(session, session.user_id, call.caller)
        return redirect("/account/email?kept=1")

    # Phone ------------------------------------------------------------------------------------------------------

    async def get_phone(self, call: Call) -> Response:
        """The number, and how to add, change or remove it."""
        return await self.show_phone(call, None)

    async def show_phone(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was wrong and what was typed."""
        session = session_of(call)
        number = FormField(
            "phone",
            msgid("Phone number"),
            "text",
            value=call.form_text("phone"),
            required=True,
            hint=msgid("With the code of the country, such as +44 7400 123456."),
            autocomplete="tel",
            attributes={"inputmode": "tel", "dir": "ltr"},
            messages={"required": msgid("Enter a phone number")},
        )
        return self.gate.form(
            call,
            "phone.html",
            [_code_field(), number],
            problem,
            state=await self.phones.state(session),
            fresh=session.is_fresh(self.gate.clock.now()),
            **await self.frame.around(call, problem),
        )

    async def post_phone(self, call: Call) -> Response:
        """Begin to add or change one's number."""
        session = session_of(call)
        await self.phones.ask(session, session.user_id, call.form_text("phone").strip(), call.caller)
        return redirect("/account/phone?sent=1")

    async def post_phone_code(self, call: Call) -> Response:
        """Confirm with the code."""
        done = await self.phones.submit_code(session_of(call), call.form_text("code"), call.caller)
        return redirect(done.path)

    async def post_phone_resend(self, call: Call) -> Response:
        """Send a newer code."""
        await self.phones.resend(session_of(call), call.caller)
        return redirect("/account/phone?sent=1")

    async def post_phone_remove(self, call: Call) -> Response:
        """Remove one's number."""
        session = session_of(call)
        await self.phones.remove(session, session.user_id, call.caller)
        return redirect("/account/phone?removed=1")

    # Undoing ----------------------------------------------------------------------------------------------------

    async def get_undo(self, call: Call) -> Response:
        """What the link does; it does nothing yet, for mail scanners follow links (C23)."""
        return await self.show_undo(call, None)

    async def show_undo(self, call: Call, problem: Problem | None) -> Response:
        """What happened to the address, or why the link does nothing any more."""
        state, found = await self.contacts.look_undo(call.path("token"))
        changed: Mapping[str, Any] = found.payload if found is not None and state == "live" else {}
        response = self.gate.form(call, "undo.html", (), problem, state=state, changed=changed)
        response.status_code = _STATUS[state]
        response.headers[_REFERRER[0]] = _REFERRER[1]
        return response

    async def post_undo(self, call: Call) -> Response:
        """Undo it, and go on to a new password."""
        undone = await self.contacts.undo(call.path("token"), call.caller)
        response = redirect(undone.path)
        if call.session is not None and call.session.user_id == undone.user_id:  # it has ended; somebody else's goes on
            self.gate.cookies.drop(response, self.gate.cookies.session)
        response.headers[_REFERRER[0]] = _REFERRER[1]
        return response


def _code_field() -> FormField:
    return FormField(
        "code",
        msgid("Code"),
        "text",
        required=True,
        hint=msgid("Six digits. Spaces do not matter."),
        autocomplete="one-time-code",
        attributes={"inputmode": "numeric", "dir": "ltr"},
        messages={"required": msgid("Enter the code")},
    )


def _only(body: Mapping[str, Any], name: str) -> object:
    """The one field of a body. Raises Invalid naming every other."""
    unknown = [
        FieldError(other, "unknown_field", msgid("This field is not known here")) for other in body if other != name
    ]
    if unknown:
        raise Invalid(unknown)
    return body.get(name)
