"""The development mailbox over HTTP: to this machine alone, by its own name, to whoever has the key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from doorward.kernel.addresses import is_this_machine
from doorward.kernel.errors import NotFound
from doorward.kernel.instant import to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.messages.mailbox import PATH, Arrived, Mailbox
from doorward.web.gate import Gate
from doorward.web.headers import CONTENT_SECURITY_POLICY
from doorward.web.routing import Access, Call, Operation, json_response, redirect

KEY_HEADER: Final = "x-mailbox-key"
KEY_SECONDS: Final = 30 * 86400
# Whoever adds one of these brings requests from elsewhere. "x-forwarded-" begins more of them.
_OF_PROXIES: Final = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip"}
)
_PAGE: Final = {"content-security-policy": f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"}
# A mail is shown as a mail program would: its own styles, no script, no form, nothing loaded; its links open elsewhere.
_SHEET: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
    ),
    "x-frame-options": "SAMEORIGIN",
}


@dataclass(frozen=True, slots=True)
class MailboxRoutes:
    """Pages for the newcomer, JSON for their tests."""

    gate: Gate
    mailbox: Mailbox

    def operations(self) -> Sequence[Operation]:
        """Not among the routes at all unless the configuration amounts to development."""
        return (
            Operation("GET", PATH, self.get_list, Access.OPTIONAL, "The development mailbox"),
            Operation("GET", f"{PATH}.json", self.get_json, Access.ANYONE, "The same for programs"),
            Operation("GET", f"{PATH}/{{id}}", self.get_message, Access.OPTIONAL, "One message"),
            Operation("GET", f"{PATH}/{{id}}/html", self.get_html, Access.ANYONE, "The HTML part of a mail"),
        )

    async def get_list(self, call: Call) -> Response:
        """Everything there is; with the key in the query, a cookie for it."""
        self._require_direct(call.request)
        key = call.query.get("key")
        if key is not None and self.mailbox.fits(key):
            response = redirect(PATH)
            self.gate.cookies.put(response, self.gate.cookies.mailbox, key, KEY_SECONDS, samesite="strict")
            return response
        if not self._knows_key(call):
            return self._closed(call)
        return self.gate.render(call, "mailbox.html", mails=await self.mailbox.newest())

    async def get_message(self, call: Call) -> Response:
        """One message."""
        self._require_direct(call.request)
        if not self._knows_key(call):
            return self._closed(call)
        mail = await self.mailbox.find(call.path_id("id"))
        return self.gate.render(call, "mailbox_message.html", headers=_PAGE, mail=mail)

    async def get_html(self, call: Call) -> Response:
        """The HTML part alone, for the frame in its page."""
        self._require_direct(call.request)
        mail = await self.mailbox.find(call.path_id("id")) if self._knows_key(call) else None
        if mail is None or mail.html is None:
            raise NotFound
        html = mail.html.replace("<head>", '<head><base target="_blank">', 1)
        return Response(html, headers=_SHEET, media_type="text/html")

    async def get_json(self, call: Call) -> Response:
        """Everything there is, for a page that looks again and for tests of an application."""
        self._require_direct(call.request)
        if not self._knows_key(call):
            raise NotFound(msgid("The key is missing: it is in the link that the server printed when it started"))
        public_url = self.gate.site.public_url
        return json_response({"messages": [_as_json(mail, public_url) for mail in await self.mailbox.newest()]})

    def _closed(self, call: Call) -> Response:
        return self.gate.render(call, "mailbox_closed.html", NotFound.status)

    def _knows_key(self, call: Call) -> bool:
        given = call.request.headers.get(KEY_HEADER, call.cookies.get(self.gate.cookies.mailbox, ""))
        return self.mailbox.fits(given)

    def _require_direct(self, request: Request) -> None:
        if not self._is_direct(request):
            raise NotFound(reason="mailbox from elsewhere")

    def _is_direct(self, request: Request) -> bool:
        """Whether a program on this machine asks this server by its own name.

        Another name means that somebody's DNS led a browser here (rebinding); a proxy's header, that a proxy did.
        """
        own = {urlsplit(origin).netloc for origin in self.gate.site.origins}
        hosts = request.headers.getlist("host")
        of_proxies = [name for name in request.headers if name in _OF_PROXIES or name.startswith("x-forwarded")]
        peer = "" if request.client is None else request.client.host
        return len(hosts) == 1 and hosts[0].lower() in own and not of_proxies and is_this_machine(peer)


def _as_json(mail: Arrived, public_url: str) -> Mapping[str, object]:
    return {
        "id": mail.id,
        "kind": mail.kind,
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
        "code": mail.code,
        "link": None if mail.path is None else f"{public_url}{mail.path}",
        "created_at": to_rfc3339(mail.arrived_at),
    }
