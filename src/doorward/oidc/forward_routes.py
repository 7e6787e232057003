"""HTTP of forward authentication. All of it but the last page is reached by way of a proxy, at the host of an app."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from starlette.responses import Response

from doorward.kernel.errors import Forbidden, NotSignedIn
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
_HERE: Final = PROXY_CALLBACK.removesuffix("callback")  # the same folder, as the app's host has it
_VISIBLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_WHY: Final = {
    "begun_elsewhere": msgid("That took too long, or it began in another browser. Go back to the app and try again."),
    "role": msgid("Your account is not allowed to use this app. Ask whoever looks after it."),
}
_ASKED: Final = (
    {"name": "client_id", "in": "path", "required": True, "schema": {"type": "string"}, "description": "Of the app."},
    {"name": "acr", "in": "query", "schema": {"type": "string"},
     "description": "`aal2`: the session has to have shown a second factor."},
    {"name": "role", "in": "query", "schema": {"type": "string"}, "description": "A role that the user has to have."},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForwardRoutes:
    """What a proxy asks, and what it passes on to us of its app's host below /.doorward/."""

    gate: Gate
    forward: Forward

    def operations(self) -> Sequence[Operation]:
        """Every operation."""
        passes = {204: Answer("It may pass. `Remote-User`, `Remote-Name`, `Remote-Email` (if proven), "
                              "`Remote-Groups` and `Doorward-User` say whose it is")}  # fmt: skip
        return (
            Operation(
                "GET", f"{BASE}/check", self.get_check, Access.ANYONE, "Whether a request may pass", _TAG,
                answers={**passes, **problems(401, 403, 404)}, parameters=_ASKED,
                description="For nginx (`auth_request`). Never a redirect. See docs/forward-auth.md.",
            ),
            Operation(
                "GET", f"{BASE}/gate", self.get_gate, Access.ANYONE, "Let pass, or send to sign in",
                _TAG, answers={**passes, 303: Answer("To sign in, for a page"), **problems(401, 403, 404)},
                parameters=_ASKED, description="For Caddy (`forward_auth`) and Traefik (`forwardAuth`), which hand our "
                "answer on. What is asked for is read from `X-Forwarded-Uri` and `X-Forwarded-Method`.",
            ),
            Operation("GET", f"{BASE}/sign-in", self.get_sign_in, Access.ANYONE, "Sign in to an app behind a proxy"),
            Operation("GET", f"{BASE}/callback", self.get_callback, Access.ANYONE, "Come back to an app"),
            Operation("GET", f"{BASE}/sign-out", self.get_sign_out, Access.ANYONE, "Sign out, from an app"),
            Operation("GET", f"{BASE}/lost", self.get_lost, Access.OPTIONAL, "Why an app does not open"),
        )  # fmt: skip

    # What the proxy asks ------------------------------------------------------------------------------------------

    async def get_check(self, call: Call) -> Response:
        """204 with whose the request is, or 401, or 403."""
        return _passed(call, await self._sender(call, await self._client(call)))

    async def get_gate(self, call: Call) -> Response:
        """The same; who opens a page is sent to sign in instead of refused."""
        client = await self._client(call)
        sender = await self._sender(call, client)
        if not _opens_page(call) or (sender is not None and not _lacks_role(call, sender)):
            return _passed(call, sender)
        if sender is not None:
            return self._lost(client, "role")
        path = local_path(call.request.headers.get("x-forwarded-uri"), "/")
        return _to(f"{_origin(client)}{_HERE}sign-in?{urlencode({'next': path, 'acr': call.query.get('acr', '')})}")

    async def _sender(self, call: Call, client: Client) -> Sender | None:
        kept = _cookies(client).read(call.request.headers.get("cookie")).get(_app_cookie(client))
        return await self.forward.sender(client, kept, call.query.get("acr", ""))

    # What browsers do at the app's host ---------------------------------------------------------------------------

    async def get_sign_in(self, call: Call) -> Response:
        """On to us, with a secret of this browser kept on its side."""
        client = await self._client(call)
        path, acr = local_path(call.query.get("next"), "/"), call.query.get("acr", "")
        verifier = self._verifier(call, client) or new_token()  # the same for all its tabs
        response = _to(self.forward.begin(client, verifier, path, "aal2" if acr == "aal2" else ""))
        _cookies(client).put(response, _start_cookie(client), verifier, START_SECONDS)
        return response

    async def get_callback(self, call: Call) -> Response:
        """Back, with a code that is swapped for a session of this host."""
        client = await self._client(call)
        found = await self.forward.arrive(client, self._verifier(call, client), call.query, call.caller)
        if isinstance(found, Lost):
            return self._lost(client, "begun_elsewhere")
        response = _to(found.path)
        _cookies(client).put(response, _app_cookie(client), found.cookie, found.seconds)
        return response

    async def get_sign_out(self, call: Call) -> Response:
        """End the session. Apps that know nothing of us can only link; a link of this host counts, and no picture."""
        client = await self._client(call)
        said = [call.request.headers.get(f"sec-fetch-{what}") for what in ("site", "mode")]
        if said not in (["same-origin", "navigate"], ["none", "navigate"]):
            return _to("/")
        cookies = _cookies(client)
        kept = cookies.read(call.request.headers.get("cookie")).get(_app_cookie(client))
        await self.forward.sign_out(client, kept, call.caller)
        response = _to(f"{self.gate.site.public_url}/")
        cookies.drop(response, _app_cookie(client))
        return response

    # At our own host ----------------------------------------------------------------------------------------------

    async def get_lost(self, call: Call) -> Response:
        """Say why, and lead back to the app."""
        client = await self._client(call)
        why = call.query.get("why", "")
        return self.gate.render(
            call, "forward_lost.html", why=_WHY.get(why, _WHY["begun_elsewhere"]), app=client.name,
            address=f"{_origin(client)}/",
        )  # fmt: skip

    def _lost(self, client: Client, why: str) -> Response:
        return _to(f"{self.gate.site.public_url}{BASE.format(client_id=client.id)}/lost?why={why}")

    # ---------------------------------------------------------------------------------------------------------------

    async def _client(self, call: Call) -> Client:
        return await self.forward.client(call.path("client_id"))

    def _verifier(self, call: Call, client: Client) -> str | None:
        kept = _cookies(client).read(call.request.headers.get("cookie")).get(_start_cookie(client))
        return kept if kept is not None and is_verifier(kept) else None


