"""Families: what one code led to. Refresh tokens rotate with every use; what does not fit ends the family (C53)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import SecurityNotices
from doorward.kernel.caller import Caller
from doorward.kernel.devices import describe
from doorward.kernel.ids import new_id, new_token, token_digest
from doorward.kernel.instant import HOUR, MINUTE, SECOND, Instant
from doorward.oidc import store
from doorward.oidc.model import OFFLINE, REFRESH_ABSOLUTE, REFRESH_PREFIX, Client, Code, Family, RefreshToken
from doorward.ports import Clock, Database, Sealer
from doorward.sessions import Session, Sessions
from doorward.sql import PURGE_AT_ONCE, Work, purpose_of
from doorward.tokens import ACCESS_TOKEN_SECONDS
from doorward.users import User, UsersService

CODES_KEPT = HOUR  # after their end, so that a second use is recognised
FAMILIES_KEPT = HOUR


@dataclass(frozen=True, slots=True)
class Granted:
    """What an app may be given tokens for."""

    family: Family
    user: User
    nonce: str | None = None
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Why not; what had to be done about it is done."""

    reason: str


Grant: TypeAlias = Granted | Denied


@dataclass(frozen=True, slots=True)
class Families:
    """Begins, continues and ends them."""

    db: Database
    clock: Clock
    sealer: Sealer
    users: UsersService
    sessions: Sessions
    audit: AuditTrail
    notices: SecurityNotices

    async def knows_code(self, code: str) -> bool:
        """Whether it was given to anybody, as far as is remembered, whatever has become of it."""
        return await self.db.read(store.find_code(token_digest(code))) is not None

    async def knows_token(self, token: str) -> bool:
        """The same for a refresh token."""
        return await self.db.read(store.find_token(token_digest(token))) is not None

    # Codes ------------------------------------------------------------------------------------------------------

    async def redeem(
        self, code: str, client: Client, fits: Callable[[Code], str | None], jkt: str | None, caller: Caller
    ) -> Grant:
        """Begin the family of a code, once. `fits`: why the request does not fit the code, if it does not.

        A second use, at once or later, ends what the first one led to (RFC 6749 §4.1.2; C52).
        """
        code_digest, now = token_digest(code), self.clock.now()

        def work() -> Work[Grant]:
            found = yield from store.find_code(code_digest)
            if found is None or found.client_id != client.id:
                return Denied("no such code of this client")
            if found.used_at is None:
                begun = yield from self._begin(code_digest, found, client, fits, jkt, caller, now)
                if begun is not None:
                    return begun
                found = (yield from store.find_code(code_digest)) or found
            yield from self._end_for_reuse(found.family_id, found.user_id, client, "code", caller, now)
            return Denied("code was used before")

        return await self.db.write(work)

    def _begin(
        self,
        code_digest: bytes,
        code: Code,
        client: Client,
        fits: Callable[[Code], str | None],
        jkt: str | None,
        caller: Caller,
        now: Instant,
    ) -> Work[Grant | None]:
        """None when somebody else used the code meanwhile."""
        if now >= code.expires_at:
            return Denied("code has expired")
        wrong = fits(code)
        if wrong is not None:
            return Denied(wrong)
        session = yield from self.sessions.held(code.session_id)
        if session is None or session.user_id != code.user_id:
            return Denied("session is over")
        family = _family_of(code, client, session, jkt, now)
        if not (yield from store.use_code(code_digest, family.id, now)):
            return None
        yield from store.insert_family(family)
        token = None
        if family.offline:
            token_id, token = new_id(now), f"{REFRESH_PREFIX}{new_token()}"
            yield from store.insert_token(token_id, token_digest(token), family.id, now)
        yield from self._record(Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, family, caller, {"purpose": "app"})
        user = yield from self.users.present(family.user_id)
        return Denied("user is gone") if user is None else Granted(family, user, code.nonce, token)

    # Refreshing -------------------------------------------------------------------------------------------------

    async def refresh(
        self, token: str, client: Client, check: Callable[[Family], None], jkt: str | None, caller: Caller
    ) -> Grant:
        """Give a successor for a refresh token; the same one to whoever asks at the same moment (RFC 9700 §4.14).

        `check` raises when more is asked for than was granted; then the token stays good.
        """
        sought, now = token_digest(token), self.clock.now()

        def work() -> Work[Grant]:
            found = yield from store.find_token(sought)
            family = None if found is None else (yield from store.find_family(found.family_id, locked=True))
            if found is None or family is None or not family.live(now):
                return Denied("no such token, or its family is over")
            if family.client_id != client.id:
                return (yield from self._stolen(family, client, "another client", caller, now))
            if family.dpop_jkt is not None and jkt != family.dpop_jkt:
                return Denied("no proof of its key") if jkt is None else (
                    yield from self._stolen(family, client, "another key", caller, now)
                )  # fmt: skip
            check(family)
            user = yield from self.users.present(family.user_id)
            if user is None:
                return Denied("user is gone or disabled")
            fresh = (yield from store.find_token(sought)) or found  # as it is now that the family is ours alone
            successor = yield from self._successor(fresh, now)
            if successor is None:
                return (yield from self._stolen(family, client, "used before", caller, now))
            yield from store.use_family(family.id, now)
            return Granted(replace(family, used_at=now), user, refresh_token=successor)

        return await self.db.write(work)

    def _successor(self, token: RefreshToken, now: Instant) -> Work[str | None]:
        """What takes its place; None when it has been used and this is not the same moment."""
        if token.used_at is None:
            successor, successor_id = f"{REFRESH_PREFIX}{new_token()}", new_id(now)
            sealed = self.sealer.seal(successor.encode(), purpose_of("refresh_token", token.id))
            yield from store.insert_token(successor_id, token_digest(successor), token.family_id, now)
            yield from store.replace_token(token, successor_id, sealed, now)
            return successor
        following = None if token.successor_id is None else (yield from store.find_token_by_id(token.successor_id))
        if following is None or following.used_at is not None or not token.in_grace(now):
            return None
        if token.successor_sealed is None:
            return None
        return self.sealer.open(token.successor_sealed, purpose_of("refresh_token", token.id)).decode()

    def _stolen(self, family: Family, client: Client, why: str, caller: Caller, now: Instant) -> Work[Grant]:
        yield from self._end_for_reuse(family.id, family.user_id, client, why, caller, now)
        return Denied(f"refresh token: {why}")

    def _end_for_reuse(
        self, family_id: str | None, user_id: str, client: Client, why: str, caller: Caller, now: Instant
    ) -> Work[None]:
        """End a family because somebody has what is not theirs, tell the operator and the user (ASVS 10.4.5)."""
        if family_id is None or not (yield from self.end_family(family_id, now)):
            return  # nothing came of it, or it has been ended and told before
        yield from self.audit.record(
            Event.AUTHN_TOKEN_REUSE,
            Outcome.FAILURE,
            caller,
            user_id=user_id,
            payload={"client": client.id, "family": family_id, "why": why},
        )
        user = yield from self.users.present(user_id)
        if user is not None and why != "code":  # a code is good for a minute; its reuse is mostly a reloaded page
            yield from self.notices.app_ended(user, client.name, describe(caller.user_agent), now)

    # Ending -----------------------------------------------------------------------------------------------------

    def end_family(self, family_id: str, now: Instant) -> Work[bool]:
        """End one inside the caller's transaction; False when it has ended before."""
        if not (yield from store.end_family(family_id, now)):
            return False
        yield from self.sessions.revoke("family", family_id, now)
        return True

    def end_of_session(self, session_id: str, now: Instant) -> Work[None]:
        """What came of a session ends with it. Whoever follows the feed hears of the session itself."""
        yield from store.end_families_of_session(session_id, now)

    def end_of_user(self, user_id: str, kept: str, now: Instant) -> Work[None]:
        """Everything of a user's ends but what came of the session `kept`."""
        for family_id in (yield from store.end_families_of_user(user_id, kept, now)):
            yield from self.sessions.revoke("family", family_id, now)

    async def revoke(self, family_id: str, client: Client, caller: Caller) -> None:
        """End one because its app says so (RFC 7009)."""
        now = self.clock.now()

        def work() -> Work[None]:
            family = yield from store.find_family(family_id, locked=True)
            if family is None or family.client_id != client.id or not (yield from self.end_family(family_id, now)):
                return
            yield from self._record(Event.AUTHN_TOKEN_REVOKED, Outcome.SUCCESS, family, caller, {"by": "app"})

        await self.db.write(work)

    async def find_of_token(self, token: str) -> tuple[RefreshToken, Family] | None:
        """A refresh token and its family, used and ended ones too."""

        def work() -> Work[tuple[RefreshToken, Family] | None]:
            found = yield from store.find_token(token_digest(token))
            family = None if found is None else (yield from store.find_family(found.family_id))
            return None if found is None or family is None else (found, family)

        return await self.db.search(work())

    async def purge(self) -> None:
        """Forget what can matter to nobody any more."""
        now = self.clock.now()
        for delete, before in (
            (store.delete_old_codes, now - CODES_KEPT),
            (store.delete_old_families, now - FAMILIES_KEPT),
            (store.delete_old_proofs, now - MINUTE),
        ):
            while await self.db.write(partial(delete, before)) == PURGE_AT_ONCE:
                pass

    def _record(
        self, event: Event, outcome: Outcome, family: Family, caller: Caller, payload: dict[str, str]
    ) -> Work[None]:
        yield from self.audit.record(
            event,
            outcome,
            caller,
            user_id=family.user_id,
            actor_id=family.user_id,
            session_id=family.session_id,
            payload={"client": family.client_id, "family": family.id, **payload},
        )


def _family_of(code: Code, client: Client, session: Session, jkt: str | None, now: Instant) -> Family:
    until = now + (REFRESH_ABSOLUTE if OFFLINE in code.scope.split() else ACCESS_TOKEN_SECONDS * SECOND)
    return Family(
        id=new_id(now),
        client_id=client.id,
        user_id=code.user_id,
        session_id=code.session_id,
        scope=code.scope,
        resource=code.resource,
        dpop_jkt=None if client.confidential else jkt,  # a confidential client proves who it is (RFC 9449 §5)
        auth_time=session.auth_time,
        amr=session.amr,
        created_at=now,
        used_at=now,
        expires_at=session.expires_at if client.kind == "proxy" else until,  # a proxy asks us, and holds no tokens
        ended_at=None,
    )
