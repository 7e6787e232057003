"""An owner says that it was not them: one confirmed click shuts everybody out and takes back what came about since.

What it does, and for whom (C22, C23, C28; UX-53, UX-54; ASVS 6.3.5, 6.3.7, 7.4.3):

- The link of a notice counts once, for seven days, and only while the address it was sent to is the owner's proven one.
  It outlives new passwords and the end of all sessions, for both may be a thief's doing.
- What it takes away is what was added since the event, nothing older: somebody else's old mail must not strip an
  account of what protects it. A second step from before is still asked for.
- For an hour, and until there is a newer password, whoever has the link chooses the next password at once, as with a
  link that they had asked for. Later it only shuts everybody out, and a fresh link goes to the address: a notice that
  was forwarded, or lies in an old copy of a mailbox, opens nothing.
- Links of later events are void with it: what came after has been taken back. So nobody can shut the owner out more
  often than there were notices, and then from the latest to the first.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from doorward.audit import AuditEvent, AuditReader, AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import PasswordService, SecurityNotices, UndoSince
from doorward.confirmations import LIFETIME_SECONDS, Confirmation, Confirmations, Opened, State
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, NotFound
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Database
from doorward.recovery.model import is_theirs
from doorward.sessions import Session, Sessions, describe
from doorward.sql import Work
from doorward.users import User, UsersService, contact_key

LinkState: TypeAlias = State | Literal["moved"]
"""`moved`: the account has another address by now, or none."""
By: TypeAlias = Literal["link", "session"]
VoidCodes: TypeAlias = Callable[[User, Caller, Instant], Work[None]]
"""Voids every recovery code of a user, in the caller's transaction."""

_MOVED: Final = msgid("The address that this link was sent to is no longer that of the account")
_CHOOSES: Final = LIFETIME_SECONDS["recovery"] * SECOND  # how long a notice's link may set a password by itself
_REACHES_BACK: Final = LIFETIME_SECONDS["not_me"] * SECOND  # as far as a link that came by mail could
_CODE_USED: Final = "recovery_code_used"
_SIGN_INS: Final = frozenset({Event.AUTHN_LOGIN_SUCCESS, Event.AUTHN_LOGIN_SUCCESSAFTERFAIL, Event.SESSION_CREATED})


def no_codes(_: User, __: Caller, ___: Instant) -> Work[None]:
    """Void nothing, where there are no recovery codes."""
    yield from ()


@dataclass(frozen=True, slots=True)
class Happened:
    """What a link is about. `what`: the notice it came in; `kind`: of authenticator, a msgid, where it is about one."""

    what: str
    at: Instant
    device: str
    kind: str


@dataclass(frozen=True, slots=True)
class ShutOut:
    """Everybody is shut out. `path`: where the next password is chosen; None: a link to that has been mailed."""

    user_id: str
    path: str | None


