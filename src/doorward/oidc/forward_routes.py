"""HTTP of forward authentication. All of it but the last page is reached by way of a proxy, at the host of an app."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import structlog
from starlette.responses import Response

from doorward.kernel.errors import Forbidden, Malformed, NotSignedIn
from doorward.kernel.ids import new_token
from doorward.kernel.msgid import msgid
from doorward.oidc.forward import START_SECONDS, Forward, Lost, Sender
from doorward.oidc.model import PROXY_CALLBACK, Client, is_verifier
from doorward.web.cookies import Cookies
from doorward.web.gate import Gate
from doorward.web.origins import local_path
from doorward.web.routing import Access, Answer, Call, Operation
from doorward.web.schemas import problems

BASE: Final = "/forward-auth/{client_id}"
_TAG: Final = "Forward authentication"
_VISIBLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_WHY: Final = {
    "lost": msgid("That took too long, or it began in another browser. Go back to the app and try again."),
    "role": msgid("Your account is not allowed to use this app. Ask whoever looks after it."),
}
_LINK: Final = {"site": {"same-origin", "none"}, "mode": {"navigate"}, "dest": {"document"}}
_ASKED: Final = (
    {"name": "client_id", "in": "path", "required": True, "schema": {"type": "string"}, "description": "Of the app."},
    {"name": "acr", "in": "query", "schema": {"enum": ["aal2"]},
     "description": "The session has to have shown a second factor."},
    {"name": "role", "in": "query", "schema": {"type": "string"}, "description": "A role that the user has to have."},
)  # fmt: skip
_log = structlog.get_logger("doorward.oidc")


@dataclass(frozen=True, slots=True)
class _Host:
    """The host of an app, as its browser knows it."""

    client: Client

    @property
    def origin(self) -> str:
        """Where it is."""
        return self.client.redirect_uris[0].removesuffix(PROXY_CALLBACK)

    @property
    def cookies(self) -> Cookies:
        """How cookies are named and set there."""
        return Cookies(secure=self.origin.startswith("https:"))

    @property
    def session(self) -> str:
        """The cookie that lets requests pass."""
        return self.cookies.named(f"doorward-app-{self.client.id}")

    @property
    def start(self) -> str:
        """The cookie of whoever is on their way to sign in."""
        return self.cookies.named(f"doorward-start-{self.client.id}")

    def kept(self, call: Call, name: str) -> str | None:
        """What its browser has in a cookie."""
        return self.cookies.read(call.request.headers.get("cookie")).get(name)

    def path(self, name: str) -> str:
        """One of our paths, as it is reached there."""
        return f"{self.origin}{PROXY_CALLBACK.removesuffix('callback')}{name}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the operator asks of whoever is to pass."""

    acr: str
    role: str

    @classmethod
    def of(cls, call: Call) -> "_Asked":
        """Raises Malformed for anything else: a word that was mistyped must not open the app."""
        query = call.query
        if query.keys() - {"acr", "role"} or query.get("acr", "aal2") != "aal2" or not query.get("role", "any"):
            raise Malformed(reason="a proxy may ask for acr=aal2 and for a role, and for nothing else")
        return cls(query.get("acr", ""), query.get("role", ""))

    def lacking(self, sender: Sender) -> bool:
        """Whether somebody lacks the role."""
        return bool(self.role) and self.role not in sender.session.roles


