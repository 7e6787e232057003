"""Notices of what happened to members, and what they lead to."""

from dataclasses import dataclass, field

from sqlalchemy import bindparam as p
from sqlalchemy import delete, select

from doorward.kernel.caller import Caller
from doorward.kernel.instant import Instant
from doorward.sql import Row, Statement, Work, insert
from doorward.sql.tables import grace
from doorward.users import User
from tests.http.conftest import Inbox, World
from tests.support.members import link

DEVICE = "Firefox on Linux"

_INSERT = Statement(insert(grace).values(user_id=p("owner"), since=p("at")))
_DELETE = Statement(delete(grace).where(grace.c.user_id == p("owner"), grace.c.since >= p("at")))
_LIST = Statement(select(grace.c.user_id))


async def user_of(world: World, user_id: str) -> User:
    """A member as they are now."""
    user = await world.services.users.find(user_id)
    assert user is not None
    return user


async def notice(world: World, user_id: str, what: str = "new_device") -> str:
    """Something happens to a member just now; the path of the link in the mail that tells them.

    The next thing happens a second later.
    """
    user, now, notices = await user_of(world, user_id), world.clock.now(), world.services.notices
    ways = {
        "new_device": lambda: notices.new_device(user, DEVICE, "192.0.2.7", now),
        "factor_added": lambda: notices.factor_added(user, "Authenticator app", "My phone", DEVICE, now),
        "recovery_code_used": lambda: notices.recovery_code_used(user, 9, DEVICE, now),
    }
    await world.services.db.write(ways[what])
    assert user.email is not None
    sent = await Inbox(world).last(user.email)
    assert sent.template == what
    return await link(world, user.email)


@dataclass
class Bound:
    """What a later room keeps of a user, at most one thing, in a table of its own; an owner's word takes it away.

    It stands for authenticators and keys: those rooms are asked in the same transaction and in the same words.
    """

    world: World
    asked: list[tuple[str, Instant, Instant]] = field(default_factory=list)  # (user id, since, now)
    fails: bool = False

    async def bind(self, user_id: str) -> None:
        """Keep something, bound just now."""
        now = self.world.clock.now()
        await self.world.services.db.write(lambda: _insert(user_id, now))

    async def is_there(self) -> bool:
        """Whether anything is kept."""
        return bool(await self.world.services.db.search(_list()))

    def undo_since(self, user_id: str, since: Instant, caller: Caller, now: Instant) -> Work[None]:
        """See `UndoSince`."""
        assert caller.address
        self.asked.append((user_id, since, now))
        yield _DELETE(owner=user_id, at=since)
        if self.fails:
            message = "a mistake in a later room"
            raise RuntimeError(message)


def _insert(user_id: str, now: Instant) -> Work[None]:
    yield _INSERT(owner=user_id, at=now)


def _list() -> Work[list[Row]]:
    return list((yield _LIST()))


def with_bound(world: World) -> Bound:
    """Let the application know such a room."""
    bound = Bound(world)
    for service in (world.services.not_me, world.services.contacts):
        object.__setattr__(service, "undo_since", (bound.undo_since,))
    return bound
