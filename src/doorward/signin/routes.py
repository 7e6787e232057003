"""HTTP of signing in."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from doorward.authenticators import password_field
from doorward.kernel.errors import Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import NeedsStep, SessionCookies, Start, session_of
from doorward.signin.model import NO_IDENTIFIER, Credentials, Renewed, decode_credentials, decode_password
from doorward.signin.outcome_routes import Begun
from doorward.signin.second_step import SecondStep
from doorward.signin.service import SignIn, Welcome
from doorward.web.csrf import from_our_page
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, redirect
from doorward.web.schemas import CREDENTIALS, MESSAGE_WITH_JWT, NEXT_STEP, SESSION, UID_CREDENTIALS, problems

PASSWORD_PAGE = "/account/password"  # noqa: S105  a path
NOTICES = {  # shown after a redirect; the query names one, it never carries text
    "verified": msgid("Your address is confirmed. You can sign in now."),
    "recovered": msgid("Your new password is set. Sign in with it."),
}


@dataclass(frozen=True, slots=True)
class SignInRoutes:
    """The hosted page, the API, and the answer the write-up's front end expects.

    `by_email`: whether the page offers a link by e-mail, too.
    """

    gate: Gate
    sign_in: SignIn
    second: SecondStep
    cookies: SessionCookies
    begun: Begun
    by_email: bool = False

    @property
    def passkeys(self) -> bool:
        """Whether browsers take passkeys at our address."""
        return self.second.factors.party.takes_passkeys

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            Operation(
                "POST",
                "/api/sessions",
                self.post_session,
                Access.ANYONE,
                "Sign in",
                "Sessions",
                JSON,
                CREDENTIALS,
                answers={
                    200: Answer("Something is owed before a session begins", NEXT_STEP),
                    201: Answer("Signed in", SESSION),
                    **problems(400, 401, 403, 415, 429, 503),
                },
                claimant=True,
                session=True,
                description="A cookie session for browsers, or with `transport: bearer` a token for programs. 200: "
                "`next` says what is owed; see POST /api/sessions/authenticator. 403 "
                "`password_change_required`: the password is right, but others know it; a link was sent, or `token` is "
                "there for POST /api/recovery/complete.",
            ),
            Operation(
                "POST",
                "/api/users/authenticate",
                self.post_authenticate,
                Access.ANYONE,
                "Sign in for a JWT",
                "Sessions",
                JSON,
                UID_CREDENTIALS,
                answers={
                    200: Answer("Signed in, or something is owed", {"anyOf": [MESSAGE_WITH_JWT, NEXT_STEP]}),
                    **problems(400, 401, 403, 415, 429, 503),
                },
                claimant=True,
                session=True,
                description="Sets the session cookie and answers with an ES256 JWT that lives ten minutes at most and "
                "stops working when the session ends. Who has a second step is answered `next` instead of `data`, and "
                "the same as here when it is done by POST /api/sessions/authenticator.",
            ),
            Operation(
                "POST",
                "/api/sessions/current/reauthenticate",
                self.post_reauthenticate,
                Access.SIGNED_IN,
                "Prove again who you are",
                "Sessions",
                JSON,
                _PASSWORD_ONLY,
                answers={
                    200: Answer(
                        "Proved, and the session has a new secret; or the second factor is owed",
                        {"anyOf": [SESSION, NEXT_STEP]},
                    ),
                    **problems(400, 401, 403, 429),
                },
                session=True,
                description="Whoever has a second factor is answered `next`, and proves it by POST "
                "/api/sessions/authenticator. A passkey alone does, too: POST "
                "/api/sessions/current/reauthenticate/passkey.",
            ),
            Operation("GET", "/sign-in", self.get_page, Access.OPTIONAL, "Sign in"),
            Operation(
                "POST",
                "/sign-in",
                self.post_page,
                Access.OPTIONAL,
                "Sign in",
                reads=FORM,
                again=self.show,
                claimant=True,
                session=True,
            ),
            Operation("GET", "/confirm", self.get_confirm, Access.SIGNED_IN, "Confirm it is you"),
            Operation(
                "POST",
                "/confirm",
                self.post_confirm,
                Access.SIGNED_IN,
                "Confirm it is you",
                reads=FORM,
                again=self.show_confirm,
                session=True,
            ),
            Operation(
                "GET", "/confirm/continue", self.get_continue, Access.SIGNED_IN, "Go on with what you were doing"
            ),
        )

    # API --------------------------------------------------------------------------------------------------------

    async def post_session(self, call: Call) -> Response:
        """Sign in."""
        welcome = await self._sign_in(call, decode_credentials(call.body, with_transport=True))
        return self.begun.session(welcome.outcome, {"password_change": welcome.change_wanted})

    async def post_authenticate(self, call: Call) -> Response:
        """Answer as the write-up does: message, data.jwt, data.user."""
        sent = decode_credentials(call.body, "uid")
        welcome = await self._sign_in(call, Credentials(sent.identifier, sent.password), wants_jwt=True)
        return self.begun.jwt(welcome.outcome)

    async def post_reauthenticate(self, call: Call) -> Response:
        """Prove anew who one is."""
        session = session_of(call)
        password = decode_password(call.body)
        return self.begun.renewed(await self.sign_in.reauthenticate(session, password, call.caller))

    # Pages ------------------------------------------------------------------------------------------------------

    async def get_page(self, call: Call) -> Response:
        """The sign-in page; someone already signed in goes on."""
        target = local_path(call.query.get("next"), "/account")
        return redirect(target) if call.session is not None else await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form, with what was wrong. The password is never sent back."""
        fields = [
            FormField(
                "identifier",
                msgid("Username or e-mail"),
                "text",
                call.form_text("identifier"),
                required=True,
                autocomplete="username webauthn",
                attributes={"autocapitalize": "off", "spellcheck": "false"},
                messages={"required": NO_IDENTIFIER},
            ),
            password_field(),
        ]
        target = call.form_text("next") or call.request.query_params.get("next")
        return self.gate.form(
            call,
            "sign_in.html",
            fields,
            problem,
            next=local_path(target, "/account"),
            notice=_notice(call, problem),
            by_email=self.by_email,
            passkeys=self.passkeys,
        )

    async def post_page(self, call: Call) -> Response:
        """Sign in from the form."""
        body = {name: call.form_text(name) for name in ("identifier", "password")}
        target = local_path(call.form_text("next"), "/account")
        welcome = await self._sign_in(call, decode_credentials(body), path=target)
        return self.cookies.redirect(welcome.outcome, target if welcome.change_wanted is None else PASSWORD_PAGE)

    async def get_confirm(self, call: Call) -> Response:
        """Ask for the password again."""
        return await self.show_confirm(call, None)

    async def show_confirm(self, call: Call, problem: Problem | None) -> Response:
        """The form, with what was wrong. Whoever has no password confirms with a passkey."""
        session = session_of(call)
        has_password = await self.sign_in.passwords.has_password(session.user_id)
        target = call.form_text("next") or call.request.query_params.get("next")
        return self.gate.form(
            call,
            "confirm.html",
            [password_field()] if has_password else [],
            problem,
            next=local_path(target, "/account"),
            has_password=has_password,
            passkey=self.passkeys and await self.second.has_passkey(session),
        )

    async def post_confirm(self, call: Call) -> Response:
        """Confirm from the form, by password or passkey, and go back to where it was asked."""
        session, target = session_of(call), local_path(call.form_text("next"), "/account")
        done: Renewed | NeedsStep
        if credential := call.form_text("credential"):
            done = await self.second.reauthenticate(session, credential, call.caller, target)
        else:
            password = decode_password({"password": call.form_text("password")})
            done = await self.sign_in.reauthenticate(session, password, call.caller, target)
        return self.begun.page(done, target)

    async def get_continue(self, call: Call) -> Response:
        """What was being sent when it had to be confirmed first, to be sent now (UX-52).

        Once, and only after our own redirect: the page sends the form by itself, and a link from elsewhere must not.
        """
        session = session_of(call)
        kept = await self.sign_in.sessions.take_form(session.id) if from_our_page(call) else None
        if kept is None:
            return redirect("/account")
        path, sealed = kept
        fields = self.gate.open_form(session.id, sealed, call.cookies.get(self.gate.cookies.form))
        if fields is None:
            return redirect("/account")
        response = self.gate.render(call, "continue.html", target=path, kept=fields)
        self.gate.cookies.drop(response, self.gate.cookies.form)
        return response

    async def _sign_in(
        self, call: Call, sent: Credentials, *, path: str = "/account", wants_jwt: bool = False
    ) -> Welcome:
        names = self.gate.cookies
        held, device = call.cookies.get(names.session), call.cookies.get(names.device)
        start = Start(replaced=held, path=path, wants_jwt=wants_jwt)
        return await self.sign_in.sign_in(sent, call.caller, device, start)


def _notice(call: Call, problem: Problem | None) -> str | None:
    # A link from elsewhere must not make our page claim that something was done.
    if problem is not None or not from_our_page(call):
        return None
    return next((text for name, text in NOTICES.items() if name in call.request.query_params), None)


_PASSWORD_ONLY = {
    "type": "object",
    "required": ["password"],
    "properties": {"password": {"type": "string", "format": "password"}},
    "additionalProperties": False,
}
