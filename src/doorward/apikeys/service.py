"""Make, recognise, replace and end keys for programs (C48; ASVS 6.4.5, 11.5.1, 13.3.4, 14.2.1)."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from doorward.apikeys import store
from doorward.apikeys.model import (
    ADMIN,
    KEEP_DAYS,
    MAX_KEYS,
    OWN_SCOPES,
    REMIND_DAYS,
    ApiKey,
    Asked,
    Made,
    Scope,
)
from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import SecurityNotices
from doorward.kernel.api_key import HINT_LENGTH, is_api_key, new_api_key
from doorward.kernel.caller import Caller
from doorward.kernel.devices import describe
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound, RateLimited, Unavailable
from doorward.kernel.ids import new_id, token_digest
from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND, Instant
from doorward.kernel.limits import ActionLimit, Rate
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, Values
from doorward.ports import Clock, Database, Limiter
from doorward.sessions import Session, Sessions
from doorward.sql import PURGE_AT_ONCE, Work
from doorward.users import User, UsersService

PURPOSE: Final = "api key"  # in the audit
LIMIT: Final = "api-key"  # the table of limits.toml
FIGURE: Final = "key"  # its figure
PAGE: Final = "/account/keys"
_MINUTE_SECONDS: Final = 60
_TOO_MANY = msgid("You have as many keys as there may be; delete one first")
_NAME = msgid("Type the name of the key if you want to delete it")


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The apikeys room's service. Nothing is kept in memory: every use asks the database, so an end counts at once.

    `declared`: the scopes of the operator's apps, with what they let a program do. `limit`: how often a key may be
    used that has no figure of its own.
    """

    db: Database
    clock: Clock
    audit: AuditTrail
    refusals: Refusals
    users: UsersService
    sessions: Sessions
    limiter: Limiter
    notices: SecurityNotices
    outbox: Outbox
    limit: ActionLimit
    declared: Mapping[str, str]

    # What there is ----------------------------------------------------------------------------------------------

    def scopes_for(self, roles: tuple[str, ...]) -> Mapping[str, Scope]:
        """The scopes that somebody with these roles may give a key, by name."""
        known = {**OWN_SCOPES, **{name: Scope(name, words) for name, words in self.declared.items()}}
        return {name: scope for name, scope in known.items() if ADMIN in roles or not scope.admin}

    @property
    def most_per_minute(self) -> int:
        """The highest figure of its own that a key may have: that of limits.toml."""
        rate = self.limit.per_subject[FIGURE]
        return max(1, rate.count * _MINUTE_SECONDS // rate.period_seconds)

    async def list_of(self, user_id: str) -> list[ApiKey]:
        """A user's keys, the newest first; those that have expired are shown for a month more."""
        return await self.db.search(store.list_of_user(user_id))

    async def list_all(self, count: int) -> list[ApiKey]:
        """Everybody's keys, the newest first."""
        return await self.db.search(store.list_all(count))

    # Making -----------------------------------------------------------------------------------------------------

    async def create(self, session: Session, asked: Asked, caller: Caller) -> Made:
        """Make a key for the caller. Raises ReauthenticationNeeded, Conflict (too many), NotSignedIn."""
        session.require_fresh(self.clock.now())

        def work() -> Work[Made]:
            user = yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            return (yield from self._create(user, asked, session.user_id, caller))

        return await self.db.write(work)

    async def create_for(self, user_id: str, asked: Asked, caller: Caller) -> Made:
        """The same by the operator. Raises NotFound, Conflict."""

        def work() -> Work[Made]:
            user = yield from self.users.locked(user_id)
            return (yield from self._create(user, asked, None, caller))

        return await self.db.write(work)

    def _create(self, user: User, asked: Asked, actor_id: str | None, caller: Caller) -> Work[Made]:
        now, secret = self.clock.now(), new_api_key()
        if (yield from store.count_of_user(user.id)) >= MAX_KEYS:
            raise Conflict(_TOO_MANY, reason="too many keys")
        key = ApiKey(
            id=new_id(now),
            user_id=user.id,
            name=asked.name,
            hint=secret[:HINT_LENGTH],
            scopes=asked.scopes,
            networks=asked.networks,
            per_minute=asked.per_minute,
            created_at=now,
            expires_at=now + asked.days * DAY,
            last_used_at=None,
            last_address=None,
        )
        yield from store.insert_key(key, token_digest(secret), _unless_long(asked.days, now))
        yield from self._record(key, "created", actor_id, caller)
        yield from self.notices.api_key_created(user, key.name, describe(caller.user_agent), now)
        return Made(key, secret)

    async def rotate(self, session: Session, key_id: str, days: int, overlap_hours: int, caller: Caller) -> Made:
        """Give a key a new secret and `days` more; the old secret works for `overlap_hours`, not beyond its own end.

        Of more than two secrets the oldest ends at once. Raises ReauthenticationNeeded, NotFound, NotSignedIn.
        """
        now = self.clock.now()
        session.require_fresh(now)

        def work() -> Work[Made]:
            user = yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            old = yield from store.find(key_id, user.id)
            if old is None:
                raise NotFound(reason="no such key")
            secret = new_api_key()
            until = min(now + overlap_hours * HOUR, old.expires_at)
            key = replace(old, hint=secret[:HINT_LENGTH], expires_at=now + days * DAY, old_until=until)
            yield from store.add_secret(key, token_digest(secret), now, until, _unless_long(days, now))
            yield from self._record(key, "rotated", user.id, caller)
            yield from self.notices.api_key_rotated(user, key.name, describe(caller.user_agent), now)
            return Made(key, secret)

        return await self.db.write(work)

    # Ending -----------------------------------------------------------------------------------------------------

    async def delete(self, session: Session, key_id: str, caller: Caller, typed: str | None = None) -> None:
        """End a key of the caller. `typed`: its name, where nobody is to do it by mistake.

        Raises ReauthenticationNeeded, NotFound, Invalid naming `confirm`, NotSignedIn.
        """
        session.require_fresh(self.clock.now())

        def work() -> Work[None]:
            yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            key = yield from store.find(key_id, session.user_id)
            if key is None:
                raise NotFound(reason="no such key")
            if typed is not None and typed.strip() != key.name:
                raise Invalid([FieldError("confirm", "mismatch", _NAME)])
            yield from self._delete(key_id, session.user_id, session.user_id, caller)

        await self.db.write(work)

    async def revoke(self, key_id: str, caller: Caller) -> None:
        """End anybody's key, for the operator. Raises NotFound."""
        owner = await self.db.read(store.find_owner(key_id))
        if owner is None:
            raise NotFound(reason="no such key")
        await self.db.write(lambda: self._delete(key_id, owner, None, caller))

    def _delete(self, key_id: str, owner: str, actor_id: str | None, caller: Caller) -> Work[None]:
        name = yield from store.delete_key(key_id, owner)
        if name is None:
            raise NotFound(reason="no such key")
        yield from self._tell_end(key_id, name, owner, actor_id, caller)

    def end_all(self, user_id: str, caller: Caller, actor_id: str | None = None) -> Work[None]:
        """End every key of a user in the caller's transaction: nobody knows any more who else has them (C36)."""
        for key_id, name in (yield from store.delete_of_user(user_id)):
            yield from self._tell_end(key_id, name, user_id, actor_id, caller)

    def undo_since(self, user_id: str, since: Instant, caller: Caller, now: Instant) -> Work[None]:  # noqa: ARG002  as `UndoSince` has it
        """See `UndoSince`. Older keys end, too: whoever was inside may have had programs that hold them."""
        yield from self.end_all(user_id, caller, user_id)

    def _tell_end(self, key_id: str, name: str, owner: str, actor_id: str | None, caller: Caller) -> Work[None]:
        yield from self.sessions.revoke("token", f"apikey:{key_id}", self.clock.now())
        yield from self.audit.record(
            Event.AUTHN_TOKEN_DELETE, Outcome.SUCCESS, caller, user_id=owner, actor_id=actor_id,
            payload={"purpose": PURPOSE, "key": key_id, "name": name},
        )  # fmt: skip

    # Using ------------------------------------------------------------------------------------------------------

    async def find(self, secret: str, caller: Caller) -> Session | None:
        """What a key stands for, used by `caller` just now; None when it opens nothing, for whatever reason.

        Raises RateLimited, Unavailable.
        """
        found = await self._live(secret)
        if found is None:
            return None
        key, now = found.key, self.clock.now()
        if not key.takes(caller.address):
            payload = {"action": PURPOSE, "reason": "from another network", "key": key.id}
            await self.refusals.note(Event.AUTHN_LOGIN_FAIL, caller, payload, user_id=key.user_id)
            return None
        await self._count(key, caller, caller.address)
        await self._note_use(key, caller.address, now)
        return Session(
            id=key.id,
            user_id=key.user_id,
            uid=found.uid,
            name=found.name,
            roles=found.roles,
            status=found.status,
            transport="key",
            amr=(),
            aal=1,
            auth_time=0,
            created_at=key.created_at,
            last_seen_at=now,
            expires_at=key.expires_at,
            address=caller.address,
            user_agent=caller.user_agent,
            scopes=frozenset(self._effective(found)),
        )

    async def _count(self, key: ApiKey, caller: Caller, address: str) -> None:
        """Count a use. Raises RateLimited, Unavailable."""
        own = {} if key.per_minute is None else {FIGURE: Rate(key.per_minute, _MINUTE_SECONDS)}
        try:
            async with await self.limiter.admit(LIMIT, address, {FIGURE: key.id}, own):
                pass
        except RateLimited as refusal:
            await self.refusals.limited(LIMIT, refusal, caller)
            raise

    async def _note_use(self, key: ApiKey, address: str | None, now: Instant) -> None:
        """Note a use, to the minute. `address`: None leaves the last one as it is."""
        if key.last_used_at is None or now - key.last_used_at >= MINUTE:
            with suppress(Unavailable):  # a full disk stops no program
                await self.db.write(lambda: store.touch(key.id, address, now, now - MINUTE))

    async def introspect(self, secret: str, caller: Caller) -> Mapping[str, Any] | None:
        """What an app may be told of a key that it was sent (RFC 7662 §2.2); None when it opens nothing.

        `caller`: the app, which has proven who it is. `networks`: where it may be used from,
        when not from anywhere; the app alone knows where it came from. Raises RateLimited, Unavailable.
        """
        found = await self._live(secret)
        if found is None:
            return None
        key = found.key
        # By the key alone: at the address of its app the keys of everybody meet, and one would keep out the others.
        await self._count(key, caller, f"key:{key.id}")
        await self._note_use(key, None, self.clock.now())
        told: dict[str, Any] = {
            "active": True,
            "sub": key.user_id,
            "client_id": f"apikey:{key.id}",
            "jti": f"apikey:{key.id}",
            "scope": " ".join(self._effective(found)),
            "iat": key.created_at // SECOND,
            "exp": min(key.expires_at, found.ends_at or key.expires_at) // SECOND,
        }
        return {**told, "networks": list(key.networks)} if key.networks else told

    async def _live(self, secret: str) -> store.Found | None:
        if not is_api_key(secret):
            return None
        found = await self.db.read(store.find_by_digest(token_digest(secret)))
        if found is None or found.status != "active":
            return None
        now = self.clock.now()
        is_over = now >= found.key.expires_at or (found.ends_at is not None and now >= found.ends_at)
        return None if is_over else found

    def _effective(self, found: store.Found) -> list[str]:
        """The scopes that still count: not those that need a role which is gone, nor those no longer declared."""
        known = self.scopes_for(found.roles)
        return [name for name in found.key.scopes if name in known]

    async def note_leak(self, secret: str, caller: Caller) -> None:
        """Write down that a key was sent in an address, where logs and histories keep it."""
        found = await self.db.read(store.find_by_digest(token_digest(secret)))
        payload = {"action": PURPOSE, "reason": "in an address", **({} if found is None else {"key": found.key.id})}
        owner = None if found is None else found.key.user_id
        await self.refusals.note(Event.AUTHN_LOGIN_FAIL, caller, payload, user_id=owner)

    # Chores -----------------------------------------------------------------------------------------------------

    async def remind(self) -> int:
        """Mail the owners of keys that end within a week, each once, however many workers are at it; how many."""
        now = self.clock.now()
        due = await self.db.search(store.list_ending(now, now + REMIND_DAYS * DAY))
        return sum([await self.db.write(partial(self._remind, key_id, now)) for key_id in due])

    def _remind(self, key_id: str, now: Instant) -> Work[bool]:
        found = yield from store.remind(key_id, now)
        if found is None:
            return False
        user_id, label, expires_at = found
        user = yield from self.users.locked(user_id)
        if user.email is not None and user.email_verified and user.status == "active":
            values: Values = {"path": PAGE, "name": user.name, "label": label, "expires_at": expires_at}
            yield from self.outbox.mail("api_key_expires", user.email, user.locale, values, expires_at=expires_at)
        return True

    async def purge(self) -> None:
        """Forget keys that ended a month ago."""
        before = self.clock.now() - KEEP_DAYS * DAY
        while await self.db.write(lambda: store.delete_expired(before)) == PURGE_AT_ONCE:
            pass

    def _record(self, key: ApiKey, what: str, actor_id: str | None, caller: Caller) -> Work[None]:
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, caller, user_id=key.user_id, actor_id=actor_id,
            payload={"purpose": PURPOSE, "what": what, "key": key.id, "name": key.name, "scopes": list(key.scopes)},
        )  # fmt: skip


def _unless_long(days: int, now: Instant) -> Instant | None:
    """Nobody is reminded of a key that lives no longer than the reminder would come before its end."""
    return now if days <= REMIND_DAYS else None
