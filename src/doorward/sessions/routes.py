"""HTTP of sessions: the current one, the list, the end."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Scope, Send

from doorward.kernel.devices import describe
from doorward.kernel.errors import FieldError, Forbidden, Invalid, NotFound
from doorward.kernel.instant import SECOND, to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.ports.places import Places
from doorward.sessions.model import TICKET_SECONDS, NeedsStep, Session, SignInOutcome
from doorward.sessions.service import Sessions
from doorward.web.cookies import DEVICE_SECONDS
from doorward.web.gate import Gate
from doorward.web.headers import WHOLE_ANSWER, as_bytes, prepared
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, json_response, no_content, redirect
from doorward.web.schemas import SESSION, SESSIONS, problems

CURRENT = "/api/sessions/current"
STEP_PAGE = "/sign-in/step"  # where a browser with a ticket goes
SESSION_IN_PATH = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_OTHERS = {
    "name": "others",
    "in": "query",
    "description": "true: the session behind this request stays.",
    "schema": {"type": "boolean", "default": False},
}
_BOOLEANS = {"true": True, "false": False}  # as a query says it


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """The API and the page's form targets."""

    gate: Gate
    sessions: Sessions
    cookies: "SessionCookies"
    places: Places

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            Operation(
                "GET",
                CURRENT,
                self.get_current,
                Access.SIGNED_IN,
                "The current session",
                "Sessions",
                answers={200: Answer("The session behind this request", SESSION), **problems(401, 503)},
            ),
            Operation(
                "DELETE",
                CURRENT,
                self.delete_current,
                Access.SIGNED_IN,
                "Sign out",
                "Sessions",
                answers={204: Answer("Signed out"), **problems(401, 403)},
            ),
            Operation(
                "GET",
                "/api/sessions",
                self.get_sessions,
                Access.SIGNED_IN,
                "Your sessions",
                "Sessions",
                answers={200: Answer("Live sessions, latest used first", SESSIONS), **problems(401)},
            ),
            Operation(
                "DELETE",
                "/api/sessions",
                self.delete_sessions,
                Access.SIGNED_IN,
                "Sign out everywhere",
                "Sessions",
                answers={204: Answer("Ended"), **problems(400, 401, 403)},
                parameters=(_OTHERS,),
            ),
            Operation(
                "DELETE",
                "/api/sessions/{id}",
                self.delete_session,
                Access.SIGNED_IN,
                "End one of your sessions",
                "Sessions",
                answers={204: Answer("Ended"), **problems(401, 403, 404)},
                parameters=(SESSION_IN_PATH,),
            ),
            Operation("POST", "/sign-out", self.post_sign_out, Access.SIGNED_IN, "Sign out", reads=FORM),
        )

    async def get_current(self, call: Call) -> Response:
        """The session behind the request, with the CSRF token that goes with it."""
        session = session_of(call)
        return json_response(session.as_json(self.gate.csrf.token_for_session(session.id)))

    async def get_sessions(self, call: Call) -> Response:
        """The caller's live sessions."""
        current = session_of(call)
        found = await self.sessions.list_of(current.user_id)
        return json_response({"data": [self._as_json(session, current, call) for session in found]})

    async def delete_current(self, call: Call) -> Response:
        """Sign out."""
        with suppress(NotFound):  # ended by somebody else since the gate
            await self._end(call, session_of(call).id)
        return self.cookies.detach(no_content())

    async def delete_sessions(self, call: Call) -> Response:
        """Sign out everywhere, or everywhere else."""
        current = session_of(call)
        others_only = _BOOLEANS.get(call.query.get("others", "false"))
        if others_only is None:
            raise Invalid([FieldError("others", "wrong_type", msgid("Choose true or false"))])
        if others_only:
            await self.sessions.end_others(current.user_id, current.id, call.caller)
            return no_content()
        await self.sessions.end_everywhere(current.user_id, call.caller)
        return self.cookies.detach(no_content())

    async def delete_session(self, call: Call) -> Response:
        """End one session of the caller's own."""
        current = session_of(call)
        session_id = call.path_id("id")
        await self._end(call, session_id)
        return self.cookies.detach(no_content()) if session_id == current.id else no_content()

    async def post_sign_out(self, call: Call) -> Response:
        """Sign out from a page. Whose session has ended meanwhile is shown the sign-in page."""
        with suppress(NotFound):
            await self._end(call, call.signed_in.id)
        return self.cookies.detach(redirect("/"))

    async def _end(self, call: Call, session_id: str) -> None:
        await self.sessions.end(session_id, call.signed_in.user_id, call.caller)

    def _as_json(self, session: Session, current: Session, call: Call) -> dict[str, object]:
        return {
            "id": session.id,
            "current": session.id == current.id,
            "transport": session.transport,
            "device": describe(session.user_agent),
            "address": session.address,
            "place": self.places.find(session.address, call.preferences.locale),
            "created_at": to_rfc3339(session.created_at),
            "last_seen_at": to_rfc3339(session.last_seen_at),
            "expires_at": to_rfc3339(session.expires_at),
        }


