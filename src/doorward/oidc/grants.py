"""The token endpoint: codes, refresh tokens and clients that act for themselves become tokens (RFC 6749 §4, §6)."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.kernel import base64url
from doorward.kernel.assurance import assurance_of
from doorward.kernel.caller import Caller
from doorward.kernel.errors import OAuthRefused
from doorward.kernel.instant import MILLISECOND, SECOND
from doorward.oidc import store
from doorward.oidc.clients import Clients
from doorward.oidc.families import Denied, Families, Granted
from doorward.oidc.model import OPENID, Client, Code, Family, is_verifier, text_of
from doorward.oidc.signed import SignedStatements
from doorward.ports import Clock, Database
from doorward.tokens import ACCESS_TOKEN_SECONDS, AccessTokens, AppToken
from doorward.users import User, UsersService

TOKEN: Final = "/oauth/token"  # noqa: S105  a path
EARLY: Final = 5 * MILLISECOND  # timers may ring a millisecond before their time


@dataclass(frozen=True, slots=True)
class Asked:
    """One request at the token endpoint, once its sender is known."""

    client: Client
    body: Mapping[str, Any]
    jkt: str | None
    caller: Caller

    def text(self, name: str) -> str:
        """A parameter; empty when it is absent."""
        return text_of(self.body, name)


@dataclass(frozen=True, slots=True)
class Grants:
    """What leads to tokens, and the tokens."""

    db: Database
    clock: Clock
    clients: Clients
    families: Families
    signed: SignedStatements
    tokens: AccessTokens
    users: UsersService

    async def answer(
        self, authorization: str | None, proof: str | None, body: Mapping[str, Any], caller: Caller
    ) -> Mapping[str, Any]:
        """Give tokens. Raises OAuthRefused in the words of RFC 6749 §5.2."""
        client = await self.clients.authenticate(authorization, body, caller)
        kind = text_of(body, "grant_type")
        _check_grant(client, kind)
        if kind != "client_credentials":
            await self._check_known(kind, body)
        asked = Asked(client, body, await self._key_shown(client, proof), caller)
        if kind == "client_credentials":
            return await self._for_itself(asked)
        return await (self._by_code(asked) if kind == "authorization_code" else self._by_refresh(asked))

    async def _check_known(self, kind: str, body: Mapping[str, Any]) -> None:
        """Anybody can say that they are a public app, and make proofs: what they make up is written down nowhere."""
        name = "code" if kind == "authorization_code" else "refresh_token"
        shown = text_of(body, name)
        if not shown:
            raise OAuthRefused("invalid_request", f"{name} is required")
        if not await (self.families.knows_code(shown) if name == "code" else self.families.knows_token(shown)):
            raise OAuthRefused("invalid_grant", f"the {name.replace('_', ' ')} does not count", reason="made up")

    async def _key_shown(self, client: Client, proof: str | None) -> str | None:
        jkt = await self.signed.proof(proof, "POST", TOKEN)
        if client.dpop and jkt is None:
            raise OAuthRefused("invalid_dpop_proof", "this client sends a DPoP proof with every request")
        return jkt

    # For a user ---------------------------------------------------------------------------------------------------

    async def _by_code(self, asked: Asked) -> Mapping[str, Any]:
        code, verifier = asked.text("code"), asked.text("code_verifier")
        if not is_verifier(verifier):
            raise OAuthRefused("invalid_request", "code_verifier is required")

        def fits(kept: Code) -> str | None:
            _check_resource(asked, kept.resource)
            if kept.redirect_uri != asked.text("redirect_uri"):
                return "redirect_uri is not that of the authorization request"
            if not kept.answers(verifier):
                return "code_verifier does not match"
            if kept.dpop_jkt not in {None, asked.jkt}:
                return "DPoP key is not that of the authorization request"
            return None

        found = await self.families.redeem(code, asked.client, fits, asked.jkt, asked.caller)
        if isinstance(found, Denied):
            raise OAuthRefused("invalid_grant", "the code does not count", reason=found.reason)
        return await self._answer(asked, found, found.family.scope, with_id_token=True)

    async def _by_refresh(self, asked: Asked) -> Mapping[str, Any]:
        token = asked.text("refresh_token")

        def check(family: Family) -> None:
            _check_resource(asked, family.resource)
            if not set(asked.text("scope").split()) <= set(family.scope.split()):
                raise OAuthRefused("invalid_scope", "more than was granted")

        found = await self.families.refresh(token, asked.client, check, asked.jkt, asked.caller)
        if isinstance(found, Denied):
            raise OAuthRefused("invalid_grant", "the refresh token does not count", reason=found.reason)
        return await self._answer(asked, found, asked.text("scope") or found.family.scope, with_id_token=False)

    async def _answer(self, asked: Asked, granted: Granted, scope: str, *, with_id_token: bool) -> Mapping[str, Any]:
        client, family, user = asked.client, granted.family, granted.user
        await self._wait_out_the_second(user.id)
        access = await self.tokens.issue_for_app(
            AppToken(
                subject=user.id,
                audience=family.resource,
                client_id=client.id,
                scope=scope,
                alg=client.alg,
                sid=family.session_id,
                fid=family.id,
                auth_time=family.auth_time,
                amr=family.amr,
                aal=assurance_of(family.amr),
                roles=user.roles,
                jkt=asked.jkt,
                more={**_own_fields(client, user), **_email(user, scope)},
            )
        )
        answer = {**_bearer(access, asked.jkt, scope)}
        if granted.refresh_token is not None:
            answer["refresh_token"] = granted.refresh_token
        if with_id_token and OPENID in scope.split():
            answer["id_token"] = await self._id_token(client, granted, access)
        return answer

    async def _wait_out_the_second(self, user_id: str) -> None:
        """Wait for the next second when all tokens of a user were called back within this one.

        `iat` has whole seconds, so a token of this very second would count as one of those.
        """
        into = self.clock.now() % SECOND
        if await self.db.search(store.is_revoked("", user_id, self.clock.now() - into)):
            await asyncio.sleep((SECOND - into + EARLY) / SECOND)

    async def _id_token(self, client: Client, granted: Granted, access: str) -> str:
        family = granted.family
        # OpenID Connect Core §3.1.3.6: by the hash of the algorithm that signs; Ed25519 is over SHA-512.
        whole = (hashlib.sha512 if client.alg == "EdDSA" else hashlib.sha256)(access.encode()).digest()
        half = whole[: len(whole) // 2]
        claims: dict[str, Any] = {
            **await self.about(granted.user, family.scope, client),
            "sub": granted.user.id,
            "aud": client.id,
            "auth_time": family.auth_time // SECOND,
            "amr": list(family.amr),
            "acr": f"aal{assurance_of(family.amr)}",
            "sid": family.session_id,
            "at_hash": base64url.encode(half),
        }
        if granted.nonce is not None:
            claims["nonce"] = granted.nonce
        return await self.tokens.issue_id_token(claims, client.alg)

    async def about(self, user: User, scope: str, client: Client) -> dict[str, Any]:
        """What an app learns of a user by its scopes (OpenID Connect Core §5.4). An address only when it is proven."""
        scopes = scope.split()
        told: dict[str, Any] = {**_own_fields(client, user), **_email(user, scope)}
        if "profile" in scopes:
            told |= {"name": user.name, "preferred_username": user.uid, "updated_at": user.updated_at // SECOND}
            told |= {"locale": user.locale} if user.locale else {}
        if "phone" in scopes:
            number = await self.users.contact(user.id, "phone")
            if number is not None and number[1] is not None:
                told |= {"phone_number": number[0], "phone_number_verified": True}
        return told

    # For itself ---------------------------------------------------------------------------------------------------

    async def _for_itself(self, asked: Asked) -> Mapping[str, Any]:
        client = asked.client
        scope = asked.text("scope") or " ".join(client.scopes)
        if not set(scope.split()) <= set(client.scopes):
            raise OAuthRefused("invalid_scope", "a scope that this client is not registered for")
        audience = asked.text("resource") or client.audiences[0]
        if audience not in (*client.audiences, self.tokens.issuer):
            raise OAuthRefused("invalid_target", "a resource that this client is not registered for")
        token = AppToken(client.subject, audience, client.id, scope, client.alg, jkt=asked.jkt)
        return _bearer(await self.tokens.issue_for_app(token), asked.jkt, scope)


def _check_grant(client: Client, kind: str) -> None:
    if kind not in {"authorization_code", "refresh_token", "client_credentials"}:
        raise OAuthRefused("unsupported_grant_type", "code, refresh token and client credentials are supported")
    if (kind == "client_credentials") != (client.kind == "service"):
        raise OAuthRefused("unauthorized_client", "a service acts for itself, and nobody else does")
    if client.kind == "proxy":
        raise OAuthRefused("unauthorized_client", "an app behind a proxy is given no tokens")


def _check_resource(asked: Asked, granted: str) -> None:
    if asked.text("resource") not in {"", granted}:
        raise OAuthRefused("invalid_target", "another resource than was granted")


def _bearer(token: str, jkt: str | None, scope: str) -> dict[str, Any]:
    return {
        "access_token": token,
        "token_type": "Bearer" if jkt is None else "DPoP",
        "expires_in": ACCESS_TOKEN_SECONDS,
        "scope": scope,
    }


def _own_fields(client: Client, user: User) -> dict[str, Any]:
    return {name: user.fields[name] for name in client.claims if name in user.fields}


def _email(user: User, scope: str) -> dict[str, Any]:
    if "email" not in scope.split() or not user.email_verified or user.email is None:
        return {}
    return {"email": user.email, "email_verified": True}
