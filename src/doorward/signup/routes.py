"""HTTP of signing up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from doorward.authenticators import new_password_field
from doorward.kernel.errors import Problem
from doorward.sessions import SessionCookies
from doorward.signup.service import SignUp
from doorward.users import Schema
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, JSON, Access, Answer, Call, JsonSchema, Operation, json_response, redirect
from doorward.web.schemas import problems

ACCOUNT = "/account"
WELCOME = "/account?welcome=1"


@dataclass(frozen=True, slots=True)
class SignUpRoutes:
    """The hosted page and the API."""

    gate: Gate
    sign_up: SignUp
    cookies: SessionCookies
    schema: Schema

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            Operation(
                "POST",
                "/api/users",
                self.post_user,
                Access.ANYONE,
                "Sign up",
                "Users",
                JSON,
                self.schema.json_schema("sign_up"),
                body_limit=self.schema.body_limit,
                claimant=True,
                answers={
                    201: Answer("Created and signed in by cookie", self._user_schema()),
                    **problems(400, 413, 415, 429, 503),
                },
                description="Every bad field is listed at once. Fields that only an app or an administrator may "
                "write are refused.",
            ),
            Operation("GET", "/sign-up", self.get_page, Access.OPTIONAL, "Create your account"),
            Operation(
                "POST",
                "/sign-up",
                self.post_page,
                Access.OPTIONAL,
                "Create your account",
                reads=FORM,
                body_limit=self.schema.body_limit,
                again=self.show,
                claimant=True,
            ),
        )

    async def post_user(self, call: Call) -> Response:
        """Sign up and be signed in."""
        user, started = await self.sign_up.sign_up(call.body, call.caller, self._held(call))
        answer = self.schema.visible(user, "self")
        response = json_response(answer, 201, headers={"location": f"/api/users/{user.id}"})
        self.cookies.attach(response, started)
        return response

    async def get_page(self, call: Call) -> Response:
        """The form."""
        target = local_path(call.query.get("next"), "/account")
        return redirect(target) if call.session is not None else await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form with what was typed, but the password, and what was wrong."""
        typed = [replace(field, value=call.form_text(field.name)) for field in self.schema.form_fields("sign_up")]
        password = new_password_field(self.sign_up.passwords.policy)
        target = call.form_text("next") or call.request.query_params.get("next")
        return self.gate.form(call, "sign_up.html", [*typed, password], problem, next=local_path(target, ACCOUNT))

    async def post_page(self, call: Call) -> Response:
        """Sign up from the form."""
        body = self.schema.from_form({name: value for name, value in call.body.items() if name != "next"}, "sign_up")
        _, started = await self.sign_up.sign_up(body, call.caller, self._held(call))
        target = local_path(call.form_text("next"), ACCOUNT)
        response = redirect(WELCOME if target == ACCOUNT else target)
        self.cookies.attach(response, started)
        return response

    def _held(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.session)

    def _user_schema(self) -> JsonSchema:
        return self.schema.json_schema("user")
