"""HTTP of invitations: the page behind the link, and the API for programs and administrators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response

from doorward.authenticators import new_password_field
from doorward.confirmations import State
from doorward.kernel.errors import FieldError, Invalid, Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import NeedsStep, SessionCookies, session_of
from doorward.signup.invitations import WELCOME, Invitations
from doorward.users import Schema, core_rule
from doorward.web.gate import Gate
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, json_response
from doorward.web.schemas import NEXT_STEP, STRING, problems, record

CREATED: Final = "The account is there; one step is left"
_GONE: Final[Mapping[State, int]] = {"used": 200, "void": 410, "expired": 410, "unknown": 404}
_NO_TOKEN: Final = msgid("This link is not complete, or it has expired")
_INVITE = record({"email": STRING, "roles": {"type": "array", "items": STRING}}, optional=("roles",), strict=True)


@dataclass(frozen=True, slots=True)
class InvitationRoutes:
    """Below /invitation and /api/invitations. `roles`: those that may be given."""

    gate: Gate
    invitations: Invitations
    cookies: SessionCookies
    schema: Schema
    roles: Sequence[str]

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            Operation(
                "POST",
                "/api/invitations",
                self.post_invitation,
                Access.ADMIN,
                "Invite somebody",
                "Users",
                JSON,
                _INVITE,
                answers={202: Answer("On its way", record({"message": STRING})), **problems(400, 401, 403, 409, 415)},
                description="Needs an authentication not older than ten minutes. Earlier invitations of the address "
                "no longer work.",
            ),
            Operation(
                "POST",
                "/api/invitations/accept",
                self.post_accept,
                Access.ANYONE,
                "Accept an invitation",
                "Users",
                JSON,
                self._accepted,
                body_limit=self.schema.body_limit,
                claimant=True,
                session=True,
                answers={
                    **self._owed(),
                    201: Answer("Created and signed in by cookie", self.schema.json_schema("user")),
                    **problems(400, 413, 415, 503),
                },
                description="`token` is the last part of the link. The address is the invited one.",
            ),
            Operation("GET", "/invitation/{token}", self.get_page, Access.OPTIONAL, "You are invited"),
            Operation(
                "POST",
                "/invitation/{token}",
                self.post_page,
                Access.OPTIONAL,
                "You are invited",
                reads=FORM,
                body_limit=self.schema.body_limit,
                again=self.show,
                claimant=True,
                session=True,
            ),
        )

    async def post_invitation(self, call: Call) -> Response:
        """Invite somebody."""
        session = session_of(call)
        session.require_fresh(self.gate.clock.now())
        address, roles = self._invited(call.body)
        await self.invitations.invite(address, roles, session.user_id, call.caller)
        return json_response({"message": "The invitation is on its way"}, 202)

    async def post_accept(self, call: Call) -> Response:
        """Accept one."""
        token = call.body.get("token")
        if not isinstance(token, str):
            raise Invalid([FieldError("token", "required", _NO_TOKEN)])
        body = {name: value for name, value in call.body.items() if name != "token"}
        held = call.cookies.get(self.gate.cookies.session)
        user, outcome = await self.invitations.accept(token, body, call.caller, held)
        if isinstance(outcome, NeedsStep):
            return self.cookies.answer(outcome, message=CREATED)
        answer = self.schema.visible(user, "self")
        response = json_response(answer, 201, headers={"location": f"/api/users/{user.id}"})
        self.cookies.attach(response, outcome)
        return response

    async def get_page(self, call: Call) -> Response:
        """The form. Nothing is used up: mail scanners follow every link."""
        return await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form with the invited address fixed, or why the link no longer works and whom to ask (UX-13)."""
        state, found = await self.invitations.look(call.path("token"))
        if found is None or state != "live":
            response = self.gate.render(call, "invitation_over.html", _GONE[state], state=state)
        else:
            fields = [
                replace(field, value=call.form_text(field.name))
                for field in self.schema.form_fields("sign_up_by_email")
                if field.name != "email"
            ]
            fields.append(new_password_field(self.invitations.passwords.policy))
            response = self.gate.form(call, "invitation.html", fields, problem, address=found.target)
        response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
        return response

    async def post_page(self, call: Call) -> Response:
        """Accept it from the form."""
        body = self.schema.from_form(call.body, "sign_up_by_email")
        held = call.cookies.get(self.gate.cookies.session)
        _, outcome = await self.invitations.accept(call.path("token"), body, call.caller, held)
        response = self.cookies.redirect(outcome, WELCOME)
        response.headers["referrer-policy"] = "no-referrer"
        return response

    def _invited(self, body: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
        """An address and roles. Raises Invalid naming every bad field."""
        address, roles = body.get("email"), body.get("roles", [])
        errors = [
            FieldError(name, "unknown_field", msgid("This field is not known here"))
            for name in body
            if name not in {"email", "roles"}
        ]
        if error := core_rule("email").error("" if address is None else address):
            errors.append(error)
        if not isinstance(roles, list) or not all(role in self.roles for role in roles):
            errors.append(FieldError("roles", "out_of_range", msgid("Give roles that are declared")))
        if errors or not isinstance(address, str):
            raise Invalid(errors)
        return address, roles

    def _owed(self) -> dict[int, Answer]:
        if not self.invitations.sessions.factors.policy.at_once:
            return {}
        return {200: Answer("Created; a second factor is owed before a session begins", NEXT_STEP)}

    @property
    def _accepted(self) -> Mapping[str, Any]:
        schema = self.schema.json_schema("sign_up_by_email")
        properties = {name: value for name, value in schema["properties"].items() if name != "email"}
        required = ["token", *(name for name in schema["required"] if name != "email")]
        return {**schema, "properties": {"token": STRING, **properties}, "required": required}
