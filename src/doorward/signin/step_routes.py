"""The pages of the second step: a code or a passkey, another way, setting one up, taking back a deletion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from doorward.authenticators import PASSKEY, RECOVERY, TOTP, all_kinds, code_field, qr_of
from doorward.kernel.errors import NotSignedIn, Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import STEP_PAGE, Owes, SessionCookies, Ticket
from doorward.signin.cool_off import CoolOff
from doorward.signin.outcome_routes import Begun
from doorward.signin.second_step import SecondStep
from doorward.users import masked
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Again, Call, Handler, Operation, redirect

ENROL_PAGE: Final = "/sign-in/set-up"
KEEP_PAGE: Final = "/sign-in/keep"
LOST_PAGE: Final = "/sign-in/lost"
SECURITY_PAGE: Final = "/account/security"
PAGES: Final[Mapping[Owes, str]] = {"authenticator": STEP_PAGE, "enrolment": ENROL_PAGE, "restoration": KEEP_PAGE}
_ASKED: Final[Mapping[str, str]] = {
    TOTP: msgid("Enter the six digits that your authenticator app shows."),
    "sms_code": msgid("We send six digits by text message to your number."),
    "email_code": msgid("We send six digits to your e-mail address."),
    RECOVERY: msgid("Enter one of the codes that you have kept. Each works once."),
    PASSKEY: msgid("Use your passkey: your fingerprint, your face, a PIN or a security key."),
}


@dataclass(frozen=True, slots=True)
class StepRoutes:
    """Below /sign-in/step, /sign-in/set-up and /sign-in/keep, for browsers that hold a ticket."""

    gate: Gate
    second: SecondStep
    cookies: SessionCookies
    begun: Begun
    cool_off: CoolOff
    support: str

    def operations(self) -> Sequence[Operation]:
        """Every page of the second step and what its forms post to."""

        def page(path: str, handler: Handler, title: str) -> Operation:
            return Operation("GET", path, handler, Access.OPTIONAL, title)

        def form(path: str, handler: Handler, title: str, again: Again, *, session: bool = False) -> Operation:
            return Operation(
                "POST", path, handler, Access.OPTIONAL, title, reads=FORM, again=again, session=session
            )  # fmt: skip

        return (
            page(STEP_PAGE, self.get_step, "Second step"),
            form(STEP_PAGE, self.post_step, "Second step", self.show_step, session=True),
            form(f"{STEP_PAGE}/send", self.post_send, "Send me a code", self.show_step),
            page(LOST_PAGE, self.get_lost, "No way left"),
            page(ENROL_PAGE, self.get_enrol, "Set up a second step"),
            form(ENROL_PAGE, self.post_enrol, "Set up a second step", self.show_enrol, session=True),
            form(f"{ENROL_PAGE}/app", self.post_app, "Set up an authenticator app", self.show_enrol),
            form(f"{ENROL_PAGE}/without", self.post_without, "Go without", self.show_enrol, session=True),
            page(KEEP_PAGE, self.get_keep, "Keep your account"),
            form(KEEP_PAGE, self.post_keep, "Keep your account", self.show_keep, session=True),
        )

    # The second factor ------------------------------------------------------------------------------------------

    async def get_step(self, call: Call) -> Response:
        """The form for the way used last, or another one; or the page of what is owed instead."""
        ticket = await self._ticket(call)
        if ticket.owes != "authenticator":
            return redirect(PAGES[ticket.owes])
        return await self.show_step(call, None)

    async def show_step(self, call: Call, problem: Problem | None) -> Response:
        """The form with what was wrong."""
        ticket = await self._ticket(call, "authenticator")
        names = await self.second.kinds(ticket)
        kind = self._chosen(call, names)
        if kind is None:
            return redirect(LOST_PAGE)
        claimant = await self.second.claimant(ticket, self._device(call))
        sent = await self.second.factors.sent_to(claimant)
        is_sent = sent is not None and sent[0] == kind
        return self.gate.form(
            call,
            "step.html",
            [code_field(kind)] if kind != PASSKEY else [],
            problem,
            kind=kind,
            asked=_ASKED[kind],
            sends=kind in {"sms_code", "email_code"},
            sent_to=_in_part(sent[1]) if sent is not None and is_sent else None,
            code_until=sent[2] if sent is not None and is_sent else 0,
            others=[(name, all_kinds()[name].title) for name in names if name != kind],
            reauthenticates=ticket.reauthenticates,
            offers_recovery=RECOVERY in names,
        )

    async def post_step(self, call: Call) -> Response:
        """Take the answer, and go on."""
        ticket = await self._ticket(call, "authenticator")
        kind = call.form_text("kind")
        answer = call.form_text("credential" if kind == PASSKEY else "code")
        claimant = await self.second.claimant(ticket, self._device(call))
        done = await self.second.verify(ticket, claimant, kind, answer, call.caller, self._held(call))
        return self._over(self.begun.page(done, ticket.path))

    async def post_send(self, call: Call) -> Response:
        """Send a code."""
        ticket = await self._ticket(call, "authenticator")
        kind = call.form_text("kind")
        claimant = await self.second.claimant(ticket, self._device(call))
        await self.second.factors.send(claimant, kind, call.caller)
        return redirect(f"{STEP_PAGE}?with={kind}&sent=1")

    async def get_lost(self, call: Call) -> Response:
        """What helps somebody who has none of their ways at hand (UX-35)."""
        ticket = await self._ticket(call, "authenticator")
        names = await self.second.kinds(ticket)
        return self.gate.render(
            call,
            "lost.html",
            others=[(name, all_kinds()[name].title) for name in names],
            cool_off=self.cool_off.enabled and not ticket.reauthenticates,
            helps=self.support,
        )

    def _chosen(self, call: Call, names: Sequence[str]) -> str | None:
        wanted = call.form_text("kind") or call.request.query_params.get("with", "")
        return wanted if wanted in names else next(iter(names), None)

    # Setting one up ---------------------------------------------------------------------------------------------

    async def get_enrol(self, call: Call) -> Response:
        """What can be set up."""
        ticket = await self._ticket(call)
        if ticket.owes != "enrolment":
            return redirect(PAGES[ticket.owes])
        return await self.show_enrol(call, None)

    async def show_enrol(self, call: Call, problem: Problem | None) -> Response:
        """The choice, or the key for an app with the field for its first code."""
        ticket = await self._ticket(call, "enrolment")
        offer = await self.second.offered_app(ticket)
        return self.gate.form(
            call,
            "enrol.html",
            [code_field(TOTP)] if offer is not None else [],
            problem,
            offer=offer,
            qr=None if offer is None else await qr_of(offer.uri),
            recovered=await self.second.may_give_up(ticket),
            passkeys=self.second.factors.party.takes_passkeys,
        )

    async def post_app(self, call: Call) -> Response:
        """Make a key for an app."""
        await self.second.offer_app(await self._ticket(call, "enrolment"))
        return redirect(ENROL_PAGE)

    async def post_enrol(self, call: Call) -> Response:
        """Bind what was proven, and sign in."""
        ticket = await self._ticket(call, "enrolment")
        kind = call.form_text("kind")
        answer = call.form_text("credential" if kind == PASSKEY else "code")
        done = await self.second.enrol(ticket, kind, answer, call.caller, self._held(call))
        return self._over(self.begun.page(done, f"{SECURITY_PAGE}?set-up=1"))

    async def post_without(self, call: Call) -> Response:
        """Sign in without a second step from now on."""
        ticket = await self._ticket(call, "enrolment")
        done = await self.second.give_up(ticket, call.caller, self._held(call))
        return self._over(self.begun.page(done, f"{SECURITY_PAGE}?without=1"))

    # Keeping an account -----------------------------------------------------------------------------------------

    async def get_keep(self, call: Call) -> Response:
        """When the account is erased, and the button that keeps it."""
        ticket = await self._ticket(call)
        if ticket.owes != "restoration":
            return redirect(PAGES[ticket.owes])
        return await self.show_keep(call, None)

    async def show_keep(self, call: Call, problem: Problem | None) -> Response:
        """The page."""
        ticket = await self._ticket(call, "restoration")
        return self.gate.form(call, "keep.html", [], problem, until=await self.second.leaving_until(ticket))

    async def post_keep(self, call: Call) -> Response:
        """Keep the account, and sign in."""
        ticket = await self._ticket(call, "restoration")
        done = await self.second.restore(ticket, call.caller, self._held(call))
        return self._over(self.begun.page(done, "/account?restored=1"))

    # ------------------------------------------------------------------------------------------------------------

    async def _ticket(self, call: Call, owes: Owes | None = None) -> Ticket:
        """What this browser holds. Raises NotSignedIn when it is over: the gate then shows the sign-in page."""
        ticket = await self.second.ticket(call.cookies.get(self.gate.cookies.ticket), owes)
        # A ticket to prove oneself anew counts in the session that it was made in, and in no other.
        if ticket.transport != "cookie" or (ticket.reauthenticates and _session_id(call) != ticket.session_id):
            raise NotSignedIn(reason="ticket of another session")
        return ticket

    def _over(self, response: Response) -> Response:
        """Take the ticket back, unless there is another one in its place."""
        if not any(
            name == b"set-cookie" and value.startswith(self.gate.cookies.ticket.encode())
            for name, value in response.raw_headers
        ):
            self.gate.cookies.drop(response, self.gate.cookies.ticket)
        return response

    def _device(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.device)

    def _held(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.session)


def _session_id(call: Call) -> str | None:
    return None if call.session is None else call.session.id


def _in_part(target: str) -> str:
    """Where a code went, as much as helps its owner and nobody else."""
    if "@" not in target:
        return masked(target)
    name, _, domain = target.rpartition("@")
    return f"{name[:1]}…@{domain}"
