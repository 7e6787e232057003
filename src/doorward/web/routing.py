"""The thin typed route layer: an operation says who may call it and what it reads; the gate keeps it to that.

Every operation declares its access, so forgetting it is a type error and the full route table can be tested. A handler
gets a `Call` that has passed every check, calls one service function and encodes what comes back. It contains no `try`:
whatever a service refuses travels as a `Problem` to the one translator.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from doorward.kernel.caller import Caller
from doorward.kernel.errors import Malformed, NotFound, NotSignedIn, Problem
from doorward.kernel.ids import is_id
from doorward.kernel.instant import Instant

BODY_LIMIT = 16 * 1024
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396
FORM = "application/x-www-form-urlencoded"


class Access(StrEnum):
    """Who may call an operation."""

    ANYONE = "anyone"  # a session, if there is one, is not looked at
    OPTIONAL = "optional"  # answers differ for those signed in
    SIGNED_IN = "signed in"
    ADMIN = "admin"


class SignedIn(Protocol):
    """A live session, as far as HTTP needs to know it. The sessions room fulfils it."""

    @property
    def id(self) -> str:
        """Public id of the session; the token is never kept."""
        ...

    @property
    def user_id(self) -> str:
        """Whose session it is."""
        ...

    @property
    def uid(self) -> str:
        """The user's handle."""
        ...

    @property
    def name(self) -> str:
        """The user's name."""
        ...

    @property
    def roles(self) -> tuple[str, ...]:
        """The user's roles at this moment."""
        ...

    @property
    def transport(self) -> str:
        """How the session travels: cookie or bearer; key, where it is none but an API key."""
        ...

    @property
    def scopes(self) -> frozenset[str] | None:
        """What it may do, where it is an API key; None: all that its user may."""
        ...

    @property
    def auth_time(self) -> Instant:
        """When the user last proved who they are."""
        ...


@dataclass(frozen=True, slots=True)
class Preferences:
    """How the visitor wants pages."""

    locale: str = "en"
    theme: str = "system"


@dataclass(frozen=True, slots=True)
class Call:
    """One request that has passed the gate."""

    request: Request
    caller: Caller
    session: SignedIn | None
    body: Mapping[str, Any]
    cookies: Mapping[str, str]
    preferences: Preferences
    csrf_token: str

    @property
    def signed_in(self) -> SignedIn:
        """The session; raises NotSignedIn when there is none."""
        if self.session is None:
            raise NotSignedIn
        return self.session

    def path(self, name: str) -> str:
        """A place in the path, as text."""
        return str(self.request.path_params[name])

    def path_id(self, name: str) -> str:
        """An id in the path; raises NotFound for what cannot be one."""
        return parse_id(self.path(name))

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters; raises Malformed when one is given twice (C44)."""
        pairs = self.request.query_params.multi_items()
        given = dict(pairs)
        if len(given) != len(pairs):
            raise Malformed("A parameter is given twice")
        return given

    def form_text(self, name: str) -> str:
        """A form field as text, empty when absent."""
        value = self.body.get(name, "")
        return value if isinstance(value, str) else ""


def parse_id(text: str) -> str:
    """What was sent as an id; raises NotFound for what cannot be one (RFC 9562 §4, as we write them)."""
    if not is_id(text):
        raise NotFound(reason="no id")
    return text


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]
Again: TypeAlias = Callable[[Call, Problem], Awaitable[Response]]
JsonSchema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One documented answer. `schema` None: no body, or not JSON."""

    description: str
    schema: JsonSchema | None = None
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path: who may call it, what it reads, who handles it, how it is documented."""

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    tag: str = ""  # empty: a page, not in the API description
    reads: str | None = None  # JSON or FORM
    body_schema: JsonSchema | None = None
    body_limit: int = BODY_LIMIT
    answers: Mapping[int, Answer] = field(default_factory=dict)
    parameters: Sequence[JsonSchema] = ()
    description: str = ""
    again: Again | None = None  # shows the form anew with what was wrong beside its field
    session: bool = False  # may give a browser a session, a new one or one with a new secret
    oauth: bool = False  # of OAuth: cookies lend it nothing, so it wants no CSRF token, and it refuses in OAuth's words
    cross_origin: bool = False  # scripts of registered apps may call it from their own pages (C41)
    shows_secret: bool = False  # its answer holds what is shown once, and kept by us as a digest at most
    scopes: tuple[str, ...] = ()  # any of them lets an API key in; empty: none may
    claimant: bool = False  # starts or recovers an account or a session: any present one lends no authority

    @property
    def takes_idempotency_key(self) -> bool:
        """Whether an answer of it may be kept for a sender who is not sure that the request arrived.

        None that gives a session or shows a secret: nobody is given either a second time, nor do we keep it.
        """
        once = self.session or self.claimant or self.shows_secret
        of_somebody = self.access in {Access.SIGNED_IN, Access.ADMIN} and not once
        return self.method in {"POST", "PATCH"} and self.reads == JSON and of_somebody

    @property
    def is_page(self) -> bool:
        """Whether it answers a person with HTML."""
        return not self.tag


_ENCODER = msgspec.json.Encoder()


def json_response(
    content: Any,  # noqa: ANN401  whatever JSON can say
    status: int = 200,
    *,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Encode an answer."""
    return Response(_ENCODER.encode(content), status, headers, media_type)


def no_content() -> Response:
    """Answer 204."""
    return Response(status_code=204)


def redirect(path: str) -> Response:
    """Answer 303, so that the browser fetches `path` with GET; `path` is ours (see `origins.local_path`)."""
    return Response(status_code=303, headers={"location": path})
