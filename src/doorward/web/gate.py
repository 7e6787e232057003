"""What stands between a request and its handler: body, session, sender, access, in this order."""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from doorward.kernel import strict_json
from doorward.kernel.api_key import PREFIX, find_api_key
from doorward.kernel.caller import Caller
from doorward.kernel.errors import (
    CsrfRefused,
    FieldError,
    Forbidden,
    InsufficientScope,
    Invalid,
    InvalidCredentials,
    Malformed,
    NotSignedIn,
    PasswordChangeRequired,
    Problem,
    RateLimited,
    ReauthenticationNeeded,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from doorward.kernel.instant import SECOND
from doorward.kernel.msgid import msgid
from doorward.kernel.secret import is_secret
from doorward.ports import Clock
from doorward.sql import purpose_of
from doorward.web import idempotency
from doorward.web.cookies import FORM_SECONDS, PREFERENCE_SECONDS, VISIT_SECONDS, Cookies
from doorward.web.csrf import FIELD, HEADER, STALE, Csrf, sent_by_browser
from doorward.web.forms import FormField
from doorward.web.origins import Site
from doorward.web.pages import Pages
from doorward.web.problems import oauth_response, problem_response
from doorward.web.routing import FORM, JSON, MERGE_PATCH, Access, Call, Operation, Preferences, SignedIn, redirect

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN = "admin"
THEMES = ("system", "light", "dark")
# Past the limit a body is read and thrown away up to here, so that a slow sender still hears the answer.
DRAIN_LIMIT = 32 * 1024 * 1024
MAX_FORM_FIELDS = 200
# Refusals that a form can show beside its fields and let the person try again.
_SHOWN_IN_FORM = (Invalid, InvalidCredentials, RateLimited, CsrfRefused, Unavailable, Malformed, PasswordChangeRequired)

Present = Callable[[str, str], Awaitable[SignedIn | None]]  # (transport, secret) -> live session
FindKey = Callable[[str, Caller], Awaitable[SignedIn | None]]  # (API key, who sends it) -> what it stands for
NoteLeak = Callable[[str, Caller], Awaitable[None]]  # an API key that was sent in an address
CarryOut = Callable[[], Awaitable[Response]]
Once = Callable[[SignedIn, Caller, str, bytes, CarryOut], Awaitable[Response]]  # see Idempotency.once
Keep = Callable[[str, str, bytes], Awaitable[None]]  # (session id, path, sealed fields) -> kept for a while
CONTINUE_PAGE = "/confirm/continue"
KEY_HEADER = "x-api-key"
_FOR_PROGRAMS = msgid("Tokens for programs are not accepted from a browser")
_IN_ADDRESS = msgid("Send an API key in a header: an address is kept in logs and histories. Replace that key now")


async def keep_nothing(_: str, __: str, ___: bytes) -> None:
    """Keep no form."""


async def no_key(_: str, __: Caller) -> None:
    """Know no API keys."""


async def note_nothing(_: str, __: Caller) -> None:
    """Write nothing down."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Turns a request into a Call or a refusal."""

    site: Site
    cookies: Cookies
    csrf: Csrf
    pages: Pages
    find_session: Present
    clock: Clock
    keep_form: Keep = keep_nothing
    find_key: FindKey = no_key
    note_leak: NoteLeak = note_nothing
    once: Once | None = None

    async def handle(
        self, operation: Operation, request: Request, caller: Caller, refusal: Problem | None = None
    ) -> Response:
        """Run one operation. Every Problem becomes an answer here.

        `refusal`: the answer, whoever asks and whatever proof they lack; a page then still knows who is signed in.
        """
        cookies = self.cookies.read(request.headers.get("cookie"))
        visit = cookies.get(self.cookies.visit) or secrets.token_urlsafe(24)
        preferences = self._preferences(request, cookies)
        caller = replace(caller, locale=preferences.locale)
        call = Call(request, caller, None, {}, cookies, preferences, self.csrf.token_for_visit(visit))
        try:
            # Each step keeps what it learnt, so that a refused form comes back with what was typed.
            call = replace(call, body=await _read(request, operation))
            await self._check_address(call)
            if refusal is not None:
                with suppress(Problem):
                    call = await self._identified(operation, call)
                raise refusal
            call = await self._identified(operation, call)
            _check_access(operation, call.session)
            if request.method not in SAFE and not operation.oauth:
                self._check_csrf(operation, call, request.headers)
            response = await self._carry_out(operation, call)
            self._check_session(operation, response)
        except Problem as problem:
            response = await self._refuse(operation, call, problem)
        if operation.is_page and operation.access is not Access.ANYONE and self.cookies.visit not in cookies:
            self.cookies.put(response, self.cookies.visit, visit, VISIT_SECONDS)
        return response

    def _check_session(self, operation: Operation, response: Response) -> None:
        """Let no operation give a session that does not say so: each that does is tested to ask for what is owed."""
        mark = f"{self.cookies.session}=".encode()
        gives = any(
            name == b"set-cookie" and value.startswith(mark) and not value.startswith((mark + b";", mark + b'""'))
            for name, value in response.raw_headers
        )
        if gives and not operation.session:
            message = f"{operation.method} {operation.path} gives a session and does not say so"
            raise RuntimeError(message)

    async def _carry_out(self, operation: Operation, call: Call) -> Response:
        given = call.request.headers.get(idempotency.HEADER)
        if given is None or self.once is None or call.session is None or not operation.takes_idempotency_key:
            return await operation.handler(call)
        condition = call.request.headers.get("if-match", "")
        url, body = call.request.url, msgspec.json.encode(call.body, order="deterministic")
        request = b"\0".join((f"{operation.method} {url.path}?{url.query}\0{condition}".encode(), body))
        return await self.once(call.session, call.caller, given, request, partial(operation.handler, call))

    async def _check_address(self, call: Call) -> None:
        """Raise Malformed when an API key stands in the address (C48; ASVS 14.2.1)."""
        if (leaked := find_api_key(call.request.url.query)) is not None:
            await self.note_leak(leaked, call.caller)
            raise Malformed(_IN_ADDRESS, reason="API key in the address")

    async def _identified(self, operation: Operation, call: Call) -> Call:
        session = None if operation.access is Access.ANYONE else await self._session(operation, call)
        if session is None:
            return call
        return replace(call, session=session, csrf_token=self.csrf.token_for_session(session.id))

    async def _session(self, operation: Operation, call: Call) -> SignedIn | None:
        authorization, key = (call.request.headers.get(name) for name in ("authorization", KEY_HEADER))
        if key is not None and not operation.is_page:
            if authorization is not None:
                raise NotSignedIn(reason="two credentials")
            return await self._key(operation, call, key.strip())
        scheme, _, secret = (authorization or "").partition(" ")
        # On pages any other scheme is that of a proxy in front; browsers send it along with our cookie. In the API even
        # an empty header counts: it takes the place of the cookie and of the CSRF token that goes with it.
        if authorization is not None and not (operation.is_page and scheme.lower() != "bearer"):
            return await self._bearer(operation, call, scheme, secret.strip())  # cookies are then ignored altogether
        token = call.cookies.get(self.cookies.session)
        return await self.find_session("cookie", token) if token else None

    async def _bearer(self, operation: Operation, call: Call, scheme: str, secret: str) -> SignedIn:
        if scheme.lower() != "bearer" or not secret:
            raise NotSignedIn(reason="authorization scheme is not bearer")
        if secret.startswith(PREFIX):
            return await self._key(operation, call, secret)
        session = await self.find_session("bearer", secret)
        if session is None:
            raise NotSignedIn(reason="bearer token is not live")
        if session.transport == "bearer" and sent_by_browser(call.request.headers):
            raise Forbidden(_FOR_PROGRAMS, reason="bearer from browser")
        return session

    async def _key(self, operation: Operation, call: Call, secret: str) -> SignedIn:
        if operation.is_page:
            raise NotSignedIn(reason="API keys open no pages")
        if sent_by_browser(call.request.headers):
            raise Forbidden(_FOR_PROGRAMS, reason="API key from browser")
        found = await self.find_key(secret, call.caller)
        if found is None:
            raise NotSignedIn(reason="API key is not live")
        return found

    def _check_csrf(self, operation: Operation, call: Call, headers: Mapping[str, str]) -> None:
        if ("authorization" in headers or KEY_HEADER in headers) and not operation.is_page:
            return  # no browser adds those headers by itself
        self.csrf.check_sender(headers)
        if operation.reads == FORM:
            self.csrf.check_token(call.csrf_token, call.form_text(FIELD), STALE)
        elif call.session is not None and not operation.claimant:
            self.csrf.check_token(call.csrf_token, headers.get(HEADER))

    def _preferences(self, request: Request, cookies: Mapping[str, str]) -> Preferences:
        theme = cookies.get("doorward-theme", "system")
        locale = self.pages.negotiate(request.headers.get("accept-language"), cookies.get("doorward-lang"))
        return Preferences(locale=locale, theme=theme if theme in THEMES else "system")

    async def _refuse(self, operation: Operation, call: Call, problem: Problem) -> Response:
        if not operation.is_page:
            return self._refuse_program(operation, call, problem)
        path = call.request.url.path
        if isinstance(problem, NotSignedIn):
            back = path if call.request.method in SAFE and operation.access is not Access.OPTIONAL else "/account"
            response = redirect(f"/sign-in?next={quote(back)}")
            # Where a ticket is missing and not a session, that one stays: else a link would sign people out.
            if self.cookies.session in call.cookies and call.session is None:
                self.cookies.drop(response, self.cookies.session)
            return response
        if isinstance(problem, ReauthenticationNeeded):
            return await self._ask_for_proof(call, path)
        if isinstance(problem, PasswordChangeRequired) and problem.token is not None:
            return redirect(f"/recovery/{problem.token}")
        # A body that cannot be read is refused before its sender is known; most forms are then nobody's to show.
        shown_to = call.session is not None or operation.access is not Access.SIGNED_IN
        if operation.again is not None and shown_to and isinstance(problem, _SHOWN_IN_FORM):
            with suppress(Problem):  # the form may need the database, which may be what is missing
                response = await operation.again(call, problem)
                response.status_code = problem.status
                response.headers.update(problem.headers)
                return response
        return self.error_page(call, problem)

    def _refuse_program(self, operation: Operation, call: Call, problem: Problem) -> Response:
        if operation.oauth:
            return oauth_response(problem)
        return problem_response(
            problem,
            public_url=self.site.public_url,
            instance=call.request.url.path,
            request_id=call.caller.request_id,
        )

    async def _ask_for_proof(self, call: Call, path: str) -> Response:
        """Whoever has proven anew who they are goes on to the page, or to the form that they were sending (UX-52).

        A form with a password in it is not kept; the pages that have one ask for the proof before they show it. A form
        is kept for the browser that sent it: a thief of the session must not have its owner send theirs.
        """
        fields = {name: value for name, value in call.body.items() if name != FIELD}
        has_secret = any(is_secret(name) and value for name, value in fields.items())
        if call.request.method in SAFE or call.session is None or has_secret:
            return redirect(f"/confirm?next={quote(path)}")
        browser = secrets.token_urlsafe(24)
        text = json.dumps({"browser": browser, "fields": fields}).encode()
        sealed = self.csrf.sealer.seal(text, purpose_of("kept_form", call.session.id))
        await self.keep_form(call.session.id, path, sealed)
        response = redirect(f"/confirm?next={quote(CONTINUE_PAGE)}")
        self.cookies.put(response, self.cookies.form, browser, FORM_SECONDS)
        return response

    def open_form(self, session_id: str, sealed: bytes, browser: str | None) -> Mapping[str, str] | None:
        """The fields of a form that was kept; None in another browser (by its cookie) than the one that sent it."""
        found: dict[str, Any] = json.loads(self.csrf.sealer.open(sealed, purpose_of("kept_form", session_id)))
        fields: Mapping[str, str] = found["fields"]
        return fields if hmac.compare_digest(found["browser"].encode(), (browser or "").encode()) else None

    def keep_preferences(self, response: Response, theme: str, locale: str) -> None:
        """Remember how this browser wants pages; unknown wishes are dropped."""
        for name, value, known in (
            ("doorward-theme", theme, THEMES),
            ("doorward-lang", locale, tuple(self.pages.locales)),
        ):
            if value in known:
                self.cookies.put(response, name, value, PREFERENCE_SECONDS)

    def error_page(self, call: Call, problem: Problem) -> Response:
        """The page for a refusal that no form can show."""
        return self.render(call, "error.html", problem.status, problem=problem, headers=problem.headers)

    def form(
        self,
        call: Call,
        template: str,
        fields: Sequence[FormField],
        problem: Problem | None,
        **context: Any,  # noqa: ANN401  templates take what they name
    ) -> Response:
        """Render a form; a problem goes into the summary on top and beside its field (UX-03)."""
        gettext = self.pages.gettext_for(call.preferences.locale)

        def said(message: str, params: Mapping[str, Any]) -> str:
            return gettext(message) % params if params else gettext(message)

        wrong = _field_errors(problem)
        shown = [
            replace(field, error=said(wrong[field.name].message, wrong[field.name].params))
            if field.name in wrong
            else field
            for field in fields
        ]
        names = {field.name for field in fields}
        errors = [(name if name in names else "", said(e.message, e.params)) for name, e in wrong.items()]
        if problem is not None and not errors:
            errors = [("", said(problem.message, problem.params))]
        wait = problem.retry_after_seconds if isinstance(problem, RateLimited | Unavailable) else None
        return self.render(
            call,
            template,
            fields=shown,
            errors=errors,
            retry_after_seconds=wait,
            retry_at=None if wait is None else self.clock.now() + wait * SECOND,
            **context,
        )

    def render(
        self,
        call: Call,
        template: str,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        **context: Any,  # noqa: ANN401  templates take what they name
    ) -> Response:
        """Render a page for this visitor."""
        if "problem" in context:
            problem: Problem = context["problem"]
            gettext = self.pages.gettext_for(call.preferences.locale)
            context["problem"] = {
                "status": problem.status,
                "title": gettext(problem.title),
                "detail": gettext(problem.message) % problem.params if problem.params else gettext(problem.message),
                "request_id": call.caller.request_id,
            }
        body = self.pages.render(
            template,
            locale=call.preferences.locale,
            theme=call.preferences.theme,
            user=None if call.session is None else {"name": call.session.name, "uid": call.session.uid},
            csrf_token=call.csrf_token,
            path=call.request.url.path,
            here=_here(call.request),
            **context,
        )
        return Response(body, status, headers, "text/html")


def _here(request: Request) -> str:
    """Where a visitor who changes the language comes back to: this page, not one that only takes a form."""
    query = request.url.query if request.method in SAFE and find_api_key(request.url.query) is None else ""
    return f"{request.url.path}?{query}" if query else request.url.path


def _field_errors(problem: Problem | None) -> dict[str, FieldError]:
    return {error.field: error for error in problem.errors} if isinstance(problem, Invalid) else {}


def _check_access(operation: Operation, session: SignedIn | None) -> None:
    if operation.access in {Access.SIGNED_IN, Access.ADMIN} and session is None:
        raise NotSignedIn
    if operation.access is Access.ADMIN and session is not None and ADMIN not in session.roles:
        raise Forbidden(reason="needs role admin")
    if session is not None and session.scopes is not None and session.scopes.isdisjoint(operation.scopes):
        raise InsufficientScope(operation.scopes)


async def _read(request: Request, operation: Operation) -> Mapping[str, Any]:
    """Read a body of the declared type; raises TooLarge, UnsupportedMediaType, Malformed."""
    body = await _bounded_body(request, operation.body_limit)
    if operation.reads is None or (not body and operation.method == "DELETE"):
        return {}
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the body without a content encoding")
    if operation.reads == FORM:
        return _form(media_type, body)
    if media_type.strip().lower() not in {JSON, MERGE_PATCH} or "utf-16" in parameters.lower():
        raise UnsupportedMediaType
    document = strict_json.loads(body)
    if not isinstance(document, dict):
        raise Malformed("Send one JSON object")
    return document


async def _bounded_body(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max(limit, DRAIN_LIMIT):
            break
        if size <= limit:
            chunks.append(chunk)
    if size > limit:
        raise TooLarge
    return b"".join(chunks)


def _form(media_type: str, body: bytes) -> Mapping[str, str]:
    if media_type.strip().lower() != FORM:
        raise UnsupportedMediaType("Send this as a form")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_FORM_FIELDS,
        )
    except ValueError as error:
        raise Malformed(reason="form is not decodable") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("A field is given twice")
    return fields
