"""HTTP of the one-time administrator link."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from doorward.authenticators import new_password_field
from doorward.kernel.errors import Problem
from doorward.sessions import SessionCookies, session_of
from doorward.setup.service import Setup
from doorward.users import Schema
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Call, Operation, redirect


@dataclass(frozen=True, slots=True)
class SetupRoutes:
    """The page behind the link."""

    gate: Gate
    setup: Setup
    cookies: SessionCookies
    schema: Schema

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            Operation("GET", "/setup/{token}", self.get_page, Access.OPTIONAL, "Create the first administrator"),
            Operation(
                "POST",
                "/setup/{token}",
                self.post_page,
                Access.OPTIONAL,
                "Create the first administrator",
                reads=FORM,
                body_limit=self.schema.body_limit,
                again=self.show,
                claimant=True,
                session=True,
            ),
        )

    async def get_page(self, call: Call) -> Response:
        """The form; it consumes nothing."""
        await self.setup.check(call.path("token"))
        return await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form for a new administrator, or one button for someone signed in."""
        typed = [replace(field, value=call.form_text(field.name)) for field in self.schema.form_fields("sign_up")]
        password = new_password_field(self.setup.sign_up.passwords.policy)
        fields = [] if call.session is not None else [*typed, password]
        response = self.gate.form(call, "setup.html", fields, problem)
        response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
        return response

    async def post_page(self, call: Call) -> Response:
        """Consume the link."""
        token = call.path("token")
        if call.session is not None:
            await self.setup.promote(token, session_of(call).user_id, call.caller)
            return redirect("/sign-in")
        body = self.schema.from_form(call.body, "sign_up")
        _, outcome = await self.setup.create(token, body, call.caller)
        return self.cookies.redirect(outcome, "/account?welcome=1")
