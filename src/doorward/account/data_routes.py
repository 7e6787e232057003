"""HTTP of a user's own copy of their data."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from doorward.account.export import Archive, Export
from doorward.account.frame import Frame
from doorward.kernel.errors import Problem
from doorward.sessions import session_of
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Answer, Call, Operation, redirect
from doorward.web.schemas import problems

ZIP = "application/zip"
_PAGE = "/account/data"


@dataclass(frozen=True, slots=True)
class DataRoutes:
    """The page that says what is in it, its button, and the same for programs."""

    gate: Gate
    export: Export
    frame: Frame

    def operations(self) -> Sequence[Operation]:
        """Every operation on one's own data as a whole."""
        return (
            Operation("GET", _PAGE, self.get_data, Access.SIGNED_IN, "Your data"),
            # Where a browser comes back to after it was asked to prove anew who it is.
            Operation("GET", "/account/export", self.get_export, Access.SIGNED_IN, "Your data"),
            Operation(
                "POST", "/account/export", self.post_export, Access.SIGNED_IN, "Download your data", reads=FORM,
                again=self.show_data,
            ),
            Operation(
                "POST", "/api/users/me/export", self.post_api, Access.SIGNED_IN, "Download your data", "Users",
                answers={200: Answer("A ZIP of JSON and files", {}, ZIP), **problems(401, 403, 429)},
                description="Everything that is kept of you, as JSON and files; README.txt in it says what is where. "
                "Needs an authentication of the last ten minutes.",
            ),
        )  # fmt: skip

    async def get_data(self, call: Call) -> Response:
        """What is in it, and the button."""
        return await self.show_data(call, None)

    async def show_data(self, call: Call, problem: Problem | None) -> Response:
        """The page, with why there is none now."""
        return self.gate.form(
            call,
            "data.html",
            (),
            problem,
            parts=[part.about for part in self.export.parts],
            fresh=session_of(call).is_fresh(self.gate.clock.now()),
            **await self.frame.around(call, problem),
        )

    async def get_export(self, call: Call) -> Response:
        """Only a form of ours asks for the ZIP."""
        session_of(call)
        return redirect(_PAGE)

    async def post_export(self, call: Call) -> Response:
        """The ZIP, for a browser to keep."""
        return _download(await self._make(call))

    async def post_api(self, call: Call) -> Response:
        """The ZIP, for a program."""
        return _download(await self._make(call))

    async def _make(self, call: Call) -> Archive:
        return await self.export.make(session_of(call), call.caller, self.gate.pages.gettext_for(call.caller.locale))


def _download(archive: Archive) -> Response:
    headers = {"content-disposition": f'attachment; filename="{archive.filename}"'}
    return Response(archive.content, headers=headers, media_type=ZIP)
