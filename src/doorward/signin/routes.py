"""HTTP of signing in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from doorward.authenticators import password_field
from doorward.kernel.errors import Problem
from doorward.kernel.instant import SECOND
from doorward.kernel.msgid import msgid
from doorward.sessions import SessionCookies, session_of
from doorward.signin.model import NO_IDENTIFIER, Credentials, decode_credentials, decode_password
from doorward.signin.service import SignIn, Welcome
from doorward.tokens import AccessTokens
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, json_response, redirect
from doorward.web.schemas import CREDENTIALS, MESSAGE_WITH_JWT, SESSION, UID_CREDENTIALS, problems

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
    cookies: SessionCookies
    tokens: AccessTokens
    issuer: str
    by_email: bool = False

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
                answers={201: Answer("Signed in", SESSION), **problems(400, 401, 403, 415, 429, 503)},
                claimant=True,
                description="A cookie session for browsers, or with `transport: bearer` a token for programs. 403 "
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
                answers={200: Answer("Signed in", MESSAGE_WITH_JWT), **problems(400, 401, 403, 415, 429, 503)},
                claimant=True,
                description="Sets the session cookie and answers with an ES256 JWT that lives ten minutes at most and "
                "stops working when the session ends.",
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
                answers={200: Answer("Proved; the session has a new secret", SESSION), **problems(400, 401, 403, 429)},
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
            ),
        )

    # API --------------------------------------------------------------------------------------------------------

    async def post_session(self, call: Call) -> Response:
        """Sign in."""
        welcome = await self._sign_in(call, decode_credentials(call.body, with_transport=True))
        session, token = welcome.signed_in.session, welcome.signed_in.token
        answer: dict[str, Any] = session.as_json(self.gate.csrf.token_for_session(session.id))
        answer["password_change"] = welcome.change_wanted
        if session.transport == "bearer":
            answer["token"] = token
        response = json_response(answer, 201)
        self.cookies.attach(response, welcome.signed_in)
        return response

    async def post_authenticate(self, call: Call) -> Response:
        """Answer as the write-up does: message, data.jwt, data.user."""
        sent = decode_credentials(call.body, "uid")
        welcome = await self._sign_in(call, Credentials(sent.identifier, sent.password))
        session = welcome.signed_in.session
        jwt = self.tokens.issue(
            user_id=session.user_id,
            sid=session.id,
            auth_time=session.auth_time,
            amr=session.amr,
            audience=self.issuer,
        )
        user = {"id": welcome.user.id, "uid": welcome.user.uid, "name": welcome.user.name}
        response = json_response({"message": "You are signed in", "data": {"jwt": jwt, "user": user}})
        self.cookies.attach(response, welcome.signed_in)
        return response

    async def post_reauthenticate(self, call: Call) -> Response:
        """Prove anew who one is."""
        session = session_of(call)
        token = await self.sign_in.reauthenticate(session, decode_password(call.body), call.caller)
        answer = session.as_json(self.gate.csrf.token_for_session(session.id))
        answer["auth_time"] = self.sign_in.clock.now() // SECOND
        if session.transport == "bearer":
            answer["token"] = token
        response = json_response(answer)
        self.cookies.attach_token(response, session, token)
        return response

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
                autocomplete="username",
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
            recovery=self.sign_in.outbox.can_mail,
            by_email=self.by_email,
        )

    async def post_page(self, call: Call) -> Response:
        """Sign in from the form."""
        body = {name: call.form_text(name) for name in ("identifier", "password")}
        welcome = await self._sign_in(call, decode_credentials(body))
        target = local_path(call.form_text("next"), "/account")
        response = redirect(target if welcome.change_wanted is None else PASSWORD_PAGE)
        self.cookies.attach(response, welcome.signed_in)
        return response

    async def get_confirm(self, call: Call) -> Response:
        """Ask for the password again."""
        return await self.show_confirm(call, None)

    async def show_confirm(self, call: Call, problem: Problem | None) -> Response:
        """The form, with what was wrong."""
        fields = [password_field()]
        target = call.form_text("next") or call.request.query_params.get("next")
        return self.gate.form(call, "confirm.html", fields, problem, next=local_path(target, "/account"))

    async def post_confirm(self, call: Call) -> Response:
        """Confirm from the form, and go back to where it was asked."""
        session = session_of(call)
        password = decode_password({"password": call.form_text("password")})
        token = await self.sign_in.reauthenticate(session, password, call.caller)
        response = redirect(local_path(call.form_text("next"), "/account"))
        self.cookies.attach_token(response, session, token)
        return response

    async def _sign_in(self, call: Call, sent: Credentials) -> Welcome:
        names = self.gate.cookies
        held, device = call.cookies.get(names.session), call.cookies.get(names.device)
        return await self.sign_in.sign_in(sent, call.caller, device, held)


def _notice(call: Call, problem: Problem | None) -> str | None:
    # A link from elsewhere must not make our page claim that something was done; every browser of today tells.
    if problem is not None or call.request.headers.get("sec-fetch-site") != "same-origin":
        return None
    return next((text for name, text in NOTICES.items() if name in call.request.query_params), None)


_PASSWORD_ONLY = {
    "type": "object",
    "required": ["password"],
    "properties": {"password": {"type": "string", "format": "password"}},
    "additionalProperties": False,
}
