"""HTTP of "This was not me"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from doorward.kernel.errors import Problem
from doorward.recovery.not_me import LinkState, NotMe
from doorward.sessions import session_of
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Call, Operation, parse_id, redirect

SENT_PAGE: Final = "/not-me/sent"
NEXT_PAGE: Final = "/account/password?others=1"
_SIGNED_IN: Final = "/account/not-me"
_STATUS: Final[Mapping[LinkState, int]] = {
    "live": 200, "used": 200, "void": 410, "moved": 410, "expired": 410, "unknown": 404
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NotMeRoutes:
    """The page behind the link of a notice, and the same for whoever is signed in."""

    gate: Gate
    not_me: NotMe

    def operations(self) -> Sequence[Operation]:
        """Every operation of it."""
        title = "This was not me"
        return (
            Operation("GET", SENT_PAGE, self.get_sent, Access.OPTIONAL, "Check your inbox"),
            Operation("GET", "/not-me/{token}", self.get_link, Access.OPTIONAL, title),
            Operation(
                "POST", "/not-me/{token}", self.post_link, Access.OPTIONAL, title, reads=FORM, again=self.show_link
            ),
            Operation("GET", f"{_SIGNED_IN}/{{id}}", self.get_signed_in, Access.SIGNED_IN, title),
            Operation("POST", _SIGNED_IN, self.post_signed_in, Access.SIGNED_IN, title, reads=FORM),
        )

    # By the link of a notice ------------------------------------------------------------------------------------

    async def get_link(self, call: Call) -> Response:
        """What happened, and what the button does; it does nothing yet, for mail scanners follow links (C23)."""
        return await self.show_link(call, None)

    async def show_link(self, call: Call, problem: Problem | None) -> Response:
        """The page, or why the link does nothing any more. Whose account it is, it does not say."""
        state, happened = await self.not_me.look(call.path("token"))
        if happened is None:
            response = self.gate.form(
                call, "not_me_over.html", (), None, state=state, offered=self.not_me.notices.outbox.can_mail
            )
        else:
            response = self.gate.form(
                call, "not_me.html", (), problem, happened=happened, action=call.request.url.path, hidden={}
            )
        response.status_code = _STATUS[state]
        return _kept_secret(response)

    async def post_link(self, call: Call) -> Response:
        """Shut everybody out, and go on to a new password."""
        done = await self.not_me.act(call.path("token"), call.caller)
        response = redirect(done.path or SENT_PAGE)
        if call.session is not None and call.session.user_id == done.user_id:  # it has ended; somebody else's goes on
            self.gate.cookies.drop(response, self.gate.cookies.session)
        return _kept_secret(response)

    async def get_sent(self, call: Call) -> Response:
        """What was done and what comes next; the same for everybody."""
        return self.gate.render(call, "not_me_sent.html", offered=self.not_me.notices.outbox.can_mail)

    # In a session -----------------------------------------------------------------------------------------------

    async def get_signed_in(self, call: Call) -> Response:
        """The same page about one of the caller's own events."""
        session, event_id = session_of(call), call.path_id("id")
        session.require_fresh(self.gate.clock.now())  # as the button asks for, so that no form is lost
        happened = await self.not_me.look_signed_in(session, event_id, call.caller)
        return self.gate.form(
            call, "not_me.html", (), None, happened=happened, action=_SIGNED_IN, hidden={"event": event_id}
        )

    async def post_signed_in(self, call: Call) -> Response:
        """Shut everybody else out, and go on to a new password."""
        await self.not_me.act_signed_in(session_of(call), parse_id(call.form_text("event")), call.caller)
        return redirect(NEXT_PAGE)


def _kept_secret(response: Response) -> Response:
    response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
    return response
