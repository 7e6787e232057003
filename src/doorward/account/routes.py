"""The hosted account pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from doorward.account.frame import Frame, notice
from doorward.account.service import ADMIN, CONFIRM_NEEDED, CURRENT_NEEDED, Account
from doorward.authenticators import new_password_field, password_field
from doorward.kernel.errors import FieldError, Invalid, NotFound, Problem
from doorward.kernel.instant import DAY
from doorward.kernel.msgid import msgid
from doorward.ports.places import Places
from doorward.sessions import SessionCookies, Sessions, describe, session_of
from doorward.users import LEAVING_DAYS, Directory, Schema
from doorward.web.forms import FormField
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import BODY_LIMIT, FORM, Access, Again, Call, Handler, Operation, redirect

PAGE_ROWS = 25

_PASSWORDS = {"current_password": CURRENT_NEEDED, "new_password": msgid("Enter a password")}


@dataclass(frozen=True, slots=True)
class AccountRoutes:
    """Home, profile, password, sessions, deletion, members, preferences."""

    gate: Gate
    account: Account
    sessions: Sessions
    cookies: SessionCookies
    directory: Directory
    schema: Schema
    directory_open: str
    frame: Frame
    places: Places

    def operations(self) -> Sequence[Operation]:
        """Every page of the room and what its forms post to."""

        def page(path: str, handler: Handler, title: str, access: Access = Access.SIGNED_IN) -> Operation:
            return Operation("GET", path, handler, access, title)

        def form(
            path: str,
            handler: Handler,
            title: str,
            again: Again | None = None,
            limit: int = BODY_LIMIT,
            *,
            session: bool = False,
        ) -> Operation:
            return Operation(
                "POST", path, handler, Access.SIGNED_IN, title, reads=FORM, again=again, body_limit=limit,
                session=session,
            )  # fmt: skip

        return (
            page("/", self.get_home, "Home", Access.OPTIONAL),
            page("/account", self.get_profile, "Your account"),
            form("/account/profile", self.post_profile, "Save your profile", self.show_profile, self.schema.body_limit),
            page("/account/password", self.get_password, "Password"),
            form("/account/password", self.post_password, "Change your password", self.show_password, session=True),
            page("/account/sessions", self.get_sessions, "Sessions"),
            form("/account/sessions/{id}/end", self.post_end, "End a session"),
            form("/account/sessions/end-others", self.post_end_others, "End all other sessions"),
            form("/account/sessions/end-all", self.post_end_all, "End all sessions, this one too"),
            page("/account/delete", self.get_delete, "Delete your account"),
            form("/account/delete", self.post_delete, "Delete your account", self.show_delete),
            page("/members", self.get_members, "Members"),
            Operation("POST", "/preferences", self.post_preferences, Access.OPTIONAL, "Language and theme", reads=FORM),
        )

    async def get_home(self, call: Call) -> Response:
        """The front page; someone signed in goes to their account."""
        if call.session is not None:
            return redirect("/account")
        return self.gate.render(call, "home.html", notice=notice(call, None))

    # Profile ----------------------------------------------------------------------------------------------------

    async def get_profile(self, call: Call) -> Response:
        """The profile form."""
        return await self.show_profile(call, None)

    async def show_profile(self, call: Call, problem: Problem | None) -> Response:
        """The profile as it is, or as it was just typed."""
        session = session_of(call)
        user = await self.account.find(session, session.user_id)
        fields = self.schema.form_fields("profile", user)
        if problem is not None:
            fields = [replace(field, value=call.form_text(field.name)) for field in fields]
        return self.gate.form(
            call,
            "profile.html",
            fields,
            problem,
            facts=[(fact["label"], fact["value"]) for fact in self.schema.facts(user)],
            email=user.email,
            upgrade=problem is None and await self.frame.steps.may_upgrade(session),
            **await self.frame.around(call, problem),
        )

    async def post_profile(self, call: Call) -> Response:
        """Save the profile."""
        session = session_of(call)
        body = self.schema.from_form(call.body, "profile")
        await self.account.update(session, session.user_id, body, call.caller)
        return redirect("/account?saved=1")

    # Password ---------------------------------------------------------------------------------------------------

    async def get_password(self, call: Call) -> Response:
        """The password form; whoever has to prove more than a password does so first, so that nothing typed is lost."""
        session = session_of(call)
        if session.has_factor or not await self.account.passwords.has_password(session.user_id):
            session.require_fresh(self.gate.clock.now())
        return await self.show_password(call, None)

    async def show_password(self, call: Call, problem: Problem | None) -> Response:
        """The form, and why a new password is wanted, if it is."""
        session = session_of(call)
        policy = self.account.passwords.policy
        has_password = await self.account.passwords.has_password(session.user_id)
        fields = [new_password_field(policy, "new_password", msgid("New password"))]
        if has_password:
            fields.insert(0, password_field("current_password", msgid("Current password")))
        wanted = await self.account.passwords.change_wanted(session.user_id)
        return self.gate.form(
            call,
            "password.html",
            fields,
            problem,
            change_wanted=wanted,
            has_password=has_password,
            **await self.frame.around(call, problem),
        )

    async def post_password(self, call: Call) -> Response:
        """Change the password."""
        session = session_of(call)
        typed = {name: call.form_text(name) for name in _PASSWORDS}
        has_password = await self.account.passwords.has_password(session.user_id)
        asked = {name: text for name, text in _PASSWORDS.items() if has_password or name != "current_password"}
        if missing := [FieldError(name, "required", text) for name, text in asked.items() if not typed[name]]:
            raise Invalid(missing)
        current, new = typed["current_password"], typed["new_password"]
        if has_password:
            token = await self.account.change_password(session, current, new, call.caller)
        else:
            token = await self.account.set_first_password(session, new, call.caller)
        response = redirect("/account/password?password=1")
        self.cookies.attach_token(response, session, token)
        return response

    # Sessions ---------------------------------------------------------------------------------------------------

    async def get_sessions(self, call: Call) -> Response:
        """Where the user is signed in."""
        current = session_of(call)
        rows = [
            {
                "id": session.id,
                "device": describe(session.user_agent),
                "address": session.address,
                "place": self.places.find(session.address, call.preferences.locale),
                "last_seen": session.last_seen_at,
                "created": session.created_at,
                "current": session.id == current.id,
            }
            for session in await self.sessions.list_of(current.user_id)
        ]
        return self.gate.render(call, "sessions.html", sessions=rows, **await self.frame.around(call))

    async def post_end(self, call: Call) -> Response:
        """End one session; one that is gone already is as good as ended."""
        session = session_of(call)
        if call.path_id("id") not in {other.id for other in await self.sessions.list_of(session.user_id)}:
            return redirect("/account/sessions?ended=1")
        await self.sessions.end(call.path_id("id"), session.user_id, call.caller)
        if call.path_id("id") == session.id:
            return self.cookies.detach(redirect("/sign-in"))
        return redirect("/account/sessions?ended=1")

    async def post_end_others(self, call: Call) -> Response:
        """End every session but this one."""
        session = session_of(call)
        await self.sessions.end_others(session.user_id, session.id, call.caller)
        return redirect("/account/sessions?others=1")

    async def post_end_all(self, call: Call) -> Response:
        """End every session, this one too."""
        await self.sessions.end_everywhere(session_of(call).user_id, call.caller)
        return self.cookies.detach(redirect("/"))

    # Deletion ---------------------------------------------------------------------------------------------------

    async def get_delete(self, call: Call) -> Response:
        """The deletion form."""
        return await self.show_delete(call, None)

    async def show_delete(self, call: Call, problem: Problem | None) -> Response:
        """What deletion means and when it comes about, and the form for whoever has just shown who they are."""
        session, now = session_of(call), self.gate.clock.now()
        confirm = FormField(
            "confirm",
            msgid("Type your username to confirm"),
            "text",
            value=call.form_text("confirm"),
            required=True,
            autocomplete="off",
            attributes={"autocapitalize": "off", "spellcheck": "false"},
            messages={"required": CONFIRM_NEEDED},
        )
        return self.gate.form(
            call,
            "delete.html",
            [confirm],
            problem,
            fresh=session.is_fresh(now),
            due_at=now + LEAVING_DAYS * DAY,
            days=LEAVING_DAYS,
            told=await self.account.is_told(session),
            **await self.frame.around(call, problem),
        )

    async def post_delete(self, call: Call) -> Response:
        """Delete the account."""
        await self.account.delete_by_name(session_of(call), call.form_text("confirm"), call.caller)
        return self.cookies.detach(redirect("/?left=1"))

    # Members ----------------------------------------------------------------------------------------------------

    async def get_members(self, call: Call) -> Response:
        """The directory as a page: a leaderboard when sorted by a sortable field."""
        session = session_of(call)
        if self.directory_open == "off" and ADMIN not in session.roles:
            raise NotFound(reason="directory is off")
        query = call.query
        sort = query.get("sort") or self.directory.default_sort
        page = await self.directory.page(
            sort=sort,
            limit=PAGE_ROWS,
            cursor=query.get("cursor"),
            viewer_id=session.user_id,
            admin=ADMIN in session.roles,
        )
        return self.gate.render(call, "members.html", members=page)

    async def post_preferences(self, call: Call) -> Response:
        """Keep language and theme in this browser, and for whoever is signed in the language of mails to them."""
        locale = call.form_text("lang")
        if call.session is not None and locale in self.gate.pages.locales:
            await self.account.speak(session_of(call), locale)
        response = redirect(local_path(call.form_text("return_to"), "/"))
        self.gate.keep_preferences(response, call.form_text("theme"), locale)
        return response