def _opens_page(call: Call) -> bool:
    headers = call.request.headers
    by_person = "text/html" in headers.get("accept", "") and headers.get("sec-fetch-mode", "navigate") == "navigate"
    return by_person and headers.get("x-forwarded-method", "GET") in {"GET", "HEAD"}


def _lacks_role(call: Call, sender: Sender) -> bool:
    role = call.query.get("role", "")
    return bool(role) and role not in sender.session.roles


def _passed(call: Call, sender: Sender | None) -> Response:
    if sender is None:
        raise NotSignedIn
    if _lacks_role(call, sender):
        raise Forbidden(reason="lacks the role that this app asks for")
    user = sender.user
    said = {
        "doorward-user": user.id,
        "remote-user": user.uid,
        "remote-name": user.name,
        "remote-email": user.email if user.email_verified else None,
        "remote-groups": ",".join(sender.session.roles),
    }
    # Percent-encoded UTF-8 where a header could not say it otherwise (RFC 9110 §5.5), and no line break ever.
    headers = {name: quote(value, safe=_VISIBLE) for name, value in said.items() if value}
    return Response(status_code=204, headers={**headers, "cache-control": "no-store"})


def _to(address: str) -> Response:
    return Response(status_code=303, headers={"location": address, "cache-control": "no-store"})


def _origin(client: Client) -> str:
    return client.redirect_uris[0].removesuffix(PROXY_CALLBACK)


def _cookies(client: Client) -> Cookies:
    return Cookies(secure=urlsplit(client.redirect_uris[0]).scheme == "https")


def _app_cookie(client: Client) -> str:
    return _cookies(client).named(f"doorward-app-{client.id}")


def _start_cookie(client: Client) -> str:
    return _cookies(client).named(f"doorward-start-{client.id}")
