"""HTTP of signing in by e-mail; registered only where `[signin] email_link` allows it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response

from doorward.confirmations import CODE_SECONDS, Completed, State
from doorward.kernel.errors import FieldError, Invalid, Problem, RateLimited
from doorward.kernel.instant import SECOND
from doorward.kernel.msgid import msgid
from doorward.sessions import SessionCookies, describe
from doorward.signin.by_email import ACCOUNT, SignInByEmail
from doorward.users import core_field, decode_address
from doorward.web.cookies import PENDING_SECONDS
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, JSON, Access, Again, Answer, Call, Handler, Operation, json_response, redirect
from doorward.web.schemas import STRING, problems, record

SENT: Final = {"message": "If there is an account with this address, a link and a code are on their way"}
CODE_PAGE: Final = "/sign-in/email/code"
RESEND_AFTER_SECONDS: Final = 30  # UX-30: what the page asks for; what is refused is in limits.toml
_NO_CODE: Final = msgid("Enter the code from the e-mail")
_SENT_AGAIN: Final = msgid("We have sent another e-mail. Its code takes the place of the earlier one.")
_STATUS: Final[dict[State, int]] = {"live": 200, "used": 410, "void": 410, "expired": 410, "unknown": 404}


@dataclass(frozen=True, slots=True)
class EmailSignInRoutes:
    """The pages below /sign-in/email, the page behind the link, the API."""

    gate: Gate
    by_email: SignInByEmail
    cookies: SessionCookies

    def operations(self) -> Sequence[Operation]:
        """Every operation of signing in by e-mail."""

        def page(path: str, handler: Handler, title: str) -> Operation:
            return Operation("GET", path, handler, Access.OPTIONAL, title)

        def form(path: str, handler: Handler, title: str, again: Again, *, session: bool = False) -> Operation:
            return Operation(
                "POST", path, handler, Access.OPTIONAL, title, reads=FORM, again=again, claimant=True, session=session
            )  # fmt: skip

        return (
            Operation(
                "POST",
                "/api/sessions/email",
                self.post_sessions_email,
                Access.ANYONE,
                "Ask for a link and a code to sign in with",
                "Sessions",
                JSON,
                record({"email": {"type": "string", "format": "email"}}, strict=True),
                answers={
                    202: Answer("Sent, if there is such an account", record({"message": STRING})),
                    **problems(400, 403, 409, 415, 429, 503),
                },
                claimant=True,
                description="The answer is the same whether or not the address has an account. Send the code with "
                "POST /api/verifications from the same cookie jar; nobody else can use it, nor the link.",
            ),
            page("/sign-in/email", self.get_page, "Sign in by e-mail"),
            form("/sign-in/email", self.post_page, "Send me a link", self.show),
            page(CODE_PAGE, self.get_code, "Check your inbox"),
            form(CODE_PAGE, self.post_code, "Sign in with the code", self.show_code, session=True),
            form("/sign-in/email/resend", self.post_resend, "Send a newer code", self.show_code),
            page("/sign-in/link/{token}", self.get_link, "Sign in"),
            form("/sign-in/link/{token}", self.post_link, "Sign in", self.show_link, session=True),
            form("/sign-in/link/{token}/not-me", self.post_not_me, "This was not me", self.show_link),
        )

    # Asking -----------------------------------------------------------------------------------------------------

    async def post_sessions_email(self, call: Call) -> Response:
        """Ask for a link and a code."""
        return await self._ask(call, decode_address(call.body), json_response(SENT, 202), ACCOUNT)

    async def get_page(self, call: Call) -> Response:
        """The form; someone already signed in goes on."""
        target = local_path(call.query.get("next"), ACCOUNT)
        return redirect(target) if call.session is not None else await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The form with what was typed."""
        target = call.form_text("next") or call.request.query_params.get("next")
        fields = [_email_field(call.form_text("email"))]
        return self.gate.form(call, "sign_in_email.html", fields, problem, next=local_path(target, ACCOUNT))

    async def post_page(self, call: Call) -> Response:
        """Send a link and a code, if there is such an account."""
        address = decode_address({"email": call.form_text("email").strip()})
        return await self._ask(call, address, redirect(CODE_PAGE), local_path(call.form_text("next"), ACCOUNT))

    async def _ask(self, call: Call, address: str, response: Response, path: str) -> Response:
        names = self.gate.cookies
        pending = await self.by_email.ask(address, call.caller, call.cookies.get(names.device), path)
        names.put(response, names.pending, pending, PENDING_SECONDS)
        return response

    # The browser that asked -------------------------------------------------------------------------------------

    async def get_code(self, call: Call) -> Response:
        """The form for the code."""
        return await self.show_code(call, None)

    async def show_code(self, call: Call, problem: Problem | None) -> Response:
        """Where the mail went, if anybody is there, and the form for its code."""
        found = await self.by_email.waiting(self._pending(call))
        if found is None:
            fields = [_email_field("")]
            return self.gate.form(call, "sign_in_email.html", fields, problem, next=ACCOUNT)
        now = self.gate.clock.now()
        sent_at = found.code_expires_at - CODE_SECONDS * SECOND
        wait = max(0, RESEND_AFTER_SECONDS - (now - sent_at) // SECOND)
        return self.gate.form(
            call,
            "sign_in_code.html",
            [_code_field()],
            problem,
            notice=_SENT_AGAIN if problem is None and "sent" in call.request.query_params else None,
            address=found.target,
            code_until=found.code_expires_at,
            is_code_over=now >= found.code_expires_at,
            resend_seconds=0 if isinstance(problem, RateLimited) else wait,
        )

    async def post_code(self, call: Call) -> Response:
        """Sign in with the code."""
        code = call.form_text("code").strip()
        if not code:
            raise Invalid([FieldError("code", "required", _NO_CODE)])
        found = await self.by_email.waiting(self._pending(call))
        return self._signed_in(call, await self.by_email.submit_code(found, code, call.caller, self._held(call)))

    async def post_resend(self, call: Call) -> Response:
        """Send a newer code."""
        found = await self.by_email.waiting(self._pending(call))
        if found is None:
            return redirect("/sign-in/email")
        await self.by_email.resend(found, call.caller)
        return redirect(f"{CODE_PAGE}?sent=1")

    # Whoever follows the link -----------------------------------------------------------------------------------

    async def get_link(self, call: Call) -> Response:
        """What the link does here. Nothing is used up: mail scanners follow every link (C23)."""
        return await self.show_link(call, None)

    async def show_link(self, call: Call, problem: Problem | None) -> Response:
        """In the browser that asked a button; elsewhere who asked, and what to do; or why it no longer works."""
        token = call.path("token")
        state, found = await self.by_email.look(token)
        if found is None or state != "live":
            fields = [_email_field("" if found is None else found.target)]
            response = self.gate.form(call, "sign_in_link_over.html", fields, None, state=state)
            response.status_code = _STATUS[state]
        else:
            asked = {
                "device": describe(found.payload["user_agent"]),
                "address": found.payload["address"],
                "at": found.created_at,
            }
            here = self.by_email.is_holder(found, self._pending(call))
            place = f"/sign-in/link/{token}"
            response = self.gate.form(call, "sign_in_link.html", [], problem, at_home=here, asked=asked, place=place)
        return _kept_secret(response)

    async def post_link(self, call: Call) -> Response:
        """Sign in, in the browser that asked."""
        token, held = call.path("token"), self._held(call)
        completed = await self.by_email.submit_link(token, self._pending(call), call.caller, held)
        return _kept_secret(self._signed_in(call, completed))

    async def post_not_me(self, call: Call) -> Response:
        """Make the link and the code void."""
        await self.by_email.call_off(call.path("token"), call.caller)
        return _kept_secret(redirect(f"/sign-in/link/{call.path('token')}"))

    # ------------------------------------------------------------------------------------------------------------

    def _pending(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.pending)

    def _held(self, call: Call) -> str | None:
        return call.cookies.get(self.gate.cookies.session)

    def _signed_in(self, call: Call, completed: Completed) -> Response:
        response = self.cookies.redirect(completed.signed_in, completed.path)
        if self.gate.cookies.pending in call.cookies:
            self.gate.cookies.drop(response, self.gate.cookies.pending)
        return response


def _email_field(typed: str) -> FormField:
    return replace(core_field("email", typed), required=True, autocomplete="username", hint="")


def _code_field() -> FormField:
    return FormField(
        "code",
        msgid("Code"),
        "text",
        required=True,
        autocomplete="one-time-code",
        hint=msgid("The six digits in the e-mail. Spaces do not matter."),
        attributes={"inputmode": "numeric", "dir": "ltr", "spellcheck": "false"},
        messages={"required": _NO_CODE},
    )


def _kept_secret(response: Response) -> Response:
    response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
    return response
