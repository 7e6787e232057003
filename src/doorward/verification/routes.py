"""HTTP of what comes back: the page behind every link, the form for a code, the API."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from doorward.authenticators import PasswordPolicy, new_password_field
from doorward.confirmations import CODE_SECONDS, Completed, Confirmation, State
from doorward.kernel.errors import FieldError, Invalid, Problem, RateLimited
from doorward.kernel.instant import SECOND
from doorward.kernel.msgid import msgid
from doorward.sessions import NeedsStep, SessionCookies
from doorward.verification.model import Visitor
from doorward.verification.service import Verification
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.routing import FORM, JSON, Access, Answer, Call, Operation, json_response, redirect
from doorward.web.schemas import NEXT_STEP, STRING, problems, record

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # see kernel.ids.new_token
WAITING_PAGE: Final = "/verify"
RESEND_AFTER_SECONDS: Final = 30  # UX-30: what the page asks for; what is refused is in limits.toml
CONFIRMED: Final = "That worked"
SENT: Final = "If anything waits to be confirmed, we have sent a new code"
NOTICES: Final = {"sent": msgid("We have sent another e-mail. Its code takes the place of the earlier one.")}
_NO_CODE: Final = msgid("Enter the code from the e-mail")
_NO_PASSWORD: Final = msgid("Enter a password")
_GONE: Final[Mapping[State, int]] = {"used": 200, "void": 410, "expired": 410, "unknown": 404}
_CODE_TITLES: Final = {"sign_up": msgid("Check your inbox"), "email": msgid("Confirm your e-mail address")}


@dataclass(frozen=True, slots=True)
class VerificationRoutes:
    """Below /verify and /api/verifications."""

    gate: Gate
    verification: Verification
    cookies: SessionCookies
    policy: PasswordPolicy

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""
        return (
            Operation(
                "POST",
                "/api/verifications",
                self.post_verification,
                Access.OPTIONAL,
                "Confirm with a link or a code",
                "Verification",
                JSON,
                _SENT_BACK,
                answers={
                    200: Answer("Confirmed; a browser that had asked to sign up is signed in", _ANSWER),
                    **problems(400, 403, 415, 429, 503),
                },
                description="Send `token`, the last part of the link, or `code`. A code works only in the browser or "
                "the session that asked for it. A `token` sent from elsewhere needs a new `password` when it completes "
                "a sign-up, and starts no session there.",
                session=True,
            ),
            Operation(
                "POST",
                "/api/verifications/resend",
                self.post_resend,
                Access.OPTIONAL,
                "Send a newer code",
                "Verification",
                JSON,
                _RESEND,
                answers={202: Answer("Sent, if anything waits", _MESSAGE), **problems(400, 403, 415, 429, 503)},
                description="The earlier code no longer works; the link does. Wrong tries stay counted.",
            ),
            Operation("GET", WAITING_PAGE, self.get_waiting, Access.OPTIONAL, "Check your inbox"),
            Operation(
                "POST",
                WAITING_PAGE,
                self.post_code,
                Access.OPTIONAL,
                "Confirm with a code",
                reads=FORM,
                again=self.show_waiting,
                session=True,
            ),
            Operation(
                "POST",
                "/verify/resend",
                self.post_resend_page,
                Access.OPTIONAL,
                "Send a newer code",
                reads=FORM,
                again=self.show_waiting,
            ),
            Operation("GET", "/verify/{token}", self.get_link, Access.OPTIONAL, "Confirm"),
            Operation(
                "POST",
                "/verify/{token}",
                self.post_link,
                Access.OPTIONAL,
                "Confirm",
                reads=FORM,
                again=self.show_link,
                session=True,
            ),
        )

    # API --------------------------------------------------------------------------------------------------------

    async def post_verification(self, call: Call) -> Response:
        """Confirm with a token or a code."""
        sent = _decode(call.body, ("token", "code", "password", "purpose"))
        visitor = self._visitor(call)
        if ("token" in sent) == ("code" in sent):
            raise Invalid([FieldError("token", "required", msgid("Send either token or code"))])
        password = sent.get("password")
        if "token" in sent:
            completed = await self.verification.confirm_link(sent["token"], visitor, password, call.caller)
        else:
            found = await self.verification.waiting(visitor, sent.get("purpose"))
            completed = await self.verification.confirm_code(found, sent["code"], visitor, password, call.caller)
        outcome = completed.signed_in
        if isinstance(outcome, NeedsStep):
            return self._begun(call, self.cookies.answer(outcome, message=CONFIRMED, signed_in=False))
        response = json_response({"message": CONFIRMED, "signed_in": outcome is not None})
        if outcome is None:
            return response
        self.cookies.attach(response, outcome)
        return self._begun(call, response)

    async def post_resend(self, call: Call) -> Response:
        """Send a newer code; the answer is the same whether anything waits."""
        sent = _decode(call.body, ("purpose",))
        found = await self.verification.waiting(self._visitor(call), sent.get("purpose"))
        await self.verification.resend(found, call.caller)
        return json_response({"message": SENT}, 202)

    # The browser that asked -------------------------------------------------------------------------------------

    async def get_waiting(self, call: Call) -> Response:
        """The form for a code; a link whose token came as a parameter goes to its own page."""
        token = call.query.get("token")
        if token is not None and _TOKEN.fullmatch(token):  # nothing else is sent back, wherever it came from
            return redirect(f"{WAITING_PAGE}/{token}")
        return await self.show_waiting(call, None)

    async def show_waiting(self, call: Call, problem: Problem | None) -> Response:
        """Where the mail went, how long its code works, and the form for it."""
        found = await self.verification.waiting_at_verify(self._visitor(call))
        if found is None:
            return self.gate.form(call, "nothing_waits.html", [], problem)
        return self.gate.form(
            call,
            "verify_code.html",
            [_code_field()],
            problem,
            notice=None if problem is not None else NOTICES.get("sent" if "sent" in call.query else ""),
            title=_CODE_TITLES.get(found.purpose, _CODE_TITLES["email"]),
            address=found.target,
            is_new=found.purpose == "sign_up",
            code_until=found.code_expires_at,
            link_until=found.expires_at,
            is_code_over=self.gate.clock.now() >= found.code_expires_at,
            resend_seconds=0 if isinstance(problem, RateLimited) else self._resend_seconds(found),
        )

    async def post_code(self, call: Call) -> Response:
        """Confirm with the code."""
        code = call.form_text("code").strip()
        if not code:
            raise Invalid([FieldError("code", "required", _NO_CODE)])
        visitor = self._visitor(call)
        found = await self.verification.waiting_at_verify(visitor)
        completed = await self.verification.confirm_code(found, code, visitor, None, call.caller)
        return self._page(call, completed)

    async def post_resend_page(self, call: Call) -> Response:
        """Send a newer code."""
        found = await self.verification.waiting_at_verify(self._visitor(call))
        await self.verification.resend(found, call.caller)
        return redirect(f"{WAITING_PAGE}?sent=1")

    # Whoever follows the link -----------------------------------------------------------------------------------

    async def get_link(self, call: Call) -> Response:
        """One button. Nothing is used up: mail scanners follow every link (C23)."""
        return await self.show_link(call, None)

    async def show_link(self, call: Call, problem: Problem | None) -> Response:
        """The button, with a field for a new password where one is needed; or why the link no longer works."""
        state, found = await self.verification.look(call.path("token"))
        if found is None or state != "live":
            response = self.gate.render(call, "verify_over.html", _GONE[state], state=state, is_new=_is_new(found))
        else:
            fields = []
            if self.verification.needs_password(found, self._visitor(call)):
                fields.append(new_password_field(self.policy, label=msgid("New password")))
            response = self.gate.form(
                call,
                "verify_link.html",
                fields,
                problem,
                address=found.target,
                is_new=_is_new(found),
                facts=_typed(found),
            )
        return _kept_secret(response)

    async def post_link(self, call: Call) -> Response:
        """Use the link."""
        password = call.form_text("password")
        completed = await self.verification.confirm_link(call.path("token"), self._visitor(call), password, call.caller)
        return _kept_secret(self._page(call, completed))

    # ------------------------------------------------------------------------------------------------------------

    def _visitor(self, call: Call) -> Visitor:
        names = self.gate.cookies
        session_id = None if call.session is None else call.session.id
        return Visitor(call.cookies.get(names.pending), session_id, call.cookies.get(names.session))

    def _page(self, call: Call, completed: Completed) -> Response:
        if completed.signed_in is None:
            return redirect(completed.path)
        return self._begun(call, self.cookies.redirect(completed.signed_in, completed.path))

    def _begun(self, call: Call, response: Response) -> Response:
        if self.gate.cookies.pending in call.cookies:
            self.gate.cookies.drop(response, self.gate.cookies.pending)
        return response

    def _resend_seconds(self, found: Confirmation) -> int:
        sent_at = found.code_expires_at - CODE_SECONDS * SECOND
        return max(0, RESEND_AFTER_SECONDS - (self.gate.clock.now() - sent_at) // SECOND)


def _is_new(found: Confirmation | None) -> bool:
    return found is not None and found.purpose == "sign_up"


def _typed(found: Confirmation) -> Sequence[tuple[str, str]]:
    """What whoever began a sign-up chose, labelled: it may have been a stranger, so its owner sees it first."""
    if not _is_new(found):
        return ()
    labelled = ((msgid("Name"), found.payload["name"]), (msgid("Username"), found.payload["uid"]))
    return [(label, value) for label, value in labelled if value]


def _kept_secret(response: Response) -> Response:
    response.headers["referrer-policy"] = "no-referrer"  # the path is the secret
    return response


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


def _decode(body: Mapping[str, Any], known: Sequence[str]) -> dict[str, str]:
    """Texts of a body, none of which must be there. Raises Invalid naming what is no text or has no business here."""
    errors = [FieldError(_shown(name), "unknown_field", _UNKNOWN) for name in body if name not in known]
    given = {name: body[name] for name in known if body.get(name) is not None}
    errors += [FieldError(name, "wrong_type", _NOT_TEXT) for name, value in given.items() if not isinstance(value, str)]
    if errors:
        raise Invalid(errors)
    return given


def _shown(name: str) -> str:
    # A name may be anything: half a character in it would spoil the answer.
    return name[:_NAME_SHOWN].encode("utf-8", "replace").decode()


_UNKNOWN: Final = msgid("This field is not known here")
_NOT_TEXT: Final = msgid("This must be text")
_NAME_SHOWN: Final = 80
_PURPOSE = {"enum": ["sign_up", "email", "phone", "sign_in"], "description": "Which, when several wait."}
_SENT_BACK = record(
    {"token": STRING, "code": STRING, "password": {"type": "string", "format": "password"}, "purpose": _PURPOSE},
    optional=("token", "code", "password", "purpose"),
    strict=True,
)
_RESEND = record({"purpose": _PURPOSE}, optional=("purpose",), strict=True)
_MESSAGE = record({"message": STRING})
_ANSWER = record(
    {
        "message": STRING,
        "signed_in": {"type": "boolean"},
        **{name: schema for name, schema in NEXT_STEP["properties"].items() if name != "message"},
    },
    optional=("next", "kinds", "expires_at", "ticket"),
)
