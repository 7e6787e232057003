"""Whether a token still counts at this moment, and what may be said of it: userinfo, introspection, revocation."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome
from doorward.kernel.caller import Caller
from doorward.kernel.errors import ClientRefused, NotSignedIn, ScopeRefused, TokenRefused
from doorward.kernel.instant import SECOND
from doorward.oidc import store
from doorward.oidc.clients import Clients
from doorward.oidc.families import Families
from doorward.oidc.grants import Grants
from doorward.oidc.model import OPENID, REFRESH_IDLE, REFRESH_PREFIX, REVOCATIONS, Client, text_of
from doorward.oidc.signed import SignedStatements
from doorward.ports import Clock, Database
from doorward.sessions import Sessions
from doorward.sql import Work
from doorward.tokens import AccessTokens, Issued
from doorward.users import UsersService

USERINFO: Final = "/oauth/userinfo"
INACTIVE: Final[Mapping[str, Any]] = {"active": False}  # the same for whatever is not, RFC 7662 §2.2
Introspector: TypeAlias = Callable[[str, Caller], Awaitable[Mapping[str, Any] | None]]
"""Says of a secret of another room, shown to an app, what RFC 7662 wants to know; None when it is none of theirs."""


@dataclass(slots=True)
class Live:
    """Looks at session, user, client and family behind a token. `others`: secrets of later rooms, such as API keys."""

    db: Database
    clock: Clock
    clients: Clients
    families: Families
    grants: Grants
    signed: SignedStatements
    sessions: Sessions
    users: UsersService
    tokens: AccessTokens
    audit: AuditTrail
    others: Sequence[Introspector] = ()

    async def client_of(self, token: Issued, asking: Client | None = None) -> Client | None:
        """The client of an access token that counts now, by all that stands behind it; else None.

        `asking`: a client that is known already, and may be that one.
        """
        is_own = asking is not None and asking.id == token.client_id
        client = asking if is_own else await self.clients.find(token.client_id)
        if client is None or await self._revoked(token):
            return None
        if token.sid is None:
            return client if token.subject == client.subject else None
        user = await self.users.find(token.subject)
        if user is None or user.status != "active":
            return None
        return client if await self._begun_in_what_lives(token) else None

    async def _begun_in_what_lives(self, token: Issued) -> bool:
        """Its family lives and, unless that may outlive it, the session too."""
        family = None if token.fid is None else await self.db.read(store.find_family(token.fid))
        if family is not None and family.offline:
            return family.live(self.clock.now())
        if token.fid is not None and (family is None or not family.live(self.clock.now())):
            return False
        return await self.sessions.find_by_id(token.sid or "") is not None

    async def _revoked(self, token: Issued) -> bool:
        # Within one second a token may be younger than what revokes it; then it is told to be over, and a new one is
        # asked for.
        since = token.issued_at * SECOND
        return await self.db.search(store.is_revoked(token.jti, token.subject, since))

    # Userinfo -----------------------------------------------------------------------------------------------------

    async def userinfo(self, authorization: str | None, proof: str | None, method: str) -> Mapping[str, Any]:
        """What OpenID Connect Core §5.3 tells of the user behind a token. Raises TokenRefused, ScopeRefused."""
        token, client = await self.presented(authorization, proof, method, USERINFO)
        if token.sid is None or token.audience not in (*client.audiences, self.tokens.issuer):
            raise TokenRefused("not a token of a user of this client")
        if OPENID not in token.scope:
            raise ScopeRefused(OPENID)
        user = await self.users.find(token.subject)
        if user is None:
            raise TokenRefused("the user is gone")
        return {"sub": user.id, **await self.grants.about(user, " ".join(token.scope), client)}

    async def presented(
        self, authorization: str | None, proof: str | None, method: str, path: str
    ) -> tuple[Issued, Client]:
        """The access token in a header, with the proof of its key if it is bound (RFC 6750 §2.1, RFC 9449 §7)."""
        scheme, _, text = (authorization or "").partition(" ")
        bound = scheme.lower() == "dpop"
        if scheme.lower() not in {"bearer", "dpop"} or not text:
            raise TokenRefused("send an access token in the Authorization header", error="invalid_request")
        try:
            token = self.tokens.read_issued(text.strip())
        except NotSignedIn as refused:
            raise TokenRefused("the access token does not count", reason=refused.reason) from refused
        if bound != (token.jkt is not None):
            raise TokenRefused("a bound token comes with its proof, another one without", scheme="DPoP")
        if bound and await self.signed.proof(proof, method, path, text.strip()) != token.jkt:
            raise TokenRefused("the proof is not that of the token's key", scheme="DPoP", error="invalid_dpop_proof")
        client = await self.client_of(token)
        if client is None:
            raise TokenRefused("what the access token came of is over")
        return token, client

    # Introspection ------------------------------------------------------------------------------------------------

    async def introspect(self, authorization: str | None, body: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """What RFC 7662 tells an app of a token that was shown to it. Raises ClientRefused."""
        asking = await self.confidential(authorization, body, caller)
        text = text_of(body, "token")
        if text.startswith(REFRESH_PREFIX):
            return await self._refresh_token(text, asking)
        for other in self.others:
            found = await other(text, caller)
            if found is not None:
                return found
        try:
            token = self.tokens.read_issued(text)
        except NotSignedIn:
            return INACTIVE
        if token.client_id != asking.id and token.audience not in asking.audiences:
            return INACTIVE  # none of its business
        if await self.client_of(token, asking) is None:
            return INACTIVE
        kind = "Bearer" if token.jkt is None else "DPoP"
        return {**token.claims, "active": True, "token_type": kind}

    async def _refresh_token(self, text: str, asking: Client) -> Mapping[str, Any]:
        found = await self.families.find_of_token(text)
        if found is None or found[0].used_at is not None or found[1].client_id != asking.id:
            return INACTIVE
        family = found[1]
        user = await self.users.find(family.user_id)
        if not family.live(self.clock.now()) or user is None or user.status != "active":
            return INACTIVE
        return {
            "active": True,
            "scope": family.scope,
            "client_id": family.client_id,
            "sub": family.user_id,
            "sid": family.session_id,
            "iss": self.tokens.issuer,
            "exp": min(family.expires_at, family.used_at + REFRESH_IDLE) // SECOND,
            "token_type": "refresh_token",
        }

    # Revocation ---------------------------------------------------------------------------------------------------

    async def revoke(self, authorization: str | None, body: Mapping[str, Any], caller: Caller) -> None:
        """End what a token of the asking app came of (RFC 7009); what is not its own is not touched, and not told."""
        asking = await self.clients.authenticate(authorization, body, caller)
        text = text_of(body, "token")
        if text.startswith(REFRESH_PREFIX):
            found = await self.families.find_of_token(text)
            if found is not None:
                await self.families.revoke(found[1].id, asking, caller)
            return
        try:
            token = self.tokens.read_issued(text)
        except NotSignedIn:
            return  # nothing that could still count
        if token.client_id != asking.id:
            return
        if token.fid is not None:
            await self.families.revoke(token.fid, asking, caller)
            return
        await self.db.write(partial(self._revoke_token, token, asking, caller))

    def _revoke_token(self, token: Issued, asking: Client, caller: Caller) -> Work[None]:
        if (yield from store.is_revoked(token.jti, "", token.issued_at * SECOND)):
            return
        yield from self.sessions.revoke("token", token.jti, self.clock.now())
        yield from self.audit.record(
            Event.AUTHN_TOKEN_REVOKED, Outcome.SUCCESS, caller, payload={"client": asking.id, "by": "app"}
        )

    # Who may ask --------------------------------------------------------------------------------------------------

    async def confidential(self, authorization: str | None, body: Mapping[str, Any], caller: Caller) -> Client:
        """The app that asks, which has to be one that can prove it. Raises ClientRefused."""
        client = await self.clients.authenticate(authorization, body, caller)
        if not client.confidential:
            raise ClientRefused("only confidential clients may ask", reason="public client")
        return client

    async def follower(self, authorization: str | None, proof: str | None, path: str, caller: Caller) -> Client:
        """The app that wants to follow revocations. Raises ClientRefused, TokenRefused, ScopeRefused."""
        if (authorization or "").partition(" ")[0].lower() not in {"bearer", "dpop"}:
            return await self.following_client(authorization, {}, caller)
        token, client = await self.presented(authorization, proof, "GET", path)
        if token.audience != self.tokens.issuer or token.sid is not None:
            raise TokenRefused("not a token of a service for this server")
        if REVOCATIONS not in token.scope:
            raise ScopeRefused(REVOCATIONS)
        return client

    async def following_client(self, authorization: str | None, body: Mapping[str, Any], caller: Caller) -> Client:
        """The same of an app that proves who it is by its own credentials. Raises ClientRefused and ScopeRefused."""
        asking = await self.confidential(authorization, body, caller)
        if REVOCATIONS not in asking.scopes:
            raise ScopeRefused(REVOCATIONS)
        return asking
