"""The answers to whoever has shown enough, for a session, for a new secret of one, or for the next step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from starlette.responses import Response

from doorward.kernel.instant import SECOND
from doorward.sessions import NeedsStep, SessionCookies, SignedIn, SignInOutcome
from doorward.signin.model import Renewed
from doorward.tokens import AccessTokens
from doorward.web.csrf import Csrf
from doorward.web.routing import json_response, redirect

CONTINUE_PAGE = "/confirm/continue"
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Begun:
    """Encodes outcomes. Secrets go into cookies, or to programs that asked for them."""

    cookies: SessionCookies
    csrf: Csrf
    tokens: AccessTokens
    issuer: str

    def session(self, outcome: SignInOutcome, more: Mapping[str, Any] = NOTHING) -> Response:
        """The session, with `more` members; or what is owed."""
        if isinstance(outcome, NeedsStep):
            return self.cookies.answer(outcome, message="One step is left")
        session = outcome.session
        answer: dict[str, Any] = {**session.as_json(self.csrf.token_for_session(session.id)), **more}
        if session.transport == "bearer":
            answer["token"] = outcome.token
        response = json_response(answer, 201)
        self.cookies.attach(response, outcome)
        return response

    def jwt(self, outcome: SignInOutcome) -> Response:
        """The answer of the write-up; or what is owed."""
        if isinstance(outcome, NeedsStep):
            return self.cookies.answer(outcome, message="One step is left")
        session = outcome.session
        jwt = self.tokens.issue(
            user_id=session.user_id,
            sid=session.id,
            auth_time=session.auth_time,
            amr=session.amr,
            audience=self.issuer,
        )
        user = {"id": session.user_id, "uid": session.uid, "name": session.name}
        response = json_response({"message": "You are signed in", "data": {"jwt": jwt, "user": user}})
        self.cookies.attach(response, outcome)
        return response

    def renewed(self, done: Renewed | NeedsStep) -> Response:
        """A session whose user has proven anew who they are; or what is owed."""
        if isinstance(done, NeedsStep):
            return self.cookies.answer(done, message="One step is left")
        session = done.session
        answer = session.as_json(self.csrf.token_for_session(session.id))
        answer["auth_time"] = self.cookies.sessions.clock.now() // SECOND
        if session.transport == "bearer":
            answer["token"] = done.token
        response = json_response(answer)
        self.cookies.attach_token(response, session, done.token)
        return response

    def either(self, done: SignInOutcome | Renewed, *, wants_jwt: bool) -> Response:
        """Whatever came of a second step."""
        match done:
            case Renewed():
                return self.renewed(done)
            case SignedIn() | NeedsStep():
                return self.jwt(done) if wants_jwt else self.session(done)
            case _:
                assert_never(done)

    def page(self, done: SignInOutcome | Renewed, path: str) -> Response:
        """The same for a page, which goes on at `path`, or with what was being sent there."""
        if not isinstance(done, Renewed):
            return self.cookies.redirect(done, path)
        response = redirect(path)
        self.cookies.attach_token(response, done.session, done.token)
        return response
