"""The users API: directory and leaderboard, one user, oneself."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from doorward.account.service import ADMIN, Account
from doorward.kernel.errors import FieldError, Forbidden, Invalid, NotFound
from doorward.kernel.msgid import msgid
from doorward.sessions import Session, SessionCookies, session_of
from doorward.users import LEAVING_DAYS, Directory, Schema, User, Viewer
from doorward.web.conditions import IF_MATCH, etag, read_if_match
from doorward.web.gate import Gate
from doorward.web.routing import JSON, Access, Answer, Call, JsonSchema, Operation, json_response, no_content
from doorward.web.schemas import STRING, problems, record

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_ID: JsonSchema = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
PAGING: Sequence[JsonSchema] = (
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    },
    {"name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "`next_cursor` of the page before."},
)
_LIST_PARAMETERS: Sequence[JsonSchema] = (
    {
        "name": "sort",
        "in": "query",
        "schema": {"type": "string"},
        "example": "-coins",
        "description": "A sortable field; a leading minus turns the order round. Ranks come with it, ties share one.",
    },
    *PAGING,
)
_PASSWORD_FIELDS = ("current_password", "new_password")
_PASSWORD_BODY: JsonSchema = {
    "type": "object",
    "required": ["new_password"],
    "properties": {name: {"type": "string", "format": "password"} for name in _PASSWORD_FIELDS},
    "additionalProperties": False,
}
_DELETE_BODY: JsonSchema = {
    "type": "object",
    "properties": {"password": {"type": "string", "format": "password"}},
    "additionalProperties": False,
}
_ABOUT_OWN_END = (
    f"Needs a password given in the body, or an authentication of the last ten minutes. Every session ends at once and "
    f"nobody sees you any more; the account is erased after {LEAVING_DAYS} days. Signing in before then brings it back."
)


@dataclass(frozen=True, slots=True)
class UsersApi:
    """JSON over users, for members; each answer holds only what its reader may see."""

    gate: Gate
    account: Account
    directory: Directory
    schema: Schema
    cookies: SessionCookies
    directory_open: str  # members | public | off

    def operations(self) -> Sequence[Operation]:
        """Every operation under /api/users but sign-up and sign-in."""
        user = Answer("The user, as far as the caller may see", self.schema.json_schema("user"))
        bodies = {"PATCH": self.schema.json_schema("patch"), "PUT": self.schema.json_schema("update")}
        reading = Access.OPTIONAL if self.directory_open == "public" else Access.SIGNED_IN
        written = {200: user, **problems(400, 401, 403, 412, 413, 415, 429, 503)}
        others_written = {**written, **problems(404)}
        merge = (
            "Fields that are absent stay as they are. `id` may be sent when it equals the path. Another `email` needs "
            "an authentication of the last ten minutes and counts once it is proven: see POST /api/users/{id}/email. "
            'PATCH adds to a whole number that is sent as {"increment": 5}.'
        )
        return (
            Operation(
                "GET",
                "/api/users",
                self.get_users,
                reading,
                "Members' directory and leaderboard",
                "Users",
                answers={200: Answer("One page", self.schema.json_schema("page")), **problems(400, 401)},
                parameters=_LIST_PARAMETERS,
                scopes=("users:read",),
            ),
            Operation(
                "GET",
                "/api/users/me",
                self.get_me,
                Access.SIGNED_IN,
                "Yourself",
                "Users",
                answers={200: user, **problems(401)},
                scopes=("profile:read",),
            ),
            *(
                Operation(
                    method,
                    "/api/users/me",
                    self.put_me,
                    Access.SIGNED_IN,
                    "Change yourself",
                    "Users",
                    JSON,
                    bodies[method],
                    self.schema.body_limit,
                    written,
                    (IF_MATCH,),
                    merge,
                    scopes=("profile:write",),
                )
                for method in ("PATCH", "PUT")
            ),
            Operation(
                "DELETE",
                "/api/users/me",
                self.delete_me,
                Access.SIGNED_IN,
                "Delete yourself",
                "Users",
                JSON,
                _DELETE_BODY,
                answers={
                    204: Answer(f"Deleted: out at once, erased after {LEAVING_DAYS} days"),
                    **problems(401, 403, 409, 412, 429),
                },
                parameters=(IF_MATCH,),
                description=_ABOUT_OWN_END,
            ),
            Operation(
                "PUT",
                "/api/users/me/password",
                self.put_password,
                Access.SIGNED_IN,
                "Change your password",
                "Users",
                JSON,
                _PASSWORD_BODY,
                answers={
                    200: Answer("Changed; the new secret of a program's session", record({"token": STRING})),
                    204: Answer("Changed; every other session has ended"),
                    **problems(400, 401, 403, 429, 503),
                },
                description="This session gets a new secret: by cookie, or as `token` with status 200 for programs. "
                "Whoever has a second factor needs an authentication of the last ten minutes with it. So does whoever "
                "has no password yet: they alone leave `current_password` out.",
                session=True,
            ),
            Operation(
                "GET",
                "/api/users/{id}",
                self.get_user,
                reading,
                "One user",
                "Users",
                answers={200: user, **problems(401, 404)},
                parameters=(_ID,),
                scopes=("users:read",),
            ),
            *(
                Operation(
                    method,
                    "/api/users/{id}",
                    self.put_user,
                    Access.SIGNED_IN,
                    "Change a user",
                    "Users",
                    JSON,
                    bodies[method],
                    self.schema.body_limit,
                    others_written,
                    (_ID, IF_MATCH),
                    merge,
                    scopes=("users:write", "profile:write"),
                )
                for method in ("PATCH", "PUT")
            ),
            Operation(
                "DELETE",
                "/api/users/{id}",
                self.delete_user,
                Access.SIGNED_IN,
                "Delete a user",
                "Users",
                JSON,
                _DELETE_BODY,
                answers={204: Answer("Deleted"), **problems(401, 403, 404, 409, 412, 429)},
                parameters=(_ID, IF_MATCH),
                description=f"An administrator erases anybody else at once. Your own account: {_ABOUT_OWN_END}",
            ),
        )

    async def get_users(self, call: Call) -> Response:
        """One page of the directory."""
        if self.directory_open == "off" and (call.session is None or ADMIN not in call.session.roles):
            raise Forbidden(reason="directory is off")
        query = call.query
        page = await self.directory.page(
            sort=query.get("sort"),
            limit=read_limit(query.get("limit")),
            cursor=query.get("cursor"),
            viewer_id=None if call.session is None else call.session.user_id,
            admin=call.session is not None and ADMIN in call.session.roles,
        )
        return json_response(page.as_json())

    async def get_user(self, call: Call) -> Response:
        """One user, with what the caller may see."""
        if call.session is None:
            user = await self.account.users.find(call.path_id("id"))
            if user is None or user.status != "active":
                raise NotFound
            return json_response(self.schema.visible(user, "public"), headers=etag(user.version))
        if (
            self.directory_open == "off"
            and call.path_id("id") != call.session.user_id
            and ADMIN not in call.session.roles
        ):
            raise NotFound(reason="directory is off")
        return self._answer(call, await self.account.find(session_of(call), call.path_id("id")))

    async def get_me(self, call: Call) -> Response:
        """Oneself."""
        session = session_of(call)
        return self._answer(call, await self.account.find(session, session.user_id))

    async def put_user(self, call: Call) -> Response:
        """Change a record; own, or anybody's for an administrator."""
        return await self._put(call, call.path_id("id"))

    async def put_me(self, call: Call) -> Response:
        """Change one's own record."""
        return await self._put(call, session_of(call).user_id)

    async def _put(self, call: Call, user_id: str) -> Response:
        versions = read_if_match(call.request.headers)
        by_patch = call.request.method == "PATCH"  # PUT may be repeated, and adds nothing
        user = await self.account.update(
            session_of(call), user_id, call.body, call.caller, versions, may_increment=by_patch
        )
        return self._answer(call, user)

    async def delete_user(self, call: Call) -> Response:
        """Delete a record."""
        return await self._delete(call, call.path_id("id"))

    async def delete_me(self, call: Call) -> Response:
        """Delete one's own record."""
        return await self._delete(call, session_of(call).user_id)

    async def put_password(self, call: Call) -> Response:
        """Change one's own password."""
        session = session_of(call)
        errors = [
            FieldError(name, "unknown_field", msgid("This field is not known here"))
            for name in call.body
            if name not in _PASSWORD_FIELDS
        ]
        current, new = (call.body.get(name) for name in _PASSWORD_FIELDS)
        is_first = current is None and not await self.account.passwords.has_password(session.user_id)
        errors += [
            FieldError(name, "required", msgid("Enter a password"))
            for name in _PASSWORD_FIELDS
            if not isinstance(call.body.get(name), str) and not (is_first and name == "current_password")
        ]
        if errors or not isinstance(new, str):
            raise Invalid(errors)
        if isinstance(current, str):
            token = await self.account.change_password(session, current, new, call.caller)
        else:
            token = await self.account.set_first_password(session, new, call.caller)
        response = no_content() if session.transport == "cookie" else json_response({"token": token})
        self.cookies.attach_token(response, session, token)
        return response

    async def _delete(self, call: Call, user_id: str) -> Response:
        session = session_of(call)
        unknown = [
            FieldError(name, "unknown_field", msgid("This field is not known here"))
            for name in call.body
            if name != "password"
        ]
        password = call.body.get("password")
        if password is not None and not isinstance(password, str):
            unknown.append(FieldError("password", "wrong_type", msgid("This must be text")))
        if unknown:
            raise Invalid(unknown)
        versions = read_if_match(call.request.headers)
        await self.account.delete(session, user_id, password, call.caller, versions)
        return self.cookies.detach(no_content()) if user_id == session.user_id else no_content()

    def _answer(self, call: Call, user: User) -> Response:
        return json_response(self.schema.visible(user, _viewer(session_of(call), user.id)), headers=etag(user.version))


def _viewer(session: Session, user_id: str) -> Viewer:
    """As whom the caller reads; a key that may not read what is asked for is shown what every member is."""

    def may(scope: str) -> bool:
        return session.scopes is None or scope in session.scopes

    if ADMIN in session.roles and may("users:read"):
        return "admin"
    return "self" if user_id == session.user_id and may("profile:read") else "member"


def read_limit(text: str | None) -> int:
    """How many rows a query asks for. Raises Invalid naming `limit`."""
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT):
        raise Invalid(
            [FieldError("limit", "out_of_range", "Choose a number from 1 to %(maximum)s", {"maximum": MAX_LIMIT})]
        )
    return int(text)
