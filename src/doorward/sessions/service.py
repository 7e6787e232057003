"""Start, recognise, rotate and end sessions. `finish` starts every session, whatever the flow."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import msgspec

from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import Factors, Standing
from doorward.events import Tell, tell_nobody
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.kernel.errors import InvalidCredentials, NotFound, NotSignedIn, Unavailable
from doorward.kernel.ids import new_id, new_token, token_digest
from doorward.kernel.instant import MINUTE, SECOND, Instant
from doorward.kernel.limits import DeviceLimit
from doorward.ports import Clock, Database
from doorward.sessions import store, ticket_store
from doorward.sessions.cache import Cached, SessionCache
from doorward.sessions.feed import KEEP, RevocationFeed
from doorward.sessions.model import (
    MAX_SESSIONS,
    MAX_TICKETS,
    TICKET_SECONDS,
    NeedsStep,
    Owes,
    Profile,
    Session,
    SignedIn,
    SignInOutcome,
    Start,
    Ticket,
    Transport,
)
from doorward.sql import PURGE_AT_ONCE, Work
from doorward.users import SessionsEnd, User

BEARER_PREFIX = "dws_"  # so that secret scanners can find a leaked one
TOUCH_EVERY = MINUTE
NEWCOMER = 10 * MINUTE  # nobody is told of the browser they have just signed up with

_encode = msgspec.json.Encoder().encode


def nothing_to_forget(_: str) -> Work[None]:
    """Forget nothing."""
    yield from ()


def _end_nothing_of_session(_: str, __: Instant) -> Work[None]:
    yield from ()


def _end_nothing_of_user(_: str, __: str, ___: Instant) -> Work[None]:
    yield from ()


def _note_nothing(_: str, __: Caller) -> Work[None]:
    yield from ()


def _tell_nobody(_: User, __: Caller, ___: Instant) -> Work[None]:
    yield from ()


@dataclass(slots=True)
class Sessions:
    """The sessions room's service. Holds the cache; `start` and `stop` run the feed that keeps it honest.

    `forget` calls off, in the same transaction, what may have been begun in sessions that end all at once: an address
    or a number that waits for its proof would outlive them. `told_of_device` tells a user of a browser that is new.
    `end_of_session` and `end_of_user` end, in the same transaction, what apps were given in a session, or in all of a
    user's but one (its id, or empty); also in sessions that are over already, for it may outlive their time.
    `shown_factor` hears of whoever has shown a second factor of theirs, or a passkey.
    """

    db: Database
    clock: Clock
    audit: AuditTrail
    refusals: Refusals
    profiles: Mapping[int, Profile]
    factors: Factors
    device_limit: DeviceLimit
    csrf_token: Callable[[str], str]
    forget: Callable[[str], Work[None]] = nothing_to_forget
    end_of_session: Callable[[str, Instant], Work[None]] = _end_nothing_of_session
    end_of_user: Callable[[str, str, Instant], Work[None]] = _end_nothing_of_user
    told_of_device: Callable[[User, Caller, Instant], Work[None]] = _tell_nobody
    shown_factor: Callable[[str, Caller], Work[None]] = _note_nothing
    tell: Tell = tell_nobody
    cache: SessionCache = field(default_factory=SessionCache)
    feed: RevocationFeed = field(init=False)

    def __post_init__(self) -> None:
        """Tie the feed to the cache."""
        self.feed = RevocationFeed(self.db, self.clock, self.cache.drop)

    async def start(self) -> None:
        """Follow revocations."""
        await self.feed.start()

    async def stop(self) -> None:
        """Stop following them."""
        await self.feed.stop()

    # Starting ---------------------------------------------------------------------------------------------------

    def finish(self, user: User, proof: Proof, caller: Caller, start: Start | None = None) -> Work[SignInOutcome]:
        """Start a session, or say what is owed before one starts; inside the caller's transaction.

        The only way one starts, whatever the flow: no path can skip a second factor (ASVS 6.1.3, 6.3.4; C25). Raises
        InvalidCredentials when the user may not sign in.
        """
        begins = start or Start()
        standing = yield from self.factors.standing(user.id, proof)
        if standing.user.status == "disabled":
            raise InvalidCredentials(reason=standing.user.status)
        if standing.owes is not None:
            return (yield from self.open_ticket(standing, proof, caller, begins, standing.owes))
        if standing.user.status == "leaving":
            return (yield from self.open_ticket(standing, proof, caller, begins, "restoration"))
        return (yield from self._begin(standing.user, proof, caller, begins, has_factor=standing.has_factor))

    def _begin(self, user: User, proof: Proof, caller: Caller, start: Start, *, has_factor: bool) -> Work[SignedIn]:
        now = proof.at
        started = Session(
            id=new_id(now),
            user_id=user.id,
            uid=user.uid,
            name=user.name,
            roles=user.roles,
            status=user.status,
            transport=start.transport,
            amr=proof.amr,
            aal=proof.aal,
            auth_time=now,
            created_at=now,
            last_seen_at=now,
            expires_at=now + self.profiles[proof.aal].absolute,
            address=caller.address,
            user_agent=caller.user_agent,
            has_factor=has_factor,
        )
        if proof.aal > 1:
            yield from self.shown_factor(user.id, caller)
        if start.replaced is not None and start.transport == "cookie":
            yield from self._end_replaced(start.replaced, caller, now)
        token = (BEARER_PREFIX if start.transport == "bearer" else "") + new_token()
        yield from store.insert_session(started, token_digest(token))
        for ended in (yield from store.delete_beyond(user.id, MAX_SESSIONS)):
            yield from self._end_session(ended, now)
            yield from self._tell_of_end(ended, user.id, caller, "more than fifty sessions")
        device_token = None
        if start.transport == "cookie":
            device_token = yield from self._know_device(user, start.device_id, caller, now)
        yield from self.audit.record(
            Event.SESSION_CREATED,
            Outcome.SUCCESS,
            caller,
            user_id=user.id,
            actor_id=user.id,
            session_id=started.id,
            payload={"amr": list(proof.amr), "aal": proof.aal, "transport": start.transport},
        )
        return SignedIn(started, token, device_token)

    # Half signed in ---------------------------------------------------------------------------------------------

    def open_ticket(
        self,
        standing: Standing,
        proof: Proof,
        caller: Caller,
        start: Start,
        owes: Owes,
        session_id: str | None = None,
    ) -> Work[NeedsStep]:
        """Keep what was shown until the rest is, inside the caller's transaction. It opens nothing by itself."""
        now, user_id, token = proof.at, standing.user.id, new_token()
        opened = Ticket(
            id=new_id(now),
            user_id=user_id,
            session_id=session_id,
            owes=owes,
            amr=proof.amr,
            transport=start.transport,
            device_id=start.device_id,
            path=start.path,
            wants_jwt=start.wants_jwt,
            created_at=now,
            expires_at=now + TICKET_SECONDS * SECOND,
        )
        yield from ticket_store.insert_ticket(opened, token_digest(token))
        yield from ticket_store.delete_tickets_beyond(user_id, MAX_TICKETS)
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED,
            Outcome.SUCCESS,
            caller,
            user_id=user_id,
            session_id=session_id,
            payload={"purpose": "next step", "owes": owes, "amr": list(proof.amr)},
        )
        return NeedsStep(token, owes, standing.kinds, start.transport, user_id, opened.expires_at)

    async def find_ticket(self, token: str | None) -> Ticket | None:
        """The half signed-in state behind a token, if it still leads anywhere."""
        if not token:
            return None
        return await self.db.read(ticket_store.find_ticket(token_digest(token), self.clock.now()))

    def use_ticket(self, ticket: Ticket) -> Work[None]:
        """Use one up inside the transaction that acts on it. Raises NotSignedIn when somebody was quicker, or it ended.

        Whoever ends all sessions of a user ends these, too.
        """
        if not (yield from ticket_store.delete_ticket(ticket.id)):
            raise NotSignedIn(reason="ticket is over")

    # Forms that wait for a fresh authentication -------------------------------------------------------------------

    async def keep_form(self, session_id: str, path: str, fields_sealed: bytes) -> None:
        """Keep what was sent until its sender has proven anew who they are, for as long as that takes at most."""
        until = self.clock.now() + TICKET_SECONDS * SECOND
        await self.db.write(lambda: ticket_store.upsert_form(session_id, path, fields_sealed, until))

    async def take_form(self, session_id: str) -> tuple[str, bytes] | None:
        """What was kept for a session: its path and its sealed fields. Once."""
        now = self.clock.now()
        return await self.db.write(lambda: ticket_store.delete_form(session_id, now))

    def _end_replaced(self, token: str, caller: Caller, now: Instant) -> Work[None]:
        found = yield from store.delete_by_digest(token_digest(token))
        if found is not None:
            session_id, user_id = found
            yield from self._end_session(session_id, now)
            yield from self._tell_of_end(session_id, user_id, caller, "another session began in its place")

    def _know_device(self, user: User, device_id: str | None, caller: Caller, now: Instant) -> Work[str | None]:
        if device_id is not None and (yield from store.refresh_device(device_id, now)):
            return None
        device_token = secrets.token_urlsafe(32)
        yield from store.insert_device(new_id(now), user.id, token_digest(device_token), now)
        yield from store.delete_devices_beyond(user.id, self.device_limit.per_user)
        if now - user.created_at > NEWCOMER:
            yield from self.told_of_device(user, caller, now)
        return device_token

    # Recognising ------------------------------------------------------------------------------------------------

    async def find(self, token: str, transport: Transport) -> Session | None:
        """The live session behind a token, or None. Raises Unavailable when the database does not answer."""
        if (transport == "bearer") != token.startswith(BEARER_PREFIX):
            return None
        entry = self.peek(token, self.clock.now())
        if entry is not None:
            return entry.session if entry.session.transport == transport else None
        found = await self._load(token_digest(token))
        return found if found is not None and found.transport == transport else None

    async def find_by_id(self, session_id: str) -> Session | None:
        """The live session with this id, for tokens that name it (`sid`)."""
        now = self.clock.now()
        entry = self.cache.get_by_id(session_id) if self.feed.fresh(now) else None
        if entry is not None and now - entry.seen_at < TOUCH_EVERY and entry.session.live(now, self.profiles):
            return entry.session
        found = await self.db.read(store.find_by_id(session_id))  # another worker may have written down its use
        return found if found is not None and found.live(now, self.profiles) else None

    def peek(self, token: str, now: Instant) -> Cached | None:
        """What the cache knows of a live session, when it may be believed and its use needs no writing down."""
        if not self.feed.fresh(now):
            return None
        entry = self.cache.get(token_digest(token))
        if entry is None or not entry.session.live(now, self.profiles) or now - entry.seen_at >= TOUCH_EVERY:
            return None
        return entry

    async def _load(self, digest: bytes) -> Session | None:
        now, drops = self.clock.now(), self.cache.drops
        found = await self.db.read(store.find_by_digest(digest))
        if found is None or not found.live(now, self.profiles):
            return None
        found = await self._touched(found, now)
        if self.feed.fresh(now) and self.cache.drops == drops:
            body = _encode(found.as_json(self.csrf_token(found.id)))
            self.cache.put(digest, Cached(found, body, found.last_seen_at))
        return found

    async def _touched(self, session: Session, now: Instant) -> Session:
        if now - session.last_seen_at < TOUCH_EVERY:
            return session
        with suppress(Unavailable):  # a full disk signs nobody out; idle time is then not prolonged
            await self.db.write(lambda: store.update_last_seen(session.id, now))
            return replace(session, last_seen_at=now)
        return session

    async def note_use(self, session: Session) -> None:
        """Count idle time from now, for a session that was used without its token."""
        touched = await self._touched(session, self.clock.now())
        entry = self.cache.get_by_id(session.id)
        if entry is not None and entry.session is session:
            entry.session, entry.seen_at = touched, touched.last_seen_at

    # Changing ---------------------------------------------------------------------------------------------------

    def rotate(self, session: Session, caller: Caller, now: Instant, amr: tuple[str, ...] | None = None) -> Work[str]:
        """Give a session a new secret after its user proved anew who they are; the old one is dead (ASVS 7.2.4).

        `amr`: what was shown, if it changes what the session stands for; at a higher level it does not last longer.
        """
        token = (BEARER_PREFIX if session.transport == "bearer" else "") + new_token()
        # A second later at least: JWTs name the instant by its second, and those made before must stop working.
        proof = Proof(session.amr if amr is None else amr, max(now, session.auth_time + SECOND))
        until = min(session.expires_at, now + self.profiles[proof.aal].absolute)
        if not (yield from store.update_token(session.id, token_digest(token), proof, until)):
            raise NotFound(reason="session ended meanwhile")
        yield from self._revoke("renewal", session.id, now)
        yield from self.audit.record(
            Event.SESSION_RENEWED,
            Outcome.SUCCESS,
            caller,
            user_id=session.user_id,
            actor_id=session.user_id,
            session_id=session.id,
            payload={"amr": list(proof.amr), "aal": proof.aal},
        )
        return token

    async def list_of(self, user_id: str) -> list[Session]:
        """A user's live sessions, latest used first."""
        now = self.clock.now()
        found = await self.db.search(store.list_of_user(user_id, now))
        return [session for session in found if session.live(now, self.profiles)]

    def require_live(self, session: Session) -> Work[None]:
        """Make sure, in a transaction that holds a lock on the user, that a session has not ended.

        A worker may believe in it for up to a second more; what it begins would outlive the end. Raises NotSignedIn.
        """
        if (yield from store.find_by_id(session.id)) is None:
            raise NotSignedIn(reason="session ended meanwhile")

    def held(self, session_id: str) -> Work[Session | None]:
        """A live session that nobody ends before the caller's transaction has; None when it is over."""
        found = yield from store.find_by_id_locked(session_id)
        return found if found is not None and found.live(self.clock.now(), self.profiles) else None

    # Ending -----------------------------------------------------------------------------------------------------

    async def end(self, session_id: str, user_id: str, caller: Caller) -> None:
        """End one session of a user. Raises NotFound when it is not theirs or already over."""
        now = self.clock.now()

        def work() -> Work[bool]:
            if not (yield from store.delete_session(session_id, user_id)):
                return False
            yield from self._end_session(session_id, now)
            yield from self._tell_of_end(session_id, user_id, caller, "signed out")
            return True

        if not await self.db.write(work):
            await self._note_foreign(session_id, user_id, caller)
            raise NotFound

    async def _note_foreign(self, session_id: str, user_id: str, caller: Caller) -> None:
        found = await self.db.read(store.find_by_id(session_id))
        if found is not None:
            payload = {"verb": "end", "resource": "session"}
            await self.refusals.note(Event.AUTHZ_FAIL, caller, payload, user_id=found.user_id, actor_id=user_id)

    async def end_others(self, user_id: str, kept: str, caller: Caller) -> int:
        """End every session of a user but `kept`; how many."""
        now = self.clock.now()
        return len(await self.db.write(lambda: self.end_all(user_id, caller, now, kept=kept)))

    async def end_everywhere(self, user_id: str, caller: Caller) -> int:
        """End every session of a user, that of the caller too; how many."""
        now = self.clock.now()
        return len(await self.db.write(lambda: self.end_all(user_id, caller, now)))

    def end_all(self, user_id: str, caller: Caller, now: Instant, *, kept: str = "") -> Work[list[str]]:
        """End the sessions of a user inside the caller's transaction; `kept` stays. Their ids."""
        yield from self.forget(user_id)
        yield from ticket_store.delete_tickets(user_id)
        ended = yield from store.delete_others(user_id, kept)
        for session_id in ended:
            yield from self._revoke("session", session_id, now)
            yield from self._tell_of_end(session_id, user_id, caller, "ended with the others")
        yield from self.end_of_user(user_id, kept, now)
        return ended

    def revoke_user(self, user_id: str, now: Instant, end: SessionsEnd | None = None) -> Work[None]:
        """Tell every cache that what it knows of a user is out of date. The sessions stay, unless `end` says why not.

        After a change of status or roles none may come back to life (ASVS 7.2.4, 7.4.2; C32, C36).
        """
        if end is not None:
            yield from self.forget(user_id)
            yield from ticket_store.delete_tickets(user_id)
            for session_id in (yield from store.delete_others(user_id, "")):
                yield from self._tell_of_end(session_id, user_id, end.caller, end.why, end.actor_id)
            yield from self.end_of_user(user_id, "", now)
        yield from self._revoke("change" if end is None else "user", user_id, now)

    def revoke(self, kind: Literal["family", "token"], subject: str, now: Instant) -> Work[None]:
        """Tell whoever follows the feed that what an app was given, or a key for programs, is over.

        Inside the caller's transaction.
        """
        yield from self._revoke(kind, subject, now)

    def _end_session(self, session_id: str, now: Instant) -> Work[None]:
        yield from self._revoke("session", session_id, now)
        yield from self.end_of_session(session_id, now)

    def _revoke(
        self, kind: Literal["session", "renewal", "user", "change", "family", "token"], subject: str, now: Instant
    ) -> Work[None]:
        # Our own cache hears of it with the commit, the others by the feed.
        yield from store.insert_revocation(kind, subject, now, partial(self.cache.drop, ((kind, subject),)))

    def _tell_of_end(
        self, session_id: str, user_id: str, caller: Caller, why: str, actor_id: str | None = None
    ) -> Work[None]:
        yield from self.audit.record(
            Event.SESSION_LOGOUT,
            Outcome.SUCCESS,
            caller,
            user_id=user_id,
            actor_id=actor_id or user_id,
            session_id=session_id,
            payload={"why": why},
        )
        yield from self.tell("session.ended", user_id, {"session_id": session_id}, self.clock.now())

    # Known devices ----------------------------------------------------------------------------------------------

    async def find_device(self, token: str | None) -> tuple[str, str, int] | None:
        """The known device behind a cookie: (id, user_id, failures)."""
        return None if token is None else await self.db.read(store.find_device(token_digest(token)))

    async def find_own_device(self, user_id: str | None, token: str | None) -> str | None:
        """The id of a known device of that very user; the same look-up for nobody (C16)."""
        found = await self.find_device(token)
        return found[0] if found is not None and found[1] == user_id else None

    def fail_device(self, device_id: str) -> Work[None]:
        """Count a wrong password on a known device; after too many it is a stranger again."""
        if (yield from store.fail_device(device_id)) >= self.device_limit.void_after:
            yield from store.delete_device(device_id)

    def forget_devices(self, user_id: str) -> Work[None]:
        """After a password change every device has to prove itself anew."""
        yield from store.delete_devices(user_id)

    async def purge(self) -> None:
        """Forget sessions and revocations that can matter to nobody any more."""
        now = self.clock.now()
        for delete in (store.delete_expired, ticket_store.delete_expired_tickets, ticket_store.delete_old_forms):
            while await self.db.write(partial(delete, now)) == PURGE_AT_ONCE:
                pass
        while await self.db.write(lambda: store.delete_old_revocations(now - KEEP)) == PURGE_AT_ONCE:
            pass
