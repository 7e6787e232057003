"""Forward authentication: a proxy asks whether a request to an app may pass, and whose it is.

For apps that know nothing of us. The app's own host gets a cookie of its own: its browser comes to us as to any app, by
an authorization request, and goes back with a code that counts once; what the code began (a family) ends with the
session that it came of. No cookie is ever shared between hosts.
"""

import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from doorward.kernel import base64url
from doorward.kernel.caller import Caller
from doorward.kernel.errors import NotFound
from doorward.kernel.ids import token_digest
from doorward.kernel.instant import SECOND
from doorward.oidc import store
from doorward.oidc.authorize import AUTHORIZE
from doorward.oidc.clients import Clients
from doorward.oidc.families import Denied, Families
from doorward.oidc.model import OPENID, Client, Code, hash_of
from doorward.ports import Clock, Database, Sealer
from doorward.sessions import Session, Sessions
from doorward.users import User, UsersService

START_SECONDS: Final = 900  # how long somebody may take to prove who they are
LONGEST_PATH: Final = 1_000  # of what is kept in `state`; who comes by a longer one goes on at the start
_START, _APP_SESSION = "forward_start", "forward_session"


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody is back: where they wanted to go, and what their browser keeps for this host, for how long.

    `cookie`: None where the one they have is good.
    """

    path: str
    cookie: str | None = None
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a request to an app behind a proxy."""

    session: Session
    user: User


@dataclass(frozen=True, slots=True)
class Lost:
    """A sign-in that led nowhere. `reason`: why, for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Apps behind a proxy."""

    db: Database
    clock: Clock
    sealer: Sealer
    clients: Clients
    families: Families
    sessions: Sessions
    users: UsersService
    issuer: str

    async def client(self, client_id: str) -> Client:
        """The registration of such an app. Raises NotFound."""
        found = await self.clients.find(client_id)
        if found is None or found.kind != "proxy":
            raise NotFound(reason="no app behind a proxy")
        return found

    # Coming in ----------------------------------------------------------------------------------------------------

    def begin(self, client: Client, verifier: str, path: str, acr: str) -> str:
        """Where a browser proves who it is.

        `verifier`: a secret of this browser on the app's host (RFC 7636 §4.1); `path`: a local one, to come back to.
        """
        state = self._signed(path if len(path) <= LONGEST_PATH else "/", _START, client)
        asked = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": client.redirect_uris[0],
            "scope": OPENID,
            "state": state,
            "code_challenge": hash_of(verifier),
            "code_challenge_method": "S256",
            **({"acr_values": acr} if acr else {}),
        }
        return f"{self.issuer}{AUTHORIZE}?{urlencode(asked)}"

    async def arrive(
        self, client: Client, verifier: str | None, cookie: str | None, sent: Mapping[str, str], caller: Caller
    ) -> Arrived | Lost:
        """Take a browser back. `cookie`: what it has of this host already, as when a page is loaded again.

        Its own verifier is what tells a sign-in that this browser has begun from one that somebody planted in it
        (RFC 9700 §4.7.1).
        """
        path = self._read(sent.get("state", ""), _START, client)
        if verifier is None or path is None or sent.get("iss") != self.issuer:
            return Lost("not begun here, or too long ago")
        if "error" in sent:
            return Lost("refused by the authorization endpoint")
        if await self._came_of(sent.get("code", ""), client, cookie):
            return Arrived(path)

        def fits(kept: Code) -> str | None:
            return None if kept.answers(verifier) else "begun in another browser"

        found = await self.families.redeem(sent.get("code", ""), client, fits, None, caller)
        if isinstance(found, Denied):
            return Lost(found.reason)
        family = found.family
        seconds = max(1, (family.expires_at - self.clock.now()) // SECOND)
        return Arrived(path, self._signed(family.id, _APP_SESSION, client), seconds)

    async def _came_of(self, code: str, client: Client, cookie: str | None) -> bool:
        """Whether the browser has already what came of this very code. Of any other it gets what that leads to."""
        kept = await self.db.read(store.find_code(token_digest(code)))
        is_same = kept is not None and kept.family_id == self._read(cookie or "", _APP_SESSION, client)
        return is_same and await self._session(client, cookie) is not None

    # Passing ------------------------------------------------------------------------------------------------------

    async def sender(self, client: Client, cookie: str | None, acr: str = "") -> Sender | None:
        """Who sends a request; None when they have to prove it first. `acr`: aal2 asks for a second factor."""
        session = await self._session(client, cookie)
        user = None if session is None else await self.users.find(session.user_id)
        if session is None or user is None or (acr == "aal2" and session.aal < 2):  # noqa: PLR2004  NIST 800-63B
            return None
        await self.sessions.note_use(session)
        return Sender(session, user)

    async def sign_out(self, client: Client, cookie: str | None, caller: Caller) -> None:
        """End the session itself: with it goes every app that its user came to by it."""
        session = await self._session(client, cookie)
        if session is not None:
            with suppress(NotFound):  # somebody was quicker
                await self.sessions.end(session.id, session.user_id, caller)

    async def _session(self, client: Client, cookie: str | None) -> Session | None:
        family_id = self._read(cookie or "", _APP_SESSION, client)
        family = None if family_id is None else await self.db.read(store.find_family(family_id))
        if family is None or family.client_id != client.id or not family.live(self.clock.now()):
            return None
        return await self.sessions.find_by_id(family.session_id)

    # What browsers keep for us ------------------------------------------------------------------------------------

    def _signed(self, kept: str, purpose: str, client: Client) -> str:
        return f"{base64url.encode(kept.encode())}.{base64url.encode(self._mac(kept, purpose, client))}"

    def _read(self, text: str, purpose: str, client: Client) -> str | None:
        kept, _, mac = text.partition(".")
        try:
            found = base64url.decode(kept).decode()
        except ValueError:
            return None
        right = base64url.encode(self._mac(found, purpose, client))
        return found if hmac.compare_digest(mac.encode(), right.encode()) else None

    def _mac(self, kept: str, purpose: str, client: Client) -> bytes:
        return self.sealer.mac(f"{client.id}\0{kept}".encode(), purpose)
