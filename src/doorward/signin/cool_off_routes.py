"""The pages of the wait for somebody who lost every second step; registered where `[factors] cool_off` allows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from doorward.authenticators import code_field
from doorward.confirmations import State
from doorward.kernel.errors import FieldError, Invalid, NotSignedIn, Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import STEP_PAGE, TICKET_SECONDS, Ticket, session_of
from doorward.signin.cool_off import WAIT_HOURS, Channel, CoolOff
from doorward.signin.second_step import SecondStep
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Again, Call, Handler, Operation, redirect

PAGE: Final = "/sign-in/cool-off"
_STATUS: Final[dict[State, int]] = {"live": 200, "used": 200, "void": 410, "expired": 410, "unknown": 404}


@dataclass(frozen=True, slots=True)
class CoolOffRoutes:
    """Below /sign-in/cool-off for whoever holds a ticket, and what calls it off."""

    gate: Gate
    second: SecondStep
    cool_off: CoolOff

    def operations(self) -> Sequence[Operation]:
        """Every page and form."""

        def form(
            path: str, handler: Handler, title: str, again: Again | None, access: Access = Access.OPTIONAL
        ) -> Operation:
            return Operation("POST", path, handler, access, title, reads=FORM, again=again)

        return (
            Operation("GET", PAGE, self.get_page, Access.OPTIONAL, "Wait three days"),
            form(PAGE, self.post_page, "Wait three days", self.show),
            form(f"{PAGE}/code", self.post_code, "Confirm with a code", self.show),
            form(f"{PAGE}/go-on", self.post_go_on, "Go on without", self.show),
            Operation("GET", "/cool-off/{token}", self.get_link, Access.OPTIONAL, "Call it off"),
            form("/cool-off/{token}", self.post_link, "Call it off", self.show_link),
            form("/account/security/keep", self.post_keep, "Call it off", None, Access.SIGNED_IN),
        )

    async def get_page(self, call: Call) -> Response:
        """What it is, or where one stands."""
        return await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was wrong."""
        ticket = await self._ticket(call)
        state = await self.cool_off.state(ticket.user_id)
        is_over = state.due_at is not None and self.gate.clock.now() >= state.due_at
        return self.gate.form(
            call, "cool_off.html", [code_field("sms_code")], problem, state=state, is_over=is_over, hours=WAIT_HOURS
        )

    async def post_page(self, call: Call) -> Response:
        """Send the codes."""
        await self.cool_off.begin(await self._ticket(call), call.caller)
        return redirect(PAGE)

    async def post_code(self, call: Call) -> Response:
        """Take the code of one channel."""
        ticket = await self._ticket(call)
        channel: Channel = "phone" if call.form_text("channel") == "phone" else "email"
        code = call.form_text("code").strip()
        if not code:
            raise Invalid([FieldError("code", "required", msgid("Enter the code"))])
        await self.cool_off.submit(ticket, channel, code, call.caller)
        return redirect(PAGE)

    async def post_go_on(self, call: Call) -> Response:
        """Set up another factor, now that the wait is over."""
        step = await self.cool_off.finish(await self._ticket(call), call.caller)
        response = redirect(STEP_PAGE)
        self.gate.cookies.put(response, self.gate.cookies.ticket, step.token, TICKET_SECONDS)
        return response

    async def get_link(self, call: Call) -> Response:
        """What the link does; it does nothing yet, for mail scanners follow links (C23)."""
        return await self.show_link(call, None)

    async def show_link(self, call: Call, problem: Problem | None) -> Response:
        """The button, or why there is none."""
        state, _ = await self.cool_off.look(call.path("token"))
        response = self.gate.form(call, "cool_off_stop.html", [], problem, state=state)
        response.status_code = _STATUS[state]
        response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
        return response

    async def post_link(self, call: Call) -> Response:
        """Call it off."""
        await self.cool_off.call_off_by_link(call.path("token"), call.caller)
        response = redirect(f"/cool-off/{call.path('token')}")
        response.headers["referrer-policy"] = "no-referrer"
        return response

    async def post_keep(self, call: Call) -> Response:
        """The same for somebody signed in."""
        await self.cool_off.call_off(session_of(call), call.caller)
        return redirect("/account/security?step-kept=1")

    async def _ticket(self, call: Call) -> Ticket:
        ticket = await self.second.ticket(call.cookies.get(self.gate.cookies.ticket), "authenticator")
        if ticket.transport != "cookie" or ticket.reauthenticates:
            raise NotSignedIn(reason="not a browser's ticket to sign in")
        return ticket
