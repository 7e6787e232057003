"""Users on real databases: one owner a handle, every change audited, nothing left after a deletion."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from doorward.audit import AuditEvent, AuditTrail
from doorward.audit.store import list_events
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, Invalid, NotFound
from doorward.kernel.instant import Instant
from doorward.ports import Database, Sealer
from doorward.sql import Row, Statement, Work, insert
from doorward.sql.tables import identifier, password, users
from doorward.testing import MovableClock
from doorward.users import Changes, Declaration, NewUser, Schema, SessionsEnd, User, UsersService
from tests.support.hostile import hostile_strings

CALLER = Caller("192.0.2.1")
SCHEMA = Schema(
    {
        "coins": Declaration(type="integer", write="app", read="public", sortable=True, default=0),
        "tracking": Declaration(type="json"),
        "motto": Declaration(type="string"),
    }
)
INSERT_PASSWORD = Statement(
    insert(password).values(user_id=bindparam("user_id"), digest="x", set_at=0).returning(password.c.user_id)
)
PASSWORDS = Statement(select(password.c.user_id))
IDENTIFIERS = Statement(select(identifier.c.user_id, identifier.c.value).order_by(identifier.c.id))
VERIFY = Statement(
    update(identifier)
    .where(identifier.c.value == bindparam("address"))
    .values(verified_at=1)
    .returning(identifier.c.id)
)
COUNT_USERS = Statement(select(users.c.id))


def ask(query: Statement, **params: Any) -> Work[list[Row]]:
    return list((yield query(**params)))


def nothing(_: User, __: Instant) -> Work[None]:
    yield from ()


@dataclass
class Room:
    """The service and what it told the caches."""

    db: Database
    service: UsersService
    revoked: list[str] = field(default_factory=list)

    async def add(self, uid: str, *, roles: tuple[str, ...] = (), **body: object) -> User:
        new = self.service.validate_sign_up({"uid": uid, "name": f"Name of {uid}", **body})
        user, _ = await self.service.create(new, CALLER, also=nothing, roles=roles)
        return user

    async def change(self, user: User, **core: str | None) -> User:
        return await self.service.update(user.id, Changes(core), user.id, CALLER)

    async def events(self) -> list[AuditEvent]:
        """What was audited, oldest first."""
        return (await self.db.search(list_events()))[::-1]


@pytest.fixture
def room(database: Database, sealer: Sealer, clock: MovableClock) -> Room:
    revoked: list[str] = []

    def revoke(user_id: str, _: Instant, end: SessionsEnd | None) -> Work[None]:
        revoked.append(user_id if end is None else f"{user_id}: {end.why}")
        yield from ()

    return Room(database, UsersService(database, clock, AuditTrail(sealer, clock), SCHEMA, revoke), revoked)


async def test_a_user_comes_back_as_it_was_created(room: Room, clock: MovableClock) -> None:
    tracking = {"b": [1, 2.5, None, True, {"ü": "x\n\ty"}], "a": {"2": 10**18, "1": 1e300}}
    user = await room.add("Ada", name="  José L. ", email="Ada@Example.org", dob="1990-12-10", tracking=tracking)

    assert await room.service.find(user.id) == user
    assert user == User(
        id=user.id,
        uid="Ada",
        name="  José L. ",
        email="Ada@Example.org",
        email_verified=False,
        dob="1990-12-10",
        status="active",
        roles=(),
        fields={"coins": 0, "tracking": tracking},
        legacy_id=None,
        version=1,
        created_at=clock.now(),
        updated_at=clock.now(),
    )


async def test_whoever_is_not_there_is_none(room: Room) -> None:
    assert await room.service.find("nobody") is None
    assert await room.service.find_by_identifier("nobody") is None
    with pytest.raises(NotFound):
        await room.service.update("nobody", Changes(), None, CALLER)
    with pytest.raises(NotFound):
        await room.service.delete("nobody", None, CALLER)


@pytest.mark.parametrize("other", ["ada", "ADA", "\u0430da", "\uff41da"])
async def test_a_taken_handle_is_refused_however_it_is_written(room: Room, other: str) -> None:
    await room.add("ada")
    assert await room.service.taken(other)
    with pytest.raises(Invalid) as refused:
        await room.add(other)
    assert [(error.field, error.code) for error in refused.value.errors] == [("uid", "taken")]


async def test_twenty_at_once_for_one_handle_make_one_user(room: Room) -> None:
    outcomes = await asyncio.gather(*(room.add("ada") for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Invalid) for outcome in outcomes) == 19
    assert [event.event for event in await room.events()] == ["user_created"]


async def test_what_goes_with_a_new_user_is_written_with_them_or_nobody_is(room: Room) -> None:
    def failing(user: User, _: Instant) -> Work[None]:
        yield from ask(INSERT_PASSWORD, user_id=user.id)
        raise Conflict

    with pytest.raises(Conflict):
        await room.service.create(NewUser("ada", "Ada", email="ada@example.org"), CALLER, also=failing)
    assert await room.db.search(ask(COUNT_USERS)) == []
    assert await room.events() == []


# Finding ------------------------------------------------------------------------------------------------------------


async def test_people_are_found_by_their_handle_in_any_writing(room: Room) -> None:
    user = await room.add("Ada")
    for typed in ("ada", " ADA ", "\u0430da"):
        assert await room.service.find_by_identifier(typed) == user


@pytest.mark.asvs("6.3.8")
async def test_an_address_finds_its_owner_only_once_it_is_verified(room: Room) -> None:
    claimant = await room.add("eve", email="ada@example.org")
    owner = await room.add("ada", email="Ada@example.org")
    assert await room.service.find_by_identifier("ada@example.org") is None

    await room.db.write(lambda: ask(VERIFY, address="Ada@example.org"))
    found = await room.service.find_by_identifier(" ADA@example.ORG ")
    assert found is not None
    assert (found.id, found.email_verified) == (owner.id, True)
    assert claimant.id != owner.id


@pytest.mark.parametrize("typed", ["", " ", "\0", "a\0b", "@", "a" * 1_000_000, "'; --", "\ufdfa" * 300])
async def test_whatever_is_typed_for_a_name_finds_nobody_and_breaks_nothing(room: Room, typed: str) -> None:
    assert await room.service.find_by_identifier(typed) is None


async def test_every_hostile_string_is_kept_exactly_or_refused(room: Room) -> None:
    user = await room.add("ada")
    kept = 0
    for hostile in hostile_strings():
        for name in ("name", "motto", "tracking"):
            value = {hostile: [hostile]} if name == "tracking" else hostile
            try:
                changes = room.service.validate_update({name: value}, "user", user.id)
            except Invalid:
                continue
            await room.service.update(user.id, changes, user.id, CALLER)
            found = await room.service.find(user.id)
            assert found is not None
            assert (found.name if name == "name" else found.fields[name]) == value
            kept += 1
    assert kept > 300


# Changing -----------------------------------------------------------------------------------------------------------


async def test_a_change_counts_the_version_and_is_audited_by_name_only(room: Room, clock: MovableClock) -> None:
    user = await room.add("ada", tracking=[1])
    clock.advance(5)
    changes = room.service.validate_update({"name": "Secret Name", "tracking": None, "motto": "on"}, "user", user.id)
    changed = await room.service.update(user.id, changes, user.id, CALLER)

    assert (changed.name, changed.fields) == ("Secret Name", {"coins": 0, "motto": "on"})
    assert (changed.version, changed.updated_at) == (2, clock.now())
    assert await room.service.find(user.id) == changed
    assert room.revoked == [user.id]
    event = (await room.events())[-1]
    assert (event.event, event.user_id, event.actor_id) == ("user_updated", user.id, user.id)
    assert json.loads(event.payload or "") == {"fields": ["name", "motto", "tracking"]}


async def test_nothing_is_written_when_nothing_changes(room: Room) -> None:
    user = await room.add("ada", email="a@b.cd")
    same = await room.service.update(
        user.id, Changes({"name": user.name, "email": "a@b.cd"}, {"coins": 0}), None, CALLER
    )

    assert same == user
    assert len(await room.events()) == 1


async def test_caches_are_told_only_of_what_sessions_carry(room: Room) -> None:
    user = await room.add("ada")
    await room.service.update(user.id, Changes({"dob": "1990-01-01"}, {"coins": 5}), None, CALLER)
    assert room.revoked == []


async def test_changes_at_once_to_different_fields_are_all_kept(room: Room) -> None:
    user = await room.add("ada")
    writes = [Changes(fields={"coins": 7}), Changes(fields={"motto": "on"}), Changes({"name": "Ada Two"})] * 4
    await asyncio.gather(*(room.service.update(user.id, change, None, CALLER) for change in writes))

    found = await room.service.find(user.id)
    assert found is not None
    assert (found.name, found.fields, found.version) == ("Ada Two", {"coins": 7, "motto": "on"}, 4)


async def test_a_new_address_is_a_claim_again(room: Room) -> None:
    user = await room.add("ada", email="ada@example.org")
    await room.db.write(lambda: ask(VERIFY, address="ada@example.org"))
    changed = await room.change(user, email="other@example.org")

    assert (changed.email, changed.email_verified) == ("other@example.org", False)
    assert await room.service.find_by_identifier("ada@example.org") is None
    assert [row[1] for row in await room.db.search(ask(IDENTIFIERS))] == ["other@example.org"]
    assert (await room.change(user, email=None)).email is None
    assert await room.db.search(ask(IDENTIFIERS)) == []


async def test_a_new_handle_must_be_free(room: Room) -> None:
    ada = await room.add("ada")
    await room.add("eve")
    with pytest.raises(Invalid) as refused:
        await room.change(ada, uid="EVE")
    assert refused.value.errors[0].code == "taken"
    assert (await room.change(ada, uid="ADA")).uid == "ADA"


# Roles and status ---------------------------------------------------------------------------------------------------


async def test_roles_are_audited_in_full(room: Room, clock: MovableClock) -> None:
    user = await room.add("ada")
    clock.advance(1)
    changed = await room.service.set_roles(user.id, ["support", "auditor", "support"], None, CALLER)

    assert changed.roles == ("auditor", "support")
    assert room.revoked == [f"{user.id}: roles changed"]
    event = (await room.events())[-1]
    assert event.event == "authz_change"
    assert json.loads(event.payload or "") == {"from": [], "to": ["auditor", "support"]}


async def test_a_role_is_added_unless_what_comes_first_refuses(room: Room) -> None:
    def refuse() -> Work[None]:
        yield from ()
        raise Conflict

    user = await room.add("ada")
    with pytest.raises(Conflict):
        await room.service.add_role(user.id, "admin", None, CALLER, first=refuse)
    assert not await room.service.any_with_role("admin")
    await room.service.add_role(user.id, "admin", None, CALLER)
    assert await room.service.any_with_role("admin")
    assert not await room.service.any_with_role("support")


async def test_the_last_administrator_stays(room: Room) -> None:
    ada = await room.add("ada", roles=("admin",))
    await room.service.set_status((await room.add("bob", roles=("admin",))).id, "disabled", ada.id, CALLER)
    for attempt in (
        room.service.delete(ada.id, ada.id, CALLER),
        room.service.set_status(ada.id, "disabled", ada.id, CALLER),
        room.service.set_roles(ada.id, [], ada.id, CALLER),
    ):
        with pytest.raises(Conflict):
            await attempt
    await room.add("eve", roles=("admin",))
    await room.service.set_roles(ada.id, [], ada.id, CALLER)


async def test_two_administrators_who_delete_each_other_leave_one(room: Room) -> None:
    both = [await room.add("ada", roles=("admin",)), await room.add("eve", roles=("admin",))]
    outcomes = await asyncio.gather(
        *(room.service.delete(user.id, None, CALLER) for user in both), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict]
    assert await room.service.any_with_role("admin")


# Deleting -----------------------------------------------------------------------------------------------------------


async def test_a_deleted_user_leaves_nothing_but_their_id_in_the_audit(room: Room, clock: MovableClock) -> None:
    new = NewUser("ada", "Ada", email="ada@example.org")
    user, _ = await room.service.create(new, CALLER, also=lambda user, _: ask(INSERT_PASSWORD, user_id=user.id))
    clock.advance(1)
    await room.service.delete(user.id, user.id, CALLER)

    assert await room.service.find(user.id) is None
    for query in (COUNT_USERS, IDENTIFIERS, PASSWORDS):
        assert await room.db.search(ask(query)) == []
    assert room.revoked == [f"{user.id}: deleted"]
    assert [(event.event, event.user_id) for event in await room.events()] == [
        ("user_created", user.id),
        ("user_deleted", user.id),
    ]
    assert (await room.add("ada")).id != user.id
