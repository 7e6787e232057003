"""The page of a member's second factors and passkeys, and what its forms post to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote

from starlette.responses import Response

from doorward.account.frame import Frame
from doorward.account.steps import Changed, Steps
from doorward.authenticators import PASSKEY, RECOVERY, TOTP, Bound, code_field, qr_of, recovery_codes_left
from doorward.kernel.errors import Problem
from doorward.kernel.instant import SECOND
from doorward.kernel.msgid import msgid
from doorward.sessions import SessionCookies, session_of
from doorward.web.cookies import GOING_ON_SECONDS
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import FORM, Access, Again, Call, Handler, Operation, redirect

PAGE: Final = "/account/security"
APP_PAGE: Final = f"{PAGE}/app"
_SHOWN_CODES: Final = 1_000  # characters of what a form sends back to be shown again
_CREDENTIAL_LIMIT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class StepPages:
    """Below /account/security. `asking`: the path where apps ask for more than somebody has shown."""

    gate: Gate
    steps: Steps
    cookies: SessionCookies
    frame: Frame
    asking: str

    def operations(self) -> Sequence[Operation]:
        """Every page and form."""

        def form(
            path: str, handler: Handler, title: str, again: Again | None = None, *, session: bool = False
        ) -> Operation:
            return Operation(
                "POST", path, handler, Access.SIGNED_IN, title, reads=FORM, again=again, session=session,
                body_limit=_CREDENTIAL_LIMIT,
            )  # fmt: skip

        return (
            Operation("GET", PAGE, self.get_page, Access.SIGNED_IN, "Second step and passkeys"),
            form(APP_PAGE, self.post_app, "Set up an authenticator app", self.show),
            Operation("GET", APP_PAGE, self.get_app, Access.SIGNED_IN, "Set up an authenticator app"),
            form(f"{APP_PAGE}/confirm", self.post_app_confirm, "Turn the app on", self.show_app, session=True),
            form(f"{PAGE}/passkeys", self.post_passkey, "Add a passkey", self.show, session=True),
            form(f"{PAGE}/sent", self.post_sent, "Have codes sent", self.show),
            form(f"{PAGE}/codes", self.post_codes, "Make recovery codes", self.show),
            form(f"{PAGE}/codes/confirm", self.post_codes_confirm, "Keep recovery codes", self.show_codes),
            form(f"{PAGE}/{{id}}/rename", self.post_rename, "Rename", self.show),
            form(f"{PAGE}/{{id}}/remove", self.post_remove, "Remove", self.show),
            # https://www.w3.org/TR/passkey-endpoints/ (UX-28)
            Operation(
                "GET", "/.well-known/passkey-endpoints", self.get_well_known, Access.ANYONE, "Where to manage passkeys"
            ),
        )

    async def get_page(self, call: Call) -> Response:
        """What one has and could have. `next`: where somebody goes on who is here because an app asks for more."""
        response = await self.show(call, None)
        asked, cookie = self._path_to_app(call.query.get("next")), self.gate.cookies.going_on
        if asked:
            self.gate.cookies.put(response, cookie, quote(asked, safe=""), GOING_ON_SECONDS)
        elif cookie in call.cookies and session_of(call).aal > 1:
            self.gate.cookies.drop(response, cookie)  # the way on is on this page, and of no use later
        return response

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was wrong."""
        session = session_of(call)
        own = await self.steps.overview(session)
        by_kind = {one.kind: one for one in own.bound}
        passkeys = [one for one in own.bound if one.kind == PASSKEY]
        codes = by_kind.get(RECOVERY)
        return self.gate.form(
            call,
            "security.html",
            [],
            problem,
            own=own,
            passkeys=passkeys,
            app=by_kind.get(TOTP),
            text=by_kind.get("sms_code"),
            mail=by_kind.get("email_code"),
            codes=codes,
            codes_left=0 if codes is None else recovery_codes_left(codes),
            fresh=session.is_fresh(self.gate.clock.now()),
            signal=await self._signal(call, passkeys),
            going_on=self._going_on(call),
            is_enough=session.aal > 1,
            **await self.frame.around(call, problem),
        )

    def _going_on(self, call: Call) -> str:
        kept = unquote(call.cookies.get(self.gate.cookies.going_on, ""))
        return self._path_to_app(call.request.query_params.get("next")) or self._path_to_app(kept)

    def _path_to_app(self, path: str | None) -> str:
        """The path of an app's request; empty for any other, which nobody was sent here from."""
        found = local_path(path, "")
        return found if found.startswith(f"{self.asking}?") else ""

    async def _signal(self, call: Call, passkeys: Sequence[Bound]) -> Mapping[str, Any] | None:
        """What tells password managers which passkeys are still good, after something has changed (UX-29)."""
        if not any(name in call.request.query_params for name in ("removed-key", "renamed")):
            return None
        return {
            "rp_id": self.steps.factors.party.id,
            "user_id": await self.steps.binding.shown_handle(session_of(call).user_id),
            "credentials": json.dumps([one.secret["credential_id"] for one in passkeys]),
        }

    # Authenticator apps -----------------------------------------------------------------------------------------

    async def post_app(self, call: Call) -> Response:
        """Make a key for an app."""
        await self.steps.offer_app(session_of(call))
        return redirect(APP_PAGE)

    async def get_app(self, call: Call) -> Response:
        """The key and the field for the first code."""
        return await self.show_app(call, None)

    async def show_app(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was wrong; the page of everything when there is no key any more."""
        offer = await self.steps.offered_app(session_of(call))
        if offer is None:
            return redirect(PAGE) if problem is None else await self.show(call, problem)
        around = await self.frame.around(call, problem)
        return self.gate.form(
            call, "app.html", [code_field(TOTP)], problem, offer=offer, qr=await qr_of(offer.uri), **around
        )

    async def post_app_confirm(self, call: Call) -> Response:
        """Turn it on."""
        changed = await self.steps.bind(session_of(call), TOTP, call.form_text("code"), call.caller)
        return self._changed(call, changed, "app-on")

    # Passkeys ---------------------------------------------------------------------------------------------------

    async def post_passkey(self, call: Call) -> Response:
        """Bind what the browser has made."""
        session = session_of(call)
        changed = await self.steps.bind(session, PASSKEY, call.form_text("credential"), call.caller)
        return self._changed(call, changed, "passkey-on")

    async def get_well_known(self, _: Call) -> Response:
        """Where password managers send people who want a passkey, or to look after theirs."""
        url = self.gate.site.public_url
        content = json.dumps({"enroll": f"{url}{PAGE}", "manage": f"{url}{PAGE}"})
        return Response(content, media_type="application/json")

    # Codes that we send -----------------------------------------------------------------------------------------

    async def post_sent(self, call: Call) -> Response:
        """Turn text messages or mails on."""
        changed = await self.steps.bind(session_of(call), call.form_text("kind"), None, call.caller)
        return self._changed(call, changed, "sent-on")

    # Recovery codes ---------------------------------------------------------------------------------------------

    async def post_codes(self, call: Call) -> Response:
        """Make them and show them, once."""
        codes = await self.steps.offer_codes(session_of(call), call.caller)
        return await self._show_codes(call, codes, None)

    async def show_codes(self, call: Call, problem: Problem | None) -> Response:
        """The same codes again, as the form sent them back: we have only their digests."""
        return await self._show_codes(call, call.form_text("recovery_codes")[:_SHOWN_CODES].split(), problem)

    async def _show_codes(self, call: Call, codes: Sequence[str], problem: Problem | None) -> Response:
        today = datetime.fromtimestamp(self.gate.clock.now() // SECOND, UTC).date().isoformat()
        return self.gate.form(
            call,
            "codes.html",
            [_one_of_them(call.form_text("code")), _kept(call.form_text("kept"))],
            problem,
            codes=codes,
            filename=f"recovery-codes-{today}.txt",
            day=today,
            **await self.frame.around(call, problem),
        )

    async def post_codes_confirm(self, call: Call) -> Response:
        """Put them in the place of the old ones."""
        kept = call.form_text("kept") == "true"
        changed = await self.steps.bind(
            session_of(call), RECOVERY, call.form_text("code"), call.caller, kept=kept
        )  # fmt: skip
        return self._changed(call, changed, "codes-on")

    # Changing ---------------------------------------------------------------------------------------------------

    async def post_rename(self, call: Call) -> Response:
        """Call one something else."""
        await self.steps.rename(session_of(call), call.path_id("id"), call.form_text("label"), call.caller)
        return redirect(f"{PAGE}?renamed=1")

    async def post_remove(self, call: Call) -> Response:
        """Remove one."""
        await self.steps.remove(session_of(call), call.path_id("id"), call.caller)
        return redirect(f"{PAGE}?removed-key=1")

    def _changed(self, call: Call, changed: Changed, notice: str) -> Response:
        response = redirect(f"{PAGE}?{notice}=1")
        if changed.token is not None:
            self.cookies.attach_token(response, session_of(call), changed.token)
        return response


def _one_of_them(typed: str) -> FormField:
    return FormField(
        "code",
        msgid("One of the codes"),
        "text",
        value=typed,
        hint=msgid("To make sure that you have them: enter any one. It stays good."),
        autocomplete="off",
        attributes={"dir": "ltr", "spellcheck": "false", "autocapitalize": "off"},
    )


def _kept(ticked: str) -> FormField:
    return FormField("kept", msgid("Or: I have kept them"), "checkbox", value=ticked)
