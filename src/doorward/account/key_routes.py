"""The page of a member's keys for programs, and what its forms post to (UX-56)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from doorward.account.frame import Frame
from doorward.apikeys import DEFAULT_DAYS, LONGEST_DAYS, OVERLAP_HOURS, ApiKeys, Made, Scope, decode, read_form
from doorward.kernel.errors import Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import session_of
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Call, Operation, redirect

PAGE: Final = "/account/keys"
_DAYS: Final = (
    ("7", msgid("A week")),
    ("30", msgid("30 days")),
    (str(DEFAULT_DAYS), msgid("90 days")),
    ("180", msgid("180 days")),
    (str(LONGEST_DAYS), msgid("A year")),
)


@dataclass(frozen=True, slots=True)
class KeyPages:
    """Below /account/keys."""

    gate: Gate
    keys: ApiKeys
    frame: Frame

    def operations(self) -> Sequence[Operation]:
        """The page and its forms."""
        signed_in = Access.SIGNED_IN
        return (
            Operation("GET", PAGE, self.get_page, signed_in, "Your API keys"),
            Operation("POST", PAGE, self.post_page, signed_in, "Make an API key", reads=FORM, again=self.show),
            Operation(
                "POST", f"{PAGE}/{{id}}/rotate", self.post_rotate, signed_in, "Give an API key a new secret",
                reads=FORM, again=self.show_list,
            ),
            Operation(
                "POST", f"{PAGE}/{{id}}/delete", self.post_delete, signed_in, "Delete an API key", reads=FORM,
                again=self.show_list,
            ),
        )  # fmt: skip

    async def get_page(self, call: Call) -> Response:
        """What there is, and the form for a new one."""
        return await self.show(call, None)

    async def show(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was typed and what was wrong with it."""
        return await self._page(call, problem, call.body)

    async def show_list(self, call: Call, problem: Problem | None) -> Response:
        """The page, with what was wrong about a key."""
        return await self._page(call, problem, {})

    async def _page(self, call: Call, problem: Problem | None, typed: Mapping[str, str]) -> Response:
        session, now = session_of(call), self.gate.clock.now()
        keys = await self.keys.list_of(session.user_id)
        return self.gate.form(
            call,
            "keys.html",
            key_fields(typed, self.keys.most_per_minute),
            problem,
            keys=[(key, now >= key.expires_at, key.old_until is not None and now < key.old_until) for key in keys],
            scopes=scope_fields(typed, list(self.keys.scopes_for(session.roles).values())),
            **await self.frame.around(call, problem),
        )

    async def post_page(self, call: Call) -> Response:
        """Make one and show its secret, once."""
        session = session_of(call)
        body = read_form({name: value for name, value in call.body.items() if isinstance(value, str)})
        asked = decode(body, self.keys.scopes_for(session.roles), self.keys.most_per_minute)
        return await self._made(call, await self.keys.create(session, asked, call.caller))

    async def post_rotate(self, call: Call) -> Response:
        """Give one a new secret and show it, once."""
        made = await self.keys.rotate(
            session_of(call), call.path_id("id"), DEFAULT_DAYS, OVERLAP_HOURS, call.caller
        )  # fmt: skip
        return await self._made(call, made)

    async def _made(self, call: Call, made: Made) -> Response:
        around = await self.frame.around(call)
        return self.gate.render(call, "key_made.html", key=made.key, secret=made.secret, **around)

    async def post_delete(self, call: Call) -> Response:
        """End one, if its name was typed."""
        await self.keys.delete(session_of(call), call.path_id("id"), call.caller, call.form_text("confirm"))
        return redirect(f"{PAGE}?key-off=1")


def key_fields(typed: Mapping[str, str], most_per_minute: int) -> list[FormField]:
    """The fields of a new key, with what was typed."""
    return [
        FormField(
            "name", msgid("Name"), "text", value=typed.get("name", ""), required=True, autocomplete="off",
            hint=msgid("What uses it, such as: nightly report."), messages={"required": msgid("Give the key a name")},
        ),
        FormField(
            "days", msgid("It ends after"), "select", value=typed.get("days", str(DEFAULT_DAYS)), options=_DAYS,
            required=True,
        ),
        FormField(
            "networks", msgid("Only from these addresses"), "text", value=typed.get("networks", ""),
            autocomplete="off", hint=msgid("Addresses or networks such as 192.0.2.0/24. Empty: from anywhere."),
            attributes={"dir": "ltr", "spellcheck": "false", "autocapitalize": "off"},
        ),
        FormField(
            "per_minute", msgid("Requests a minute"), "number", value=typed.get("per_minute", ""), autocomplete="off",
            hint=msgid("At most %(maximum)s. Empty: as many as that."), params={"maximum": most_per_minute},
            attributes={"min": "1", "max": str(most_per_minute), "step": "1"},
        ),
    ]  # fmt: skip


def scope_fields(typed: Mapping[str, str], scopes: Sequence[Scope]) -> list[FormField]:
    """A tick-box for each thing that a key may do."""
    return [
        FormField(
            f"scope-{scope.name}", scope.description, "checkbox", value=typed.get(f"scope-{scope.name}", ""),
            attributes={"dir": "ltr"},
        )
        for scope in scopes
    ]  # fmt: skip
