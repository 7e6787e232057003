"""Whether an unsafe request came from our own page (C38; ASVS 3.5.1–3; OWASP CSRF cheat sheet).

Two locks: what the browser says of the sender (Sec-Fetch-Site, Origin), and a token only our page could read. The token
of a session is a MAC of the session's id; before there is a session, of a random visit cookie.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from doorward.kernel import base64url
from doorward.kernel.errors import CsrfRefused
from doorward.kernel.msgid import msgid
from doorward.ports import Sealer
from doorward.web.origins import Site
from doorward.web.routing import Call

HEADER = "x-csrf-token"
FIELD = "csrf_token"
# A form of ours whose token is refused stood open while the session came, went or changed.
STALE = msgid("This page had been open for too long. Look it over and send it again")


@dataclass(frozen=True, slots=True)
class Csrf:
    """Makes and checks tokens, and looks at who sent a request."""

    site: Site
    sealer: Sealer

    def token_for_session(self, session_id: str) -> str:
        """The token that goes with a session."""
        return self._token("session", session_id)

    def token_for_visit(self, visit: str) -> str:
        """The token that goes with a visit cookie, for sign-in and sign-up forms."""
        return self._token("visit", visit)

    def check_token(self, expected: str, sent: str | None, detail: str | None = None) -> None:
        """Raise CsrfRefused, saying `detail`, unless `sent` is `expected`."""
        if sent is None or not hmac.compare_digest(expected.encode(), sent.encode("utf-8", "surrogateescape")):
            raise CsrfRefused(detail, reason="csrf token missing or wrong")

    def check_sender(self, headers: Mapping[str, str]) -> None:
        """Raise CsrfRefused when the browser says that another site sent this. Programs send neither header."""
        fetch_site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if fetch_site not in {None, "same-origin", "none"}:
            raise CsrfRefused(reason=f"sec-fetch-site is {fetch_site!r}")
        if origin == "null" and fetch_site == "same-origin":
            return  # a page of ours with a stricter referrer policy
        if origin is not None and origin not in self.site.origins:
            raise CsrfRefused(reason="origin is not ours")

    def _token(self, kind: str, value: str) -> str:
        return base64url.encode(self.sealer.mac(f"{kind}:{value}".encode(), "csrf"))


def from_our_page(call: Call) -> bool:
    """Whether a page of ours led here; every browser of today tells, and one that does not is not believed."""
    return call.request.headers.get("sec-fetch-site") == "same-origin"


def sent_by_browser(headers: Mapping[str, str]) -> bool:
    """Whether a page's script or form made this request; programs send none of these."""
    return "origin" in headers or any(name.startswith("sec-fetch-") for name in headers)