@dataclass(frozen=True, slots=True)
class SessionCookies:
    """Puts what a flow started into the browser, and takes out what has ended."""

    gate: Gate
    sessions: Sessions

    def attach(self, response: Response, outcome: SignInOutcome) -> None:
        """Set the session cookie and, on a device new to us, the cookie that makes it known.

        Where something is still owed, a browser gets a ticket instead, which leads to the next step and opens nothing.
        """
        names = self.gate.cookies
        if isinstance(outcome, NeedsStep):
            if outcome.transport == "cookie":
                self.gate.cookies.put(response, names.ticket, outcome.token, TICKET_SECONDS)
            return
        self.attach_token(response, outcome.session, outcome.token)
        if outcome.device_token is not None:
            self.gate.cookies.put(response, names.device, outcome.device_token, DEVICE_SECONDS)

    def redirect(self, outcome: SignInOutcome, path: str) -> Response:
        """Go on to `path`, or to the next step."""
        response = redirect(STEP_PAGE if isinstance(outcome, NeedsStep) else path)
        self.attach(response, outcome)
        return response

    def answer(self, outcome: NeedsStep, **more: object) -> Response:
        """Tell a program what is owed. Its ticket is in the answer, a browser's is not."""
        content: dict[str, object] = {
            **more,
            "next": outcome.owes,
            "kinds": list(outcome.kinds),
            "expires_at": to_rfc3339(outcome.expires_at),
        }
        if outcome.transport == "bearer":
            content["ticket"] = outcome.token
        response = json_response(content)
        self.attach(response, outcome)
        return response

    def attach_token(self, response: Response, session: Session, token: str) -> None:
        """Set the session cookie; a bearer session has none."""
        if session.transport == "cookie":
            seconds = (session.expires_at - self.sessions.clock.now()) // SECOND
            self.gate.cookies.put(response, self.gate.cookies.session, token, seconds)

    def detach(self, response: Response) -> Response:
        """Take the session out of the browser, with whatever it kept of our answers (C35). The same answer."""
        self.gate.cookies.drop(response, self.gate.cookies.session)
        # Not "cookies": the known-device cookie has to outlive the session, or strangers could slow the owner down.
        response.headers["clear-site-data"] = '"cache", "storage"'
        return response


@dataclass(frozen=True, slots=True)
class CurrentSessionLane:
    """Answers GET /api/sessions/current from memory: the hottest request of all.

    Anything unusual (no cookie, an Authorization header, not in the cache, a stale feed) is left to the router.
    """

    sessions: Sessions
    cookie_name: str

    async def __call__(self, scope: Scope, send: Send, request_id: str) -> bool:  # noqa: ARG002  a lane's signature
        """Answer and say True, or touch nothing and say False."""
        if scope["method"] != "GET" or scope["query_string"]:
            return False
        cookie = None
        for name, value in scope["headers"]:
            if name == b"cookie" and cookie is None:
                cookie = value
            elif name in {b"authorization", b"cookie", b"x-api-key"}:
                return False
        token = self._token(cookie)
        entry = None if token is None else self.sessions.peek(token, self.sessions.clock.now())
        if entry is None or entry.session.transport != "cookie":
            return False
        if entry.head is None:
            entry.head = as_bytes(prepared(JSON.encode(), entry.body))
        answer_whole = scope.get("extensions", {}).get(WHOLE_ANSWER)
        if answer_whole is None:  # another server than our own
            return False
        head: bytes = entry.head + b"x-request-id: %s\r\n" % request_id.encode()
        return bool(answer_whole(head, entry.body))

    def _token(self, cookie: bytes | None) -> str | None:
        """The session token of a header as browsers send it; a full parser would cost as much as all the rest."""
        mark = self.cookie_name.encode() + b"="
        if cookie is None or cookie.count(mark) != 1:
            return None
        start = cookie.index(mark)
        if start > 0 and cookie[start - 2 : start] != b"; ":
            return None
        return cookie[start + len(mark) :].partition(b";")[0].decode("latin-1")


def session_of(call: Call) -> Session:
    """The caller's session as this room's own type."""
    session = call.signed_in
    if not isinstance(session, Session):
        raise Forbidden(reason="not a session of a user")
    return session
