"""HTTP of signing up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from starlette.responses import Response

from doorward.authenticators import new_password_field
from doorward.kernel.errors import Forbidden, Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import NeedsStep, SessionCookies
from doorward.signup.by_email import SignUpByEmail
from doorward.signup.challenge import ChallengeNeeded
from doorward.signup.forms import confirmation_field
from doorward.signup.guard import PROOF_FIELDS
from doorward.signup.passwords import CONFIRMATION
from doorward.signup.service import SignUp
from doorward.users import Schema
from doorward.web.cookies import PENDING_SECONDS
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, json_response, redirect
from doorward.web.schemas import NEXT_STEP, STRING, problems, record

ACCOUNT = "/account"
WELCOME = "/account?welcome=1"
WAITING_PAGE: Final = "/verify"
CREATED: Final = "The account is there; one step is left"
CLOSED: Final = msgid("Only those who were invited can sign up here")
SENT: Final = "We have sent an e-mail. Follow the link in it, or send its code"


def apart(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was sent to sign up, and what proves that no program sent it."""
    proof = {name: value for name in PROOF_FIELDS if isinstance(value := body.get(name), str)}
    return {name: value for name, value in body.items() if name not in PROOF_FIELDS}, proof


@dataclass(frozen=True, slots=True)
class SignUpRoutes:
    """The hosted page and the API.

    `by_email`: in mode "email"; `passkeys`: whether one will do instead; `confirm_password`: the page asks for the
    password twice. Over JSON nobody is asked twice: that is for whoever types.
    """

    gate: Gate
    sign_up: SignUp
    cookies: SessionCookies
    schema: Schema
    by_email: SignUpByEmail | None = None
    invitation_only: bool = False
    passkeys: bool = False
    confirm_password: bool = False

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
                self.schema.json_schema(self._kind),
                body_limit=self.schema.body_limit,
                claimant=True,
                session=True,
                answers={**self._answer(), **problems(400, 403, 413, 415, 429, 503)},
                description=f"{self._description}Every bad field is listed at once. Fields that only an app or an "
                "administrator may write are refused.",
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
                session=True,
            ),
        )

    async def post_user(self, call: Call) -> Response:
        """Sign up: be signed in, or be sent a link and a code."""
        self._check_open()
        body, proof = apart(call.body)
        if self.by_email is not None:
            held = call.cookies.get(self.gate.cookies.pending)
            pending = await self.by_email.begin(body, call.caller, held, proof=proof)
            return self._waits(json_response({"message": SENT}, 202), pending)
        user, outcome = await self.sign_up.sign_up(body, call.caller, self._held(call), proof)
        if isinstance(outcome, NeedsStep):
            return self.cookies.answer(outcome, message=CREATED)
        answer = self.schema.visible(user, "self")
        response = json_response(answer, 201, headers={"location": f"/api/users/{user.id}"})
        self.cookies.attach(response, outcome)
        return response

    async def get_page(self, call: Call) -> Response:
        """The form."""
        target = local_path(call.query.get("next"), "/account")
        if call.session is not None:
            return redirect(target)
        return self.gate.render(call, "closed.html") if self.invitation_only else await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form with what was typed, but the password, and what was wrong."""
        fields = [replace(field, value=call.form_text(field.name)) for field in self.schema.form_fields(self._kind)]
        place = len(fields) if self.by_email is None else 1
        fields[place:place] = [
            new_password_field(self.sign_up.passwords.policy),
            *([confirmation_field()] if self.confirm_password else []),
        ]
        target = call.form_text("next") or call.request.query_params.get("next")
        guard = self.sign_up.guard
        needed = problem.challenge if isinstance(problem, ChallengeNeeded) else await guard.expected(call.caller)
        challenge = None if needed is None else needed.as_json()
        target = local_path(target, ACCOUNT)
        return self.gate.form(
            call, "sign_up.html", fields, problem, next=target, challenge=challenge, passkeys=self.passkeys
        )  # fmt: skip

    async def post_page(self, call: Call) -> Response:
        """Sign up from the form."""
        self._check_open()
        sent, proof = apart(call.body)
        again = call.form_text(CONFIRMATION) if self.confirm_password else None
        # Where nobody was asked for it, it stays, to be refused as every unknown field is.
        ours = {"next", CONFIRMATION} if self.confirm_password else {"next"}
        body = self.schema.from_form({name: value for name, value in sent.items() if name not in ours}, self._kind)
        target = local_path(call.form_text("next"), ACCOUNT)
        path = WELCOME if target == ACCOUNT else target
        if self.by_email is not None:
            held = call.cookies.get(self.gate.cookies.pending)
            return self._waits(
                redirect(WAITING_PAGE), await self.by_email.begin(body, call.caller, held, path, proof, again)
            )
        _, outcome = await self.sign_up.sign_up(body, call.caller, self._held(call), proof, path, again)
        return self.cookies.redirect(outcome, path)

    def _check_open(self) -> None:
        if self.invitation_only:
            raise Forbidden(CLOSED, reason="invitation only")

    def _held(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.session)

    def _waits(self, response: Response, pending: str) -> Response:
        """Tie what waits for a proof to this browser; the cookie is new every time, whatever was known."""
        self.gate.cookies.put(response, self.gate.cookies.pending, pending, PENDING_SECONDS)
        return response

    @property
    def _kind(self) -> Literal["sign_up", "sign_up_by_email"]:
        return "sign_up" if self.by_email is None else "sign_up_by_email"

    @property
    def _description(self) -> str:
        if self.by_email is None:
            return ""
        return (
            "Nobody is created before the address has answered; see POST /api/verifications. The answer is the same "
            "whether or not the address has an account. "
        )

    def _answer(self) -> dict[int, Answer]:
        if self.by_email is None:
            created = {201: Answer("Created and signed in by cookie", self.schema.json_schema("user"))}
            if self.sign_up.sessions.factors.policy.at_once:
                return {200: Answer("Created; a second factor is owed before a session begins", NEXT_STEP), **created}
            return created
        return {202: Answer("A link and a code are on their way", record({"message": STRING}))}
