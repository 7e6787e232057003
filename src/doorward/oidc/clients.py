"""The registry of apps, and how an app proves which one it is."""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote_plus, urlsplit

from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import Tries
from doorward.kernel.caller import Caller
from doorward.kernel.errors import ClientRefused, Conflict, FieldError, Invalid, NotFound, OAuthRefused
from doorward.kernel.ids import new_token, token_digest
from doorward.kernel.instant import SECOND, Instant
from doorward.oidc import store
from doorward.oidc.model import DEFAULT_SCOPES, SECRET_PREFIX, Client, problems, text_of
from doorward.oidc.signed import ASSERTION_TYPE, SignedStatements, subject_of
from doorward.ports import Clock, Database
from doorward.sessions import Sessions
from doorward.sql import Work
from doorward.tokens import SigningKeys

ORIGINS_KEPT = 5 * SECOND
CLIENT = "client"  # the table of limits.toml


@dataclass(frozen=True, slots=True)
class Registered:
    """A client just registered; its secret leaves here once."""

    client: Client
    secret: str | None = field(repr=False)


@dataclass(slots=True)
class Clients:
    """Every app. `fields`: names of the custom fields. `issuer`: our public URL."""

    db: Database
    clock: Clock
    audit: AuditTrail
    refusals: Refusals
    keys: SigningKeys
    sessions: Sessions
    signed: SignedStatements
    tries: Tries
    fields: Sequence[str]
    issuer: str
    _origins: frozenset[str] = field(default=frozenset(), init=False)
    _origins_at: Instant = field(default=-ORIGINS_KEPT, init=False)

    # Registry ---------------------------------------------------------------------------------------------------

    async def add(self, wanted: Client, caller: Caller) -> Registered:
        """Register an app. An empty id is made up; without scopes it gets those that OpenID Connect defines.

        Raises Invalid naming everything that is wrong, Conflict when the id is taken.
        """
        now = self.clock.now()
        scopes = wanted.scopes or DEFAULT_SCOPES[wanted.kind]
        client = replace(wanted, id=wanted.id or _id_for(wanted.name), scopes=scopes, created_at=now)
        wrong = self.wrongs(client)
        if wrong:
            split = [one.partition(": ") for one in wrong]
            raise Invalid([FieldError(name, "invalid", text.replace("%", "%%")) for name, _, text in split])
        await self.keys.ensure(client.alg)  # published long before its first token
        secret = f"{SECRET_PREFIX}{new_token()}" if client.auth_method == "client_secret_basic" else None

        def work() -> Work[None]:
            if not (yield from store.insert_client(client)):
                raise Conflict("There is a client with this id already")
            if secret is not None:
                yield from store.insert_secret(client.id, token_digest(secret), now, now)
            yield from self._record(client.id, "added", caller)

        await self.db.write(work)
        return Registered(client, secret)

    def wrongs(self, client: Client) -> Sequence[str]:
        """Everything wrong with a registration, also with one that was right when it was made."""
        return problems(client, fields=self.fields, development=self.issuer.startswith("http://"))

    async def list(self) -> Sequence[Client]:
        """Every client, the oldest first."""
        return await self.db.search(store.list_clients())

    async def find(self, client_id: str) -> Client | None:
        """A client by its id."""
        if len(client_id) > 64 or "\0" in client_id:  # noqa: PLR2004  as long as an id can be
            return None
        return await self.db.read(store.find_client(client_id))

    async def remove(self, client_id: str, caller: Caller) -> None:
        """Forget an app; everything that it was given ends. Raises NotFound."""
        now = self.clock.now()

        def work() -> Work[None]:
            for family_id in (yield from store.end_families_of_client(client_id, now)):
                yield from self.sessions.revoke("family", family_id, now)
            if not (yield from store.delete_client(client_id)):
                raise NotFound(reason=f"no client {client_id}")
            yield from self._record(client_id, "removed", caller)

        await self.db.write(work)

    async def new_secret(self, client_id: str, caller: Caller, overlap_seconds: int) -> str:
        """Give an app another secret; those of before stay good that long at most. Raises NotFound, Conflict."""
        client, now, secret = await self.find(client_id), self.clock.now(), f"{SECRET_PREFIX}{new_token()}"
        if client is None:
            raise NotFound(reason=f"no client {client_id}")
        if client.auth_method != "client_secret_basic":
            raise Conflict("This client has no secret")

        def work() -> Work[None]:
            yield from store.insert_secret(client_id, token_digest(secret), now, now + overlap_seconds * SECOND)
            yield from self._record(client_id, "new secret", caller)

        await self.db.write(work)
        return secret

    async def knows_origin(self, origin: str) -> bool:
        """Whether a page of a registered browser app has this origin (C41)."""
        now = self.clock.now()
        if now - self._origins_at >= ORIGINS_KEPT:
            listed = await self.db.search(store.list_clients())
            uris = [uri for one in listed if one.kind == "spa" for uri in one.redirect_uris]
            self._origins = frozenset(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, uris))
            self._origins_at = now
        return origin in self._origins

    # Authentication ---------------------------------------------------------------------------------------------

    async def authenticate(self, authorization: str | None, body: Mapping[str, object], caller: Caller) -> Client:
        """The app behind a request, by exactly the one way that it is registered for (RFC 6749 §2.3).

        Raises ClientRefused, OAuthRefused when it tries two ways at once, RateLimited after too many failures from one
        address. Only failures are counted, so nobody can keep an app out.
        """
        basic = authorization is not None and authorization[:6].lower() == "basic "
        assertion = text_of(body, "client_assertion")
        if (basic and assertion) or "client_secret" in body:
            raise OAuthRefused("invalid_request", "one way of client authentication, and no secret in the body")
        client_id = text_of(body, "client_id")
        try:
            if basic:
                return await self._by_secret(str(authorization), client_id)
            if assertion:
                return await self._by_assertion(assertion, body, client_id)
            return await self._public(client_id)
        except ClientRefused as refused:
            if not (basic or assertion or client_id):
                raise  # nobody has claimed to be anybody
            async with await self.tries.admit(CLIENT, caller):
                pass  # a failure, and one of those that are counted
            claimed = client_id or _claimed(authorization if basic else None, assertion)
            named = "unknown" if await self.find(claimed) is None else claimed  # no flood of made-up names
            await self.refusals.note(Event.AUTHN_LOGIN_FAIL, caller, {"client": named, "why": refused.reason})
            raise

    async def _by_secret(self, authorization: str, named: str) -> Client:
        client_id, secret = _decode_basic(authorization)
        client = await self.find(client_id)
        owner = await self.db.read(store.find_owner_of_secret(token_digest(secret), self.clock.now()))
        if client is None or client.auth_method != "client_secret_basic" or owner != client.id:
            raise ClientRefused(reason="unknown client or wrong secret")
        if named not in {"", client.id}:
            raise ClientRefused(reason="two client ids")
        return client

    async def _by_assertion(self, assertion: str, body: Mapping[str, object], named: str) -> Client:
        if text_of(body, "client_assertion_type") != ASSERTION_TYPE:
            raise ClientRefused(reason="client assertion type")
        client = await self.find(named or _subject_of(assertion))
        if client is None or client.auth_method != "private_key_jwt":
            raise ClientRefused(reason="unknown client, or not registered for assertions")
        await self.signed.assertion(client, assertion)
        return client

    async def _public(self, client_id: str) -> Client:
        client = await self.find(client_id) if client_id else None
        if client is None or client.confidential:
            raise ClientRefused(reason="unknown client, or one that has to prove who it is")
        return client

    def _record(self, client_id: str, what: str, caller: Caller) -> Work[None]:
        payload = {"client": client_id, "what": what}
        yield from self.audit.record(Event.AUTHZ_ADMIN, Outcome.SUCCESS, caller, payload=payload)


def _id_for(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{slug or 'app'}-{secrets.token_hex(4)}"


def _claimed(authorization: str | None, assertion: str) -> str:
    """Which app somebody says that they are; empty when that cannot be read."""
    try:
        return subject_of(assertion) if authorization is None else _decode_basic(authorization)[0]
    except (ClientRefused, ValueError):
        return ""


def _decode_basic(authorization: str) -> tuple[str, str]:
    """RFC 6749 §2.3.1: both halves are form-encoded before they are put together."""
    try:
        text = base64.b64decode(authorization[6:].strip(), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ClientRefused(reason="Authorization cannot be read") from error
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _subject_of(assertion: str) -> str:
    """Whom an assertion names, before anything in it is believed."""
    try:
        return subject_of(assertion)
    except ValueError as error:
        raise ClientRefused(reason="client assertion cannot be read") from error