@dataclass(frozen=True, slots=True)
class NotMe:
    """The way back for whoever finds somebody else in their account.

    `undo_since`: what takes away the authenticators, keys and tokens of later rooms. `void_codes`: after the use of one
    recovery code the others are known to others, too, however old they are.
    """

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    notices: SecurityNotices
    sessions: Sessions
    confirmations: Confirmations
    audit: AuditTrail
    events: AuditReader
    refusals: Refusals
    undo_since: Sequence[UndoSince] = ()
    void_codes: VoidCodes = no_codes

    # By the link of a notice ------------------------------------------------------------------------------------

    async def look(self, token: str) -> tuple[LinkState, Happened | None]:
        """What a link leads to, and what it is about while it works. Changes nothing (C23)."""
        state, found = await self.confirmations.look(token, "not_me")
        if found is None or state != "live":
            return state, None
        user = await self.users.find(found.user_id or "")
        if user is None or not is_theirs(found, user):
            return "moved", None
        return state, _happened(found)

    async def act(self, token: str, caller: Caller) -> ShutOut:
        """Use a link up. No session begins, and a second step stays what it is.

        Raises Invalid naming `token` when it is over, or sent to an address that the account no longer has.
        """
        found = await self.confirmations.by_token(token, "not_me")
        return await self.db.write(partial(self._act, found, caller))

    def _act(self, found: Confirmation, caller: Caller) -> Work[ShutOut]:
        now, happened = self.clock.now(), _happened(found)
        user = yield from self._owner(found)  # locked first: two links of one user must not wait in a circle
        yield from self.confirmations.use(found, now)
        chooses = yield from self._may_choose(found, user, now)
        if happened.what == _CODE_USED:
            yield from self.void_codes(user, caller, now)
        yield from self._shut_out(user, happened.at, caller, now)
        opened = yield from self._begin_recovery(user, happened.at, "link", caller, now)
        yield from self._record(user, happened.what, happened.at, None, caller)
        return ShutOut(user.id, f"/recovery/{opened.token}" if chooses else None)

    def _owner(self, found: Confirmation) -> Work[User]:
        try:
            user = yield from self.users.locked(found.user_id or "")
        except NotFound:
            raise _moved() from None
        if not is_theirs(found, user):
            raise _moved()
        return user

    def _may_choose(self, found: Confirmation, user: User, now: Instant) -> Work[bool]:
        """Whether the link is as good as one that was asked for: an hour old at most, and no newer password (C23)."""
        if now >= found.created_at + _CHOOSES:
            return False
        return not (yield from self.passwords.changed_since(user.id, found.created_at))

    # In a session -----------------------------------------------------------------------------------------------

    async def look_signed_in(self, session: Session, event_id: str, caller: Caller) -> Happened:
        """What the caller would take back: what is recorded under that id, if it is their own. Raises NotFound."""
        row = await self.events.find(event_id)
        if row is None:
            raise NotFound(reason="no such event")
        if row.user_id != session.user_id:
            await self.refusals.note(
                Event.AUTHZ_FAIL,
                caller,
                {"verb": "report", "resource": "event"},
                user_id=row.user_id,
                actor_id=session.user_id,
                session_id=session.id,
            )
            raise NotFound(reason="somebody else's event")
        return Happened(row.event, row.at, _device_of(row), "")

    async def act_signed_in(self, session: Session, event_id: str, caller: Caller) -> None:
        """Shut everybody else out; this session goes on, to choose the next password.

        A thief may be the one who asks, so it needs a fresh authentication and reaches no further back than a link that
        came by mail: what has protected the account for longer is removed one by one, in the open. Raises
        ReauthenticationNeeded, NotFound, NotSignedIn.
        """
        session.require_fresh(self.clock.now())
        happened = await self.look_signed_in(session, event_id, caller)

        def work() -> Work[None]:
            now = self.clock.now()
            user = yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            since = max(happened.at, now - _REACHES_BACK)
            yield from self._shut_out(user, since, caller, now, kept=session.id)
            if user.email_verified:
                yield from self._begin_recovery(user, since, "session", caller, now)
            yield from self._record(user, happened.what, since, session, caller)

        await self.db.write(work)

    # Both -------------------------------------------------------------------------------------------------------

    def _shut_out(self, user: User, since: Instant, caller: Caller, now: Instant, kept: str = "") -> Work[None]:
        """Take back what came about since, and end every session but `kept` and whatever else was begun."""
        # First the ways in, then the sessions: a sign-in under way is waited for, and its session ends with the others.
        yield from self.users.remove_contact_since(user.id, "phone", since, caller, now)
        for undo in self.undo_since:
            yield from undo(user.id, since, caller, now)
        yield from self.passwords.flag_compromised(user.id)
        yield from self.sessions.end_all(user.id, caller, now, kept=kept)
        yield from self.sessions.forget_devices(user.id)
        for one in (yield from self.confirmations.live_of_user(user.id, "not_me", now)):
            if _happened(one).at >= since:
                yield from self.confirmations.void(one, now)

    def _begin_recovery(self, user: User, since: Instant, by: By, caller: Caller, now: Instant) -> Work[Opened]:
        """Begin a recovery for a user with a proven address, and mail its link there with what was done."""
        address = user.email or ""
        opened = yield from self.confirmations.begin(
            "recovery", address, contact_key("email", address), now=now, user_id=user.id, locale=caller.locale
        )
        yield from self.notices.reported(user, opened, describe(caller.user_agent), since, now, by)
        return opened

    def _record(self, user: User, what: str, since: Instant, session: Session | None, caller: Caller) -> Work[None]:
        yield from self.audit.record(
            Event.ACCOUNT_REPORTED,
            Outcome.SUCCESS,
            caller,
            user_id=user.id,
            actor_id=user.id,
            session_id=None if session is None else session.id,
            payload={"by": "link" if session is None else "session", "what": what, "since": since},
        )


def _happened(found: Confirmation) -> Happened:
    kept = found.payload
    return Happened(str(kept["what"]), int(kept["at"]), str(kept["device"]), str(kept["kind"]))


def _moved() -> Invalid:
    return Invalid([FieldError("token", "void", _MOVED)], reason="link is nobody's")


def _device_of(row: AuditEvent) -> str:
    """Of a sign-in, and a msgid or a name as it is; of what else happened the device may be another member's."""
    if row.event not in _SIGN_INS:
        return ""
    try:
        payload = json.loads(row.payload or "{}")
    except ValueError:  # redacted by hand
        return ""
    device = payload.get("device") if isinstance(payload, dict) else None
    return device if isinstance(device, str) else ""
