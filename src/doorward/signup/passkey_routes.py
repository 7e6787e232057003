"""HTTP of signing up with a passkey: what one is, the passkey, and for programs the same over JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from starlette.responses import Response

from doorward.kernel.errors import FieldError, Forbidden, Invalid, Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import NeedsStep, SessionCookies
from doorward.signup.by_email import SignUpByEmail
from doorward.signup.by_passkey import SignUpByPasskey
from doorward.signup.challenge import ChallengeNeeded
from doorward.signup.passwords import PASSWORD
from doorward.signup.routes import ACCOUNT, CLOSED, CREATED, SENT, WAITING_PAGE, WELCOME, apart
from doorward.users import Schema
from doorward.web.cookies import NEWCOMER_SECONDS, PENDING_SECONDS
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, JSON, Access, Answer, Call, JsonSchema, Operation, json_response, redirect
from doorward.web.schemas import CREDENTIAL, STRING, problems, record

PAGE: Final = "/sign-up/passkey"
CREATE_PAGE: Final = f"{PAGE}/create"
OWN: Final = "/api/users/passkey"
CREDENTIAL_LIMIT: Final = 64 * 1024  # an attestation with its certificates
_OPTIONS: Final[JsonSchema] = {"type": "object", "description": "For `navigator.credentials.create` of browsers."}
_UNKNOWN: Final = msgid("This field is not known here")
_NO_CREDENTIAL: Final = msgid("Send `credential` as the browser gave it")


@dataclass(frozen=True, slots=True)
class PasskeySignUpRoutes:
    """Below /sign-up/passkey and /api/users/passkey. `offered`: whether browsers take passkeys at our address."""

    gate: Gate
    by_passkey: SignUpByPasskey
    cookies: SessionCookies
    schema: Schema
    offered: bool
    invitation_only: bool = False

    def operations(self) -> Sequence[Operation]:
        """Every operation."""
        return (
            *self._api(),
            Operation("GET", PAGE, self.get_page, Access.OPTIONAL, "Create your account with a passkey"),
            Operation(
                "POST",
                PAGE,
                self.post_page,
                Access.OPTIONAL,
                "Create your account with a passkey",
                reads=FORM,
                body_limit=self.schema.body_limit,
                again=self.show,
                claimant=True,
            ),
            Operation("GET", CREATE_PAGE, self.get_create, Access.OPTIONAL, "Create your passkey"),
            Operation(
                "POST",
                CREATE_PAGE,
                self.post_create,
                Access.OPTIONAL,
                "Create your passkey",
                reads=FORM,
                body_limit=CREDENTIAL_LIMIT,
                again=self.show_create,
                claimant=True,
                session=True,
            ),
        )

    def _api(self) -> Sequence[Operation]:
        refused = problems(400, 403, 415, 429, 503)
        return (
            Operation(
                "POST",
                f"{OWN}/options",
                self.post_options,
                Access.ANYONE,
                "Begin to sign up with a passkey",
                "Users",
                JSON,
                _without_password(self.schema.json_schema(self._kind)),
                body_limit=self.schema.body_limit,
                answers={200: Answer("What to make", _OPTIONS), **refused, **problems(413)},
                claimant=True,
                description="Takes what POST /api/users takes but a password, and refuses what that refuses. It is "
                "kept for this browser, by a cookie, for a quarter of an hour; nobody is created yet.",
            ),
            Operation(
                "POST",
                f"{OWN}/options/again",
                self.post_again,
                Access.ANYONE,
                "Try again to make the passkey to sign up with",
                "Users",
                JSON,
                record({}, strict=True),
                answers={200: Answer("What to make", _OPTIONS), **refused},
                claimant=True,
                description="New options for what this browser has sent before; all are over after five minutes.",
            ),
            Operation(
                "POST",
                OWN,
                self.post_passkey,
                Access.ANYONE,
                "Sign up with the passkey",
                "Users",
                JSON,
                record({"credential": CREDENTIAL}, strict=True),
                body_limit=CREDENTIAL_LIMIT,
                answers={**self._answer(), **refused, **problems(413)},
                claimant=True,
                session=True,
                description="In the browser that asked for the options, and once.",
            ),
        )

    # API --------------------------------------------------------------------------------------------------------

    async def post_options(self, call: Call) -> Response:
        """Keep who signs up, and answer what to make."""
        cookie = await self._begin(call, call.body, ACCOUNT)
        return self._waits(json_response(await self.by_passkey.options(cookie, call.caller)), cookie)

    async def post_again(self, call: Call) -> Response:
        """Answer anew what to make."""
        _only(call.body)
        return json_response(await self.by_passkey.options(self._held(call), call.caller))

    async def post_passkey(self, call: Call) -> Response:
        """Sign up: be signed in, or be sent a link and a code."""
        self._check_open()
        _only(call.body, "credential")
        credential = call.body.get("credential")
        if not isinstance(credential, dict):
            raise Invalid([FieldError("credential", "required", _NO_CREDENTIAL)])
        if (by_email := self.by_passkey.by_email) is not None:
            pending = await self._finish_by_email(call, by_email, credential)
            return self._proves(json_response({"message": SENT}, 202), pending)
        user, outcome, _ = await self.by_passkey.finish(self._held(call), credential, call.caller, self._session(call))
        if isinstance(outcome, NeedsStep):
            return self._over(self.cookies.answer(outcome, message=CREATED))
        answer = self.schema.visible(user, "self")
        response = json_response(answer, 201, headers={"location": f"/api/users/{user.id}"})
        self.cookies.attach(response, outcome)
        return self._over(response)

    # Pages ------------------------------------------------------------------------------------------------------

    async def get_page(self, call: Call) -> Response:
        """The form of everything but the passkey."""
        if call.session is not None:
            return redirect(local_path(call.query.get("next"), ACCOUNT))
        if not self.offered:
            return redirect("/sign-up")
        return self.gate.render(call, "closed.html") if self.invitation_only else await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form with what was typed, now or before, and what was wrong."""
        before = await self.by_passkey.waiting(self._held(call)) if problem is None else None
        fields = self.schema.form_fields(self._kind, before)
        if problem is not None:
            fields = [replace(field, value=call.form_text(field.name)) for field in fields]
        target = call.form_text("next") or call.request.query_params.get("next")
        guard = self.by_passkey.guard
        needed = problem.challenge if isinstance(problem, ChallengeNeeded) else await guard.expected(call.caller)
        challenge = None if needed is None else needed.as_json()
        place = local_path(target, ACCOUNT)
        return self.gate.form(call, "sign_up_passkey.html", fields, problem, next=place, challenge=challenge)

    async def post_page(self, call: Call) -> Response:
        """Keep it, and go on to the passkey."""
        sent, proof = apart(call.body)
        body = self.schema.from_form({name: value for name, value in sent.items() if name != "next"}, self._kind)
        target = local_path(call.form_text("next"), ACCOUNT)
        cookie = await self._begin(call, {**body, **proof}, WELCOME if target == ACCOUNT else target)
        return self._waits(redirect(CREATE_PAGE), cookie)

    async def get_create(self, call: Call) -> Response:
        """The button that makes the passkey; without anything filled in, the form."""
        if await self.by_passkey.waiting(self._held(call)) is None:
            return redirect(PAGE)
        return await self.show_create(call, None)

    async def show_create(self, call: Call, problem: Problem | None) -> Response:
        """The button, and what was wrong."""
        new = await self.by_passkey.waiting(self._held(call))
        name = "" if new is None else (new.email if self.by_passkey.by_email is not None else None) or new.uid
        return self.gate.form(call, "sign_up_create.html", [], problem, name=name)

    async def post_create(self, call: Call) -> Response:
        """Sign up with what the browser made."""
        self._check_open()
        credential = call.form_text("credential")
        if (by_email := self.by_passkey.by_email) is not None:
            pending = await self._finish_by_email(call, by_email, credential)
            return self._proves(redirect(WAITING_PAGE), pending)
        _, outcome, path = await self.by_passkey.finish(
            self._held(call), credential, call.caller, self._session(call)
        )  # fmt: skip
        return self._over(self.cookies.redirect(outcome, path))

    # ------------------------------------------------------------------------------------------------------------

    async def _begin(self, call: Call, body: Mapping[str, Any], path: str) -> str:
        self._check_open()
        profile, proof = apart(body)
        pending = call.cookies.get(self.gate.cookies.pending)
        return await self.by_passkey.begin(
            profile, call.caller, held=self._held(call), pending=pending, proof=proof, path=path
        )  # fmt: skip

    async def _finish_by_email(self, call: Call, by_email: SignUpByEmail, credential: object) -> str:
        pending = call.cookies.get(self.gate.cookies.pending)
        return await self.by_passkey.finish_by_email(by_email, self._held(call), credential, call.caller, pending)

    def _check_open(self) -> None:
        if self.invitation_only:
            raise Forbidden(CLOSED, reason="invitation only")

    def _held(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.newcomer)

    def _session(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.session)

    def _waits(self, response: Response, cookie: str) -> Response:
        self.gate.cookies.put(response, self.gate.cookies.newcomer, cookie, NEWCOMER_SECONDS)
        return response

    def _proves(self, response: Response, pending: str) -> Response:
        """Tie what waits for a proof to this browser, as after a sign-up with a password."""
        self.gate.cookies.put(response, self.gate.cookies.pending, pending, PENDING_SECONDS)
        return self._over(response)

    def _over(self, response: Response) -> Response:
        self.gate.cookies.drop(response, self.gate.cookies.newcomer)
        return response

    @property
    def _kind(self) -> Literal["sign_up", "sign_up_by_email"]:
        return "sign_up" if self.by_passkey.by_email is None else "sign_up_by_email"

    def _answer(self) -> dict[int, Answer]:
        if self.by_passkey.by_email is None:
            return {201: Answer("Created and signed in by cookie", self.schema.json_schema("user"))}
        return {202: Answer("A link and a code are on their way", record({"message": STRING}))}


def _without_password(schema: JsonSchema) -> JsonSchema:
    properties = {name: value for name, value in schema["properties"].items() if name != PASSWORD}
    return {**schema, "properties": properties, "required": [name for name in schema["required"] if name != PASSWORD]}


def _only(body: Mapping[str, Any], *known: str) -> None:
    """Raise Invalid naming every field that is not known."""
    if unknown := [FieldError(name[:80], "unknown_field", _UNKNOWN) for name in body if name not in known]:
        raise Invalid(unknown)