@dataclass(frozen=True, slots=True)
class ForwardRoutes:
    """What a proxy asks, and what it passes on to us of its app's host below /.doorward/."""

    gate: Gate
    forward: Forward

    def operations(self) -> Sequence[Operation]:
        """Every operation."""
        passes = {204: Answer("It may pass. `Doorward-User`, `Remote-User`, `Remote-Name`, `Remote-Email` (empty "
                              "unless proven) and `Remote-Groups` say whose it is")}  # fmt: skip
        to_sign_in = {303: Answer("To sign in, or to why not, for a page"), **problems(400, 401, 403, 404)}
        read = "What is asked for is read from `X-Forwarded-Uri` and `X-Forwarded-Method`."
        return (
            Operation(
                "GET", f"{BASE}/check", self.get_check, Access.ANYONE, "Whether a request may pass", _TAG,
                answers={**passes, **problems(400, 401, 403, 404)}, parameters=_ASKED,
                description="For nginx (`auth_request`). Never a redirect. See docs/forward-auth.md.",
            ),
            Operation(
                "GET", f"{BASE}/refusal", self.get_refusal, Access.ANYONE, "What to answer whom the proxy has refused",
                _TAG, answers=to_sign_in, parameters=_ASKED, description=f"For nginx (`error_page`). {read}",
            ),
            Operation(
                "GET", f"{BASE}/gate", self.get_gate, Access.ANYONE, "Let pass, or send to sign in",
                _TAG, answers={**passes, **to_sign_in}, parameters=_ASKED,
                description=f"For Caddy (`forward_auth`) and Traefik (`forwardAuth`), which hand our answer on. {read}",
            ),
            Operation("GET", f"{BASE}/sign-in", self.get_sign_in, Access.ANYONE, "Sign in to an app behind a proxy"),
            Operation("GET", f"{BASE}/callback", self.get_callback, Access.ANYONE, "Come back to an app"),
            Operation("GET", f"{BASE}/sign-out", self.get_sign_out, Access.ANYONE, "Sign out, from an app"),
            Operation("GET", f"{BASE}/lost", self.get_lost, Access.OPTIONAL, "Why an app does not open"),
        )  # fmt: skip

    # What the proxy asks ------------------------------------------------------------------------------------------

    async def get_check(self, call: Call) -> Response:
        """204 with whose the request is, or 401, or 403."""
        asked, host = _Asked.of(call), await self._host(call)
        return _passed(await self._sender(call, host, asked), asked)

    async def get_gate(self, call: Call) -> Response:
        """The same; who opens a page is sent to sign in instead of refused."""
        asked, host = _Asked.of(call), await self._host(call)
        sender = await self._sender(call, host, asked)
        if _opens_page(call) and (sender is None or asked.lacking(sender)):
            return self._refusal(call, host, asked, sender)
        return _passed(sender, asked)

    async def get_refusal(self, call: Call) -> Response:
        """The same for whom the proxy has refused, if not for our sake then for its own: nobody passes."""
        asked, host = _Asked.of(call), await self._host(call)
        sender = await self._sender(call, host, asked)
        if _opens_page(call):
            return self._refusal(call, host, asked, sender)
        if sender is None:
            raise NotSignedIn
        raise Forbidden(reason="refused by the proxy")

    def _refusal(self, call: Call, host: _Host, asked: _Asked, sender: Sender | None) -> Response:
        if sender is not None:
            return self._lost(host, "role")
        path = local_path(call.request.headers.get("x-forwarded-uri"), "/")
        return _to(f"{host.path('sign-in')}?{urlencode({'next': path, 'acr': asked.acr})}")

    async def _sender(self, call: Call, host: _Host, asked: _Asked) -> Sender | None:
        return await self.forward.sender(host.client, host.kept(call, host.session), asked.acr)

    # What browsers do at the app's host ---------------------------------------------------------------------------

    async def get_sign_in(self, call: Call) -> Response:
        """On to us, with a secret of this browser kept on its side."""
        host = await self._host(call)
        path, acr = local_path(call.query.get("next"), "/"), call.query.get("acr", "")
        verifier = _verifier(call, host) or new_token()  # the same for all its tabs
        response = _to(self.forward.begin(host.client, verifier, path, "aal2" if acr == "aal2" else ""))
        host.cookies.put(response, host.start, verifier, START_SECONDS)
        return response

    async def get_callback(self, call: Call) -> Response:
        """Back, with a code that is swapped for a session of this host."""
        host = await self._host(call)
        verifier, cookie = _verifier(call, host), host.kept(call, host.session)
        found = await self.forward.arrive(host.client, verifier, cookie, call.query, call.caller)
        if isinstance(found, Lost):
            _log.info("forward_auth_lost", client=host.client.id, reason=found.reason)
            return self._lost(host, "lost")
        response = _to(found.path)
        if found.cookie is not None:
            host.cookies.put(response, host.session, found.cookie, found.seconds)
        return response

    async def get_sign_out(self, call: Call) -> Response:
        """End the session. Apps that know nothing of us can only link: a link of this host counts, no frame or picture.

        Whoever comes otherwise is led to where they can end it themselves.
        """
        host = await self._host(call)
        if any(call.request.headers.get(f"sec-fetch-{what}") not in allowed for what, allowed in _LINK.items()):
            return _to(f"{self.gate.site.public_url}/account/sessions")
        await self.forward.sign_out(host.client, host.kept(call, host.session), call.caller)
        response = _to(f"{self.gate.site.public_url}/")
        host.cookies.drop(response, host.session)
        return response

    # At our own host ----------------------------------------------------------------------------------------------

    async def get_lost(self, call: Call) -> Response:
        """Say why, and lead back to the app."""
        host = await self._host(call)
        why = _WHY.get(call.query.get("why", ""), _WHY["lost"])
        return self.gate.render(
            call, "forward_lost.html", why=why, app=host.client.name, address=f"{host.origin}/"
        )  # fmt: skip

    def _lost(self, host: _Host, why: str) -> Response:
        return _to(f"{self.gate.site.public_url}{BASE.format(client_id=host.client.id)}/lost?why={why}")

    async def _host(self, call: Call) -> _Host:
        return _Host(await self.forward.client(call.path("client_id")))


def _verifier(call: Call, host: _Host) -> str | None:
    kept = host.kept(call, host.start)
    return kept if kept is not None and is_verifier(kept) else None


def _opens_page(call: Call) -> bool:
    headers = call.request.headers
    by_person = "text/html" in headers.get("accept", "") and headers.get("sec-fetch-mode", "navigate") == "navigate"
    return by_person and headers.get("x-forwarded-method", "GET") in {"GET", "HEAD"}


def _passed(sender: Sender | None, asked: _Asked) -> Response:
    if sender is None:
        raise NotSignedIn
    if asked.lacking(sender):
        raise Forbidden(reason="lacks the role that this app asks for")
    user = sender.user
    said = {
        "doorward-user": user.id,
        "remote-user": user.uid,
        "remote-name": user.name,
        "remote-email": user.email if user.email_verified else None,
        "remote-groups": ",".join(sender.session.roles),
    }
    # Percent-encoded UTF-8 where a header could not say it otherwise (RFC 9110 §5.5), and no line break ever. All of
    # them each time: proxies have been seen to put something of their own where one was missing.
    headers = {name: quote(value or "", safe=_VISIBLE) for name, value in said.items()}
    return Response(status_code=204, headers={**headers, "cache-control": "no-store"})


def _to(address: str) -> Response:
    return Response(status_code=303, headers={"location": address, "cache-control": "no-store"})
