"""Creating, finding, changing and deleting users."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

from doorward.audit import AuditTrail, Event, Outcome
from doorward.events import Tell, tell_nobody
from doorward.kernel.caller import OURSELVES, Caller
from doorward.kernel.errors import Conflict, Invalid, NotFound, PreconditionFailed
from doorward.kernel.ids import new_id
from doorward.kernel.instant import DAY, SECOND, Instant, to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.kernel.text import uid_key
from doorward.ports import Clock, Database
from doorward.sql import Work
from doorward.users import store
from doorward.users.fields import Writer
from doorward.users.model import (
    ACTIVE,
    ADMIN,
    LEAVING,
    LEAVING_DAYS,
    Changes,
    ContactKind,
    Departure,
    NewUser,
    SessionsEnd,
    User,
    contact_key,
)
from doorward.users.rules import core_rule
from doorward.users.schema import Schema
from doorward.web.conditions import Versions

T = TypeVar("T")
Revoke: TypeAlias = Callable[[str, Instant, SessionsEnd | None], Work[None]]
"""Tells every cache, within the transaction, that what it knows of a user is out of date, and may end the sessions."""

_WRITABLE = ("uid", "name", "email", "dob", "status", "roles")
_IN_SESSIONS = ("uid", "name", "status", "roles")  # what sessions carry of a user
_ENDING = ("status", "roles")  # what no session outlives: the next one begins with a sign-in
_ERASED_AT_ONCE = 100  # between two looks at who is due
_IS_LEAVING = msgid("This account is being deleted; bring it back first")
_IS_NOT_LEAVING = msgid("This account is not being deleted")
_LAST_ADMIN = "This is the last administrator; make somebody else one first"
ANOTHERS = msgid("This address belongs to another account")
_IDENTIFIER_LONGEST = 320  # code points; no handle and no address is longer, and folding a megabyte takes a second


@dataclass(frozen=True, slots=True)
class UsersService:
    """Users on one database. Every change is audited in its own transaction."""

    db: Database
    clock: Clock
    audit: AuditTrail
    schema: Schema
    revoke: Revoke
    reserved: frozenset[str] = frozenset()  # see `reserved_keys`
    tell: Tell = tell_nobody

    # Reading ------------------------------------------------------------------------------------------------------

    async def find(self, user_id: str) -> User | None:
        """A user by id."""
        return await self.db.read(store.find_by_id(user_id))

    async def find_by_identifier(self, text: str) -> User | None:
        """A user by handle, however it is written, or by an e-mail address that is proven to be theirs."""
        typed = text.strip()
        if len(typed) > _IDENTIFIER_LONGEST or "\0" in typed:
            return None
        find = store.find_by_verified_email if "@" in typed else store.find_by_uid
        return await self.db.read(find(typed))

    async def taken(self, uid: str) -> bool:
        """Whether somebody has this handle or one that looks like it."""
        return await self.db.read(store.find_owner_of_uid(uid)) is not None

    def is_reserved(self, uid: str) -> bool:
        """Whether nobody may choose this handle, or one that looks like it, but the operator."""
        return uid_key(uid) in self.reserved

    async def any_with_role(self, role: str) -> bool:
        """Whether an active user has `role`."""
        return bool(await self.db.search(store.list_holders(role)))

    # Validation ---------------------------------------------------------------------------------------------------

    def validate_sign_up(self, body: object) -> NewUser:
        """Check what a newcomer sent, without their password. Raises Invalid naming every bad field."""
        return self.schema.validate_sign_up(body, today=self._today())

    def validate_sign_up_by_email(self, body: object) -> NewUser:
        """The same for someone who signs up with an address; the handle and the name may be empty."""
        return self.schema.validate_sign_up_by_email(body, today=self._today())

    def validate_update(self, body: object, writer: Writer, user_id: str, *, may_increment: bool = False) -> Changes:
        """Check what `writer` wants to change of a user; see `Schema`. Raises Invalid naming every bad field."""
        return self.schema.validate_update(body, writer, user_id, today=self._today(), may_increment=may_increment)

    # Writing ------------------------------------------------------------------------------------------------------

    async def create(
        self,
        new: NewUser,
        caller: Caller,
        *,
        also: Callable[[User, Instant], Work[T]],
        roles: tuple[str, ...] = (),
        first: Callable[[], Work[None]] | None = None,
    ) -> tuple[User, T]:
        """Add a user and do `also` (their password, their first session) in one transaction.

        `first`: what must hold or be consumed before; it raises to stop it. Raises Invalid when the handle is taken,
        and whatever `first` and `also` raise; then nothing was written.
        """
        now = self.clock.now()

        def work() -> Work[tuple[User, T]]:
            if first is not None:
                yield from first()
            user = yield from self._insert(new, roles, now)
            yield from self.tell("user.created", user.id, legacy(user.legacy_id), now)
            yield from self.audit.record(
                Event.USER_CREATED, Outcome.SUCCESS, caller, user_id=user.id, actor_id=user.id,
                payload={"roles": list(roles)} if roles else None,
            )  # fmt: skip
            return user, (yield from also(user, now))

        return await self.db.write(work)

    async def update(
        self,
        user_id: str,
        changes: Changes,
        actor_id: str | None,
        caller: Caller,
        *,
        adapt: Callable[[User, Instant], Work[Changes]] | None = None,
        versions: Versions = None,
    ) -> User:
        """Change a user; without any real change nothing is written.

        Raises NotFound, Invalid (handle taken, an increment too far), PreconditionFailed (not one of `versions`).

        `adapt`: sees the locked user, does in the transaction what belongs to it, and says what to change instead of
        `changes`; it raises to stop it, and then nothing was written.
        """
        now = self.clock.now()

        def work() -> Work[User]:
            user = yield from self.require_version(user_id, versions)
            wanted = changes
            if adapt is not None:
                wanted = yield from adapt(user, now)
                user = yield from _find_locked(user_id)
            changed = _apply(user, self.schema.add(user, wanted) if wanted.increments else wanted)
            if changed.uid != user.uid and (yield from store.find_owner_of_uid(changed.uid)) not in {None, user.id}:
                raise _taken()
            return (yield from self._write_change(user, changed, actor_id, caller, now))

        return await self.db.write(work)

    def require_version(self, user_id: str, versions: Versions) -> Work[User]:
        """The locked user, if they are of one of `versions`. Raises NotFound, PreconditionFailed."""
        user = yield from _find_locked(user_id)
        if versions is not None and user.version not in versions:
            raise PreconditionFailed(reason=f"version {user.version}")
        return user

    async def set_roles(self, user_id: str, roles: Iterable[str], actor_id: str | None, caller: Caller) -> User:
        """Give a user exactly these roles. Raises NotFound, Conflict (the last administrator)."""
        wanted = tuple(sorted(set(roles)))
        return await self._set_roles(user_id, lambda _: wanted, actor_id, caller)

    async def add_role(
        self,
        user_id: str,
        role: str,
        actor_id: str | None,
        caller: Caller,
        *,
        first: Callable[[], Work[None]] | None = None,
    ) -> User:
        """Give a user one more role. `first` runs first in the transaction and raises to stop it. Raises NotFound."""
        return await self._set_roles(user_id, lambda roles: tuple(sorted({*roles, role})), actor_id, caller, first)

    async def set_status(
        self, user_id: str, status: Literal["active", "disabled"], actor_id: str | None, caller: Caller
    ) -> User:
        """Disable a user or let them in again. Raises NotFound, Conflict (last administrator, or on their way out)."""
        now = self.clock.now()

        def work() -> Work[User]:
            user = yield from _find_locked(user_id)
            if user.status == LEAVING:  # else their day would come while they are back
                raise Conflict(_IS_LEAVING, reason="user is leaving")
            if status != ACTIVE:
                yield from _check_not_last_admin(user)
            return (yield from self._write_change(user, replace(user, status=status), actor_id, caller, now))

        return await self.db.write(work)

    async def delete(
        self,
        user_id: str,
        actor_id: str | None,
        caller: Caller,
        *,
        first: Callable[[], Work[None]] | None = None,
    ) -> None:
        """Erase a user and all that hangs on them at once; the audit keeps the id.

        `first` runs first in the transaction and raises to stop it. Raises NotFound, Conflict (the last administrator).
        """
        now = self.clock.now()

        def work() -> Work[None]:
            if first is not None:
                yield from first()
            user = yield from _find_locked(user_id)
            yield from _check_not_last_admin(user)
            yield from self._erase(user, actor_id, caller, now)

        await self.db.write(work)

    def _erase(
        self, user: User, actor_id: str | None, caller: Caller, now: Instant, asked_at: Instant | None = None
    ) -> Work[None]:
        user_id = user.id
        yield from store.delete_user(user_id)
        yield from self.revoke(user_id, now, SessionsEnd(caller, actor_id, "deleted"))
        yield from self.tell("user.deleted", user_id, legacy(user.legacy_id), now)
        yield from self.audit.record(
            Event.USER_DELETED, Outcome.SUCCESS, caller, user_id=user_id, actor_id=actor_id,
            payload=None if asked_at is None else {"asked_at": to_rfc3339(asked_at)},
        )  # fmt: skip

    async def _set_roles(
        self,
        user_id: str,
        choose: Callable[[tuple[str, ...]], tuple[str, ...]],
        actor_id: str | None,
        caller: Caller,
        first: Callable[[], Work[None]] | None = None,
    ) -> User:
        now = self.clock.now()

        def work() -> Work[User]:
            if first is not None:
                yield from first()
            user = yield from _find_locked(user_id)
            roles = choose(user.roles)
            if ADMIN not in roles:
                yield from _check_not_last_admin(user)
            return (yield from self._write_change(user, replace(user, roles=roles), actor_id, caller, now))

        return await self.db.write(work)

    # Leaving, and coming back --------------------------------------------------------------------------------------

    def leave(self, user_id: str, caller: Caller, now: Instant) -> Work[Instant]:
        """Let a user go, in the caller's transaction: nobody sees them any more. When they are erased.

        Their sessions end, and what waits to be confirmed is called off; handle and proven addresses stay theirs until
        then. Raises NotFound (not there, or not active), Conflict (the last administrator).
        """
        user = yield from _find_locked(user_id)
        if user.status != ACTIVE:
            raise NotFound(reason=f"user is {user.status}")
        yield from _check_not_last_admin(user)
        due_at = now + LEAVING_DAYS * DAY
        yield from store.insert_deletion(user_id, now, due_at)
        yield from store.update_user(replace(user, status=LEAVING), now)
        yield from self.revoke(user_id, now, SessionsEnd(caller, user_id, "leaving"))
        yield from self.tell("user.updated", user_id, {"changed": ["status"], "status": LEAVING}, now)
        yield from self.audit.record(
            Event.USER_ARCHIVED, Outcome.SUCCESS, caller, user_id=user_id, actor_id=user_id,
            payload={"due_at": to_rfc3339(due_at)},
        )  # fmt: skip
        return due_at

    def restore(self, user_id: str, caller: Caller, now: Instant, *, by_owner: bool = True) -> Work[User]:
        """Bring back a user who is leaving, in the caller's transaction, with all that is theirs but the sessions.

        Raises NotFound (not there, or no time left), Conflict (not leaving). Then nothing was written.
        """
        user = yield from _find_locked(user_id)
        if user.status != LEAVING:
            raise Conflict(_IS_NOT_LEAVING, reason=f"user is {user.status}")
        if not (yield from store.delete_deletion(user_id, now)):
            raise NotFound(reason="due to be erased")
        back = replace(user, status=ACTIVE)
        return (yield from self._write_change(user, back, user_id if by_owner else None, caller, now))

    async def leaving(self, user_id: str) -> Instant | None:
        """When a user is erased who asked for it and may still come back; None for everybody else."""
        return await self.db.read(store.find_deletion(user_id, self.clock.now()))

    async def departures(self, count: int) -> list[Departure]:
        """Those who are leaving, the next to be erased first, `count` of them."""
        return await self.db.search(store.list_departures(count))

    async def erase_due(self, now: Instant, *, also: Callable[[User, Instant], Work[None]]) -> int:
        """Erase those whose time to come back is over, each once, however many workers are at it; how many.

        `also`: what belongs into each one's transaction, with the user as they were.
        """
        erased = 0
        while True:
            due = await self.db.search(store.list_due(now, _ERASED_AT_ONCE))
            ours = [await self.db.write(partial(self._erase_if_due, user_id, now, also)) for user_id in due]
            erased += sum(ours)
            if len(due) < _ERASED_AT_ONCE or not all(ours):  # somebody else is at the rest
                return erased

    def _erase_if_due(self, user_id: str, now: Instant, also: Callable[[User, Instant], Work[None]]) -> Work[bool]:
        user = yield from store.find_by_id_locked(user_id)
        if user is None:
            return False
        asked_at = yield from store.delete_due_deletion(user_id, now)
        if asked_at is None or user.status != LEAVING:
            return False
        yield from self._erase(user, user_id, OURSELVES, now, asked_at)
        yield from also(user, now)
        return True

    # Addresses and numbers ----------------------------------------------------------------------------------------

    async def contact(self, user_id: str, kind: ContactKind) -> tuple[str, Instant | None] | None:
        """A user's address or number, and when it was proven, if it was."""
        return await self.db.read(store.find_contact(user_id, kind))

    async def proven_owner(self, kind: ContactKind, value: str) -> str | None:
        """The id of whoever proved that an address or a number is theirs."""
        return await self.db.read(store.find_proven_owner(kind, contact_key(kind, value)))

    def prove(self, user_id: str, kind: ContactKind, value: str, caller: Caller, now: Instant) -> Work[str | None]:
        """Note, in the caller's transaction, that a user proved an address or a number; the one it takes the place of.

        Everybody else's claim to it is void. Raises Conflict when somebody else has proven the address; a number goes
        to whoever proved it last, for operators give them out again.
        """
        key = contact_key(kind, value)
        if kind == "email" and (yield from store.find_proven_owner(kind, key)) not in {None, user_id}:
            raise Conflict(ANOTHERS, reason="address proven by somebody else")
        for other in (yield from store.delete_contact_of_others(kind, key, user_id)):
            yield from self._touch(other, kind, now)
            yield from self._record_contact(other, kind, "void", caller, None)
        old = yield from store.replace_contact(user_id, kind, value, key, now)
        yield from self._touch(user_id, kind, now)
        yield from self._record_contact(user_id, kind, "proven", caller, user_id)
        return old

    def locked(self, user_id: str) -> Work[User]:
        """A user, whom nobody else changes until the caller's transaction ends. Raises NotFound."""
        return (yield from _find_locked(user_id))

    def present(self, user_id: str) -> Work[User | None]:
        """A user who may be here, as the caller's transaction sees them: neither disabled nor leaving."""
        user = yield from store.find_by_id(user_id)
        return user if user is not None and user.status == ACTIVE else None

    def owner_of(self, kind: ContactKind, value: str) -> Work[User | None]:
        """Whoever proved that an address or a number is theirs, as the caller's transaction sees it."""
        owner = yield from store.find_proven_owner(kind, contact_key(kind, value))
        return None if owner is None else (yield from store.find_by_id(owner))

    def contact_of(self, user_id: str, kind: ContactKind) -> Work[tuple[str, Instant | None] | None]:
        """What `contact` gives, as the caller's transaction sees it."""
        return (yield from store.find_contact(user_id, kind))

    def remove_contact(
        self, user_id: str, kind: ContactKind, caller: Caller, now: Instant, actor_id: str | None = None
    ) -> Work[str | None]:
        """Forget a user's address or number, in the caller's transaction; what it was. `actor_id`: if not the user."""
        old = yield from store.replace_contact(user_id, kind, None, "", now)
        if old is not None:
            yield from self._touch(user_id, kind, now)
            yield from self._record_contact(user_id, kind, "removed", caller, actor_id or user_id)
        return old

    def remove_contact_since(
        self, user_id: str, kind: ContactKind, since: Instant, caller: Caller, now: Instant
    ) -> Work[str | None]:
        """Forget, in the caller's transaction, what a user proved at or after `since`; what it was."""
        contact = yield from store.find_contact(user_id, kind)
        if contact is None or contact[1] is None or contact[1] < since:
            return None
        return (yield from self.remove_contact(user_id, kind, caller, now))

    async def set_locale(self, user_id: str, locale: str) -> None:
        """Keep the language of a user's messages."""
        await self.db.write(lambda: store.update_locale(user_id, locale))

    def _touch(self, user_id: str, kind: ContactKind, now: Instant) -> Work[None]:
        """Something changed that is kept beside the user."""
        yield from store.count_up(user_id, now)
        yield from self.tell("user.updated", user_id, {"changed": [kind]}, now)

    def _record_contact(
        self, user_id: str, kind: ContactKind, what: str, caller: Caller, actor_id: str | None
    ) -> Work[None]:
        yield from self.audit.record(
            Event.USER_UPDATED, Outcome.SUCCESS, caller, user_id=user_id, actor_id=actor_id,
            payload={"fields": [kind], kind: what},
        )  # fmt: skip

    def _insert(self, new: NewUser, roles: tuple[str, ...], now: Instant) -> Work[User]:
        user_id = new_id(now)
        if not (yield from store.insert_user(user_id, new, roles, now)):
            raise _taken()
        return (yield from _find_locked(user_id))

    def _write_change(self, old: User, new: User, actor_id: str | None, caller: Caller, now: Instant) -> Work[User]:
        names = _differing(old, new)
        if not names:
            return old
        if "email" in names:
            yield from store.replace_email(old.id, new.email, now)
        yield from store.update_user(new, now)
        status = {"status": new.status} if "status" in names else {}
        yield from self.tell("user.updated", old.id, {"changed": names, **status}, now)
        if any(name in names for name in _IN_SESSIONS):
            ending = [name for name in _ENDING if name in names]
            end = SessionsEnd(caller, actor_id, f"{ending[0]} changed") if ending else None
            yield from self.revoke(old.id, now, end)
        yield from self._record_change(old, new, names, actor_id, caller)
        return replace(new, version=old.version + 1, updated_at=now)

    def _record_change(
        self, old: User, new: User, names: list[str], actor_id: str | None, caller: Caller
    ) -> Work[None]:
        """Audit names of fields, not what is in them; a change of roles and status in full."""
        if "roles" in names:
            yield from self.audit.record(
                Event.AUTHZ_CHANGE, Outcome.SUCCESS, caller, user_id=old.id, actor_id=actor_id,
                payload={"from": list(old.roles), "to": list(new.roles)},
            )  # fmt: skip
            return
        status: dict[str, Any] = {"status": new.status} if "status" in names else {}
        yield from self.audit.record(
            Event.USER_UPDATED, Outcome.SUCCESS, caller, user_id=old.id, actor_id=actor_id,
            payload={"fields": names, **status},
        )  # fmt: skip

    def _today(self) -> date:
        return datetime.fromtimestamp(self.clock.now() // SECOND, UTC).date()


def legacy(legacy_id: str | None) -> dict[str, str]:
    """What an event tells of where a user came from: an app may know them by that id."""
    return {} if legacy_id is None else {"legacy_id": legacy_id}


def _find_locked(user_id: str) -> Work[User]:
    user = yield from store.find_by_id_locked(user_id)
    if user is None:
        raise NotFound(reason="no such user")
    return user


def _check_not_last_admin(user: User) -> Work[None]:
    """Raise Conflict when nobody could administer any more (C10)."""
    if ADMIN in user.roles and user.status == ACTIVE:
        holders = yield from store.list_holders(ADMIN, locked=True)
        if holders == [user.id]:
            raise Conflict(_LAST_ADMIN, reason="last administrator")


def _apply(user: User, changes: Changes) -> User:
    fields = {**user.fields, **changes.fields}
    core: dict[str, Any] = dict(changes.core)
    if "email" in core and core["email"] != user.email:
        core["email_verified"] = False
    return replace(user, **core, fields={name: value for name, value in fields.items() if value is not None})


def _differing(old: User, new: User) -> list[str]:
    core = [name for name in _WRITABLE if getattr(old, name) != getattr(new, name)]
    custom = sorted({*old.fields, *new.fields})
    return core + [name for name in custom if not _same(old.fields.get(name), new.fields.get(name))]


def _same(old: object, new: object) -> bool:
    # To Python 1, 1.0 and True are equal; to JSON they are not.
    return repr(old) == repr(new)


def _taken() -> Invalid:
    return Invalid([core_rule("uid").refuse("taken")], reason="uid taken")
