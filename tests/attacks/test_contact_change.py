"""Taking an account over by its address or its number, and what a change tells strangers (C15, C16, C26-C28, C36).

ASVS 6.3.7, 6.3.8, 6.4.1, 6.5.1, 6.6.2, 6.6.3, 7.4.2, 7.5.1, 8.2.2, 15.3.3, 15.4.2.
"""

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable
from typing import TypeVar

import httpx
import pytest

from doorward.kernel.instant import DAY, SECOND
from doorward.ports import Database
from doorward.sql import Work
from doorward.users import User, UsersService
from tests.http.conftest import Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, dump, fields_of, shown
from tests.support.members import STALE, code, email_of, follow, last, link, member

T = TypeVar("T")
OLD, NEW, EVES = "ada@example.org", "ada@example.net", "eve@example.org"
THIRD = "third@example.org"
NUMBER = "+4915123456789"
BAD_ADDRESSES = [
    "a@example.org,b@example.org",
    "a@example.org;b@example.org",
    "a@example.org b@example.org",
    "a@example.org\r\nBcc: b@example.org",
    "a@example.org\nb@example.org",
    "a@example.org%0ab@example.org\0",
    "Ada <a@example.org>",
    "<a@example.org>",
    '"a b"@example.org',
    "a@b@example.org",
    "a@[127.0.0.1]",
    "a@127.0.0.1",
    "a@localhost",
    "@example.org",
    "a@",
    "x" * 5_000 + "@example.org",
    "a@" + "x" * 5_000 + ".org",
    ["a@example.org", "b@example.org"],
    {"email": "a@example.org"},
    ["a@example.org"],
    7,
    True,
    None,
    "",
]


async def change(visitor: Visitor, user_id: str, address: object) -> httpx.Response:
    """Ask for another address over JSON."""
    return await visitor.post(f"/api/users/{user_id}/email", {"email": address})


async def verify(visitor: Visitor, typed: str, purpose: str = "email") -> httpx.Response:
    """Send a code back."""
    return await visitor.post("/api/verifications", {"code": typed, "purpose": purpose})


async def prove(world: World, visitor: Visitor, user_id: str, address: str) -> None:
    """Change to an address, all the way."""
    assert (await change(visitor, user_id, address)).status_code == 202
    assert (await verify(visitor, await code(world, address))).status_code == 200
    world.clock.advance(1)


async def prove_number(world: World, visitor: Visitor, user_id: str, number: str) -> None:
    """Add a number, all the way."""
    assert (await visitor.post(f"/api/users/{user_id}/phone", {"phone": number})).status_code == 202
    assert (await verify(visitor, await code(world, number), "phone")).status_code == 200


async def rows_without(world: World, *but: str) -> dict[str, int]:
    """How many rows each table has."""
    return {name: len(rows) for name, rows in (await dump(world.services.db)).items() if name not in but}


# Who may begin ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.1")
async def test_a_stolen_session_changes_no_address_and_no_number_without_the_password(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    await verify(ada, await code(world, NUMBER), "phone")
    world.clock.advance(STALE)
    before = await dump(world.services.db)
    answers = [
        await change(ada, user_id, EVES),
        await ada.send("PUT", f"/api/users/{user_id}", {"email": EVES}),
        await ada.send("PATCH", "/api/users/me", {"email": EVES}),
        await ada.send("PATCH", "/api/users/me", {"email": None}),
        await ada.post(f"/api/users/{user_id}/phone", {"phone": "+4915199999999"}),
        await ada.send("DELETE", f"/api/users/{user_id}/phone"),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "reauthentication_needed")}
    for path, fields in (
        ("/account/email", {"email": EVES}),
        ("/account/phone", {"phone": "+4915199999999"}),
        ("/account/phone/remove", {}),
        ("/account/profile", {"name": "Ada", "email": EVES}),
    ):
        token = await ada.learn_csrf()
        answer = await ada.http.post(path, data={"csrf_token": token, **fields}, headers=_PAGE)
        assert answer.headers["location"].startswith("/confirm?next="), path
    after = await dump(world.services.db)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"session", "kept_form", "audit_event"}, "last seen, and a form that waits for a proof"


@pytest.mark.asvs("7.5.1")
async def test_a_stolen_session_plants_no_address_where_there_is_none(world: World) -> None:
    """A first address is a way back into the account as much as any other."""
    ada, user_id = await member(world, "ada")
    world.clock.advance(STALE)
    for answer in (await change(ada, user_id, EVES), await ada.send("PATCH", "/api/users/me", {"email": EVES})):
        assert answer.status_code == 403
    assert await email_of(ada) == (None, False)
    assert await Inbox(world).rows() == []


@pytest.mark.asvs("8.2.2")
async def test_nobody_changes_the_address_or_number_of_somebody_else(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    eve, _ = await member(world, "eve", EVES)
    await change(ada, user_id, NEW)
    before = await rows_without(world, "audit_event")
    answers = [
        await change(eve, user_id, EVES),
        await eve.send("DELETE", f"/api/users/{user_id}/email/pending"),
        await eve.post(f"/api/users/{user_id}/phone", {"phone": NUMBER}),
        await eve.send("DELETE", f"/api/users/{user_id}/phone"),
        await eve.send("PATCH", f"/api/users/{user_id}", {"email": EVES}),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert await rows_without(world, "audit_event") == before
    refused = [event for event in await audited(world, "authz_fail") if event.user_id == user_id]
    assert refused
    assert json.loads(refused[0].payload or "")["verb"] == "update"
    assert (await verify(ada, await code(world, NEW))).status_code == 200, "the change itself is untouched"


@pytest.mark.asvs("15.3.3")
async def test_what_is_proven_is_nobodys_to_write(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    for body in (
        {"email": NEW, "email_verified": True},
        {"phone": NUMBER},
        {"phone_verified": True},
        {"verified_at": 1},
    ):
        assert (await ada.send("PUT", f"/api/users/{user_id}", body)).status_code == 400
    for body in ({"email": NEW, "email_verified": True}, {"email": NEW, "code": "1"}, {"phone": NUMBER}):
        assert (await ada.post(f"/api/users/{user_id}/email", body)).status_code == 400
    assert (await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER, "verified": True})).status_code == 400
    assert await email_of(ada) == (OLD, True)
    assert len(await Inbox(world).rows()) == 1, "only what the sign-up sent"


# What it tells ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.8")
async def test_whether_an_address_has_an_owner_shows_nowhere(world: World) -> None:
    await member(world, "grace", "grace@example.org")
    seen = []
    for uid, address in (("xyz1", "grace@example.org"), ("xyz2", "nobody@example.org")):
        visitor, user_id = await member(world, uid, f"{uid}@example.com")
        await visitor.get("/account")  # sets the cookie of a first visit
        before = await rows_without(world)
        asked = await change(visitor, user_id, address)
        assert asked.status_code == 202
        added = {name: count - before[name] for name, count in (await rows_without(world)).items()}
        page = await visitor.get("/account/email")
        wrong = await verify(visitor, "000000")
        again = await visitor.submit("/account/email/resend", {}, "/account/email")
        own = (address, uid, f"Name of {uid}")
        texts = [_without_tokens(shown(answer, *own)) for answer in (asked, page, wrong, again)]
        seen.append((texts, {name: count for name, count in added.items() if count}))
        world.clock.advance(DAY // SECOND)
    assert seen[0] == seen[1]
    assert [mail.template for mail in await Inbox(world).messages("grace@example.org")][1:] == ["known_sign_up"] * 2


@pytest.mark.asvs("6.3.8")
async def test_the_owner_of_an_address_gets_neither_link_nor_code_for_somebody_elses_account(world: World) -> None:
    """Else an owner who clicks what is sent would lend their address, and learn the way into it, to a stranger."""
    await member(world, "grace", "grace@example.org")
    eve, user_id = await member(world, "eve", EVES)
    await change(eve, user_id, "GRACE@example.org")
    found = await last(world, "GRACE@example.org")
    assert set(found.values) == {"path", "recovery_path", "device"}
    assert not re.search(r"verify|undo", json.dumps(dict(found.values)))


# Proving ----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.6.2")
async def test_a_code_works_only_in_the_session_that_asked(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    elsewhere, eve = world.visitor(), world.visitor()
    await elsewhere.sign_in("ada")
    await eve.sign_up("eve")
    await change(ada, user_id, NEW)
    await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    typed, number_code = await code(world, NEW), await code(world, NUMBER)
    for visitor in (elsewhere, eve, world.visitor()):
        for answer in (await verify(visitor, typed), await verify(visitor, number_code, "phone")):
            assert (answer.status_code, fields_of(answer)) == (400, {"code"})
    page = await elsewhere.get("/account/email")
    assert 'name="code"' not in page.text
    assert await email_of(ada) == (OLD, True)
    assert (await verify(ada, typed)).status_code == 200
    assert (await verify(ada, number_code, "phone")).status_code == 200


@pytest.mark.asvs("6.6.3")
@pytest.mark.parametrize("purpose", ["email", "phone"])
async def test_five_wrong_codes_end_it_for_newer_codes_too_and_twenty_at_once(world: World, purpose: str) -> None:
    ada, user_id = await member(world, "ada", OLD)
    to = {"email": NEW, "phone": NUMBER}[purpose]
    await ada.post(f"/api/users/{user_id}/{purpose}", {purpose: to})
    first = await code(world, to)
    wrong = [f"{(int(first) + n) % 10**6:06}" for n in range(1, 21)]
    answers = await asyncio.gather(*(verify(ada, one, purpose) for one in wrong))
    assert {answer.status_code for answer in answers} <= {400, 429}
    assert (await ada.submit(f"/account/{purpose}/resend", {}, f"/account/{purpose}")).status_code == 400
    assert await code(world, to) == first, "no newer one could help"
    assert (await verify(ada, first, purpose)).status_code == 400
    assert await email_of(ada) == (OLD, True)
    assert await world.services.users.contact(user_id, "phone") is None


@pytest.mark.asvs("6.5.1")
@pytest.mark.asvs("15.4.2")
async def test_of_twenty_right_codes_at_once_one_counts(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    typed = await code(world, NUMBER)
    answers = await asyncio.gather(*(verify(ada, typed, "phone") for _ in range(20)))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert [payload.get("phone") for payload in await _updates(world)].count("proven") == 1


@pytest.mark.asvs("6.3.7")
async def test_sign_in_and_notices_use_the_old_address_until_the_new_one_is_proven(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await change(ada, user_id, NEW)
    assert (await world.visitor().sign_in(OLD)).status_code == 201
    assert (await world.visitor().sign_in(NEW)).status_code == 401
    assert (await verify(ada, await code(world, NEW))).status_code == 200
    assert (await world.visitor().sign_in(NEW)).status_code == 201
    assert (await world.visitor().sign_in(OLD)).status_code == 401
    told = await last(world, OLD)
    assert (told.template, told.values["new_email"]) == ("email_changed", NEW)


@pytest.mark.asvs("6.4.1")
async def test_a_new_address_voids_what_was_sent_to_the_old_one(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    tokens = [await _begin_recovery(world, user_id, OLD) for _ in range(2)]
    await change(ada, user_id, NEW)
    assert (await verify(ada, await code(world, NEW))).status_code == 200
    for token in tokens:
        assert (await world.services.confirmations.look(token, "recovery"))[0] == "void"


async def test_a_claim_neither_blocks_the_owner_nor_takes_anything_from_them(world: World) -> None:
    eve = world.visitor()
    await eve.sign_up("eve", email=OLD)
    ada, user_id = await member(world, "ada")
    claimed = await code(world, OLD)
    assert (await change(ada, user_id, OLD)).status_code == 202
    assert (await verify(ada, await code(world, OLD))).status_code == 200
    assert await email_of(ada) == (OLD, True)
    assert await email_of(eve) == (None, False), "her claim is void"
    # Whoever has the code reads the mailbox, so it gives nothing away; to others the change looks as it did before.
    assert (await verify(eve, claimed)).status_code == 409
    assert await email_of(eve) == (None, False)
    assert (await eve.send("PATCH", "/api/users/me", {"email": OLD})).status_code == 200
    assert await email_of(ada) == (OLD, True)
    found = await world.services.users.find_by_identifier(OLD)
    assert found is not None
    assert found.uid == "ada"


async def test_of_two_who_prove_one_address_at_once_one_gets_it(world: World) -> None:
    visitors = [await member(world, uid) for uid in ("ada", "eve")]
    paths = []
    for visitor, user_id in visitors:
        await change(visitor, user_id, NEW)
        paths.append(await link(world, NEW))
    answers = await asyncio.gather(*(follow(world.visitor(), path) for path in paths for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {303, 400, 409}
    assert [answer.status_code for answer in answers].count(303) == 1
    owners = [await email_of(visitor) for visitor, _ in visitors]
    assert sorted(proven for _, proven in owners) == [False, True]


@pytest.mark.asvs("7.4.2")
async def test_links_and_codes_of_a_disabled_user_are_refused(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await change(ada, user_id, NEW)
    assert (await verify(ada, await code(world, NEW))).status_code == 200
    undo = await link(world, OLD)
    await change(ada, user_id, "third@example.org")
    confirm = await link(world, "third@example.org")
    await world.services.users.set_status(user_id, "disabled", None, OPERATOR)
    assert (await follow(world.visitor(), confirm)).status_code == 400
    assert (await follow(world.visitor(), undo)).status_code == 400
    user = await world.services.users.find(user_id)
    assert user is not None
    assert (user.email, user.email_verified) == (NEW, True)


# Undoing ----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.7")
@pytest.mark.asvs("15.4.2")
async def test_an_undo_works_once_of_twenty_at_once_and_ends_what_the_thief_holds(world: World) -> None:
    thief, user_id = await member(world, "ada", OLD)
    other = world.visitor()
    await other.sign_in("ada")
    await change(thief, user_id, EVES)
    await verify(thief, await code(world, EVES))
    undo = await link(world, OLD)
    stolen = await _begin_recovery(world, user_id, EVES)
    await change(thief, user_id, "third@example.org")
    pending = await link(world, "third@example.org")

    answers = await asyncio.gather(*(follow(world.visitor(), undo) for _ in range(20)))

    done = [answer for answer in answers if answer.status_code == 303]
    assert len(done) == 1
    assert {answer.status_code for answer in answers} == {303, 400}
    for visitor in (thief, other):
        assert (await visitor.get("/api/sessions/current")).status_code == 401
    assert (await world.services.confirmations.look(stolen, "recovery"))[0] == "void"
    assert (await follow(world.visitor(), pending)).status_code == 400
    user = await world.services.users.find(user_id)
    assert user is not None
    assert (user.email, user.email_verified) == (OLD, True)
    assert await world.services.passwords.change_wanted(user_id) == "compromised"
    assert (await dump(world.services.db))["known_device"] == []
    assert [payload.get("email") for payload in await _updates(world)].count("undone") == 1


async def test_the_thief_cannot_undo_the_undoing(world: World) -> None:
    thief, user_id = await member(world, "ada", OLD)
    await change(thief, user_id, EVES)
    await verify(thief, await code(world, EVES))
    undo = await link(world, OLD)
    await change(thief, user_id, "third@example.org")
    await verify(thief, await code(world, "third@example.org"))
    thiefs_undo = await link(world, EVES)
    assert (await follow(world.visitor(), undo)).status_code == 303
    assert (await follow(world.visitor(), thiefs_undo)).status_code == 400
    user = await world.services.users.find_by_identifier(OLD)
    assert user is not None
    assert user.id == user_id


@pytest.mark.parametrize("late", [False, True])
async def test_an_undo_works_for_seven_days(world: World, late: bool) -> None:  # noqa: FBT001  a parameter of the test
    ada, user_id = await member(world, "ada", OLD)
    await change(ada, user_id, NEW)
    await verify(ada, await code(world, NEW))
    undo = await link(world, OLD)
    world.clock.advance(7 * DAY // SECOND - 3 + (2 if late else 0))
    assert (await world.visitor().get(undo)).status_code == (410 if late else 200)
    assert (await follow(world.visitor(), undo)).status_code == (400 if late else 303)
    assert await world.services.users.find_by_identifier(OLD if not late else NEW) is not None


async def test_looking_at_an_undo_changes_nothing_and_a_made_up_one_leads_nowhere(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await change(ada, user_id, NEW)
    await verify(ada, await code(world, NEW))
    undo = await link(world, OLD)
    before = await dump(world.services.db)
    for path in (undo, "/undo/" + "A" * 43, "/undo/" + "x" * 5_000, "/undo/%00", f"{undo}x"):
        for method in ("GET", "HEAD"):
            answer = await world.visitor().http.request(method, path)
            assert answer.status_code in ({200, 405} if path == undo else {404, 405}), path
    assert await dump(world.services.db) == before
    confirm = await world.visitor().http.post(undo, data={"really": "yes"}, headers=_PAGE)
    assert confirm.status_code == 403, "a form of ours carries a token"
    assert await email_of(ada) == (NEW, True)


async def test_an_address_that_somebody_else_has_proven_since_is_not_taken_from_them(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await change(ada, user_id, NEW)
    await verify(ada, await code(world, NEW))
    undo = await link(world, OLD)
    grace, grace_id = await member(world, "grace")
    await change(grace, grace_id, OLD)
    assert (await verify(grace, await code(world, OLD))).status_code == 200
    answer = await follow(world.visitor(), undo)
    assert answer.status_code == 409
    assert "Meanwhile your old address" in answer.text
    assert await email_of(grace) == (OLD, True)
    assert (await ada.get("/api/users/me")).status_code == 200, "nothing of it was done"


@pytest.mark.asvs("6.3.7")
@pytest.mark.parametrize("by_way_of", [(EVES,), (EVES, THIRD), (EVES, THIRD, EVES)])
async def test_a_thiefs_mailbox_undoes_nothing_once_the_owner_has_changed_back(
    world: World, by_way_of: tuple[str, ...]
) -> None:
    ada, user_id = await member(world, "ada", OLD)
    for address in (*by_way_of, OLD):
        await prove(world, ada, user_id, address)
    left = await world.services.confirmations.of_user(user_id, "email_undo")
    assert {one.target for one in left} == {OLD}
    for address in by_way_of:
        for mail in await Inbox(world).messages(address):
            if mail.template == "email_changed":
                assert (await follow(world.visitor(), str(mail.values["path"]))).status_code == 400
    assert await email_of(ada) == (OLD, True)


@pytest.mark.asvs("6.3.7")
async def test_a_thief_who_changes_back_and_forth_leaves_the_owner_their_way_back(world: World) -> None:
    thief, user_id = await member(world, "ada", OLD)
    await prove(world, thief, user_id, EVES)
    undo = await link(world, OLD)
    for address in (THIRD, EVES, THIRD):
        await prove(world, thief, user_id, address)
    assert (await follow(world.visitor(), undo)).status_code == 303
    user = await world.services.users.find_by_identifier(OLD)
    assert user is not None
    assert user.id == user_id


@pytest.mark.asvs("6.3.7")
async def test_an_undo_takes_away_a_number_that_was_proven_since(world: World) -> None:
    thief, user_id = await member(world, "ada", OLD)
    await prove(world, thief, user_id, EVES)
    undo = await link(world, OLD)
    await prove_number(world, thief, user_id, NUMBER)
    assert (await follow(world.visitor(), undo)).status_code == 303
    assert await world.services.users.contact(user_id, "phone") is None
    told = await last(world, OLD)
    assert (told.template, NUMBER in str(told.values)) == ("phone_changed", False)


async def test_an_undo_leaves_a_number_that_was_proven_before(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    await prove_number(world, ada, user_id, NUMBER)
    await prove(world, ada, user_id, EVES)
    assert (await follow(world.visitor(), await link(world, OLD))).status_code == 303
    assert (await world.services.users.contact(user_id, "phone") or [""])[0] == NUMBER


async def test_an_undo_signs_nobody_else_out(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    grace, _ = await member(world, "grace")
    await prove(world, ada, user_id, EVES)
    first = await follow(grace, await link(world, OLD))
    assert first.status_code == 303
    assert "Max-Age=0" not in str(first.headers.get_list("set-cookie"))
    assert (await grace.get("/api/users/me")).status_code == 200
    bob, bob_id = await member(world, "bob", "bob@example.org")
    await prove(world, bob, bob_id, EVES)
    own = await follow(bob, await link(world, "bob@example.org"))
    assert "Max-Age=0" in str(own.headers.get_list("set-cookie")), "their own is dead, and goes"


# At the same time -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Watched:
    """A database that notes the statements of every transaction."""

    db: Database
    written: list[list[str]] = dataclasses.field(default_factory=list)

    async def read(self, work: Work[T]) -> T:
        return await self.db.read(work)

    async def write(self, work: Callable[[], Work[T]]) -> T:
        def noted() -> Work[T]:
            statements: list[str] = []
            self.written.append(statements)
            running = work()
            try:
                query = next(running)
                while True:
                    statements.append(query.statement.postgresql.sql)
                    query = running.send((yield query))
            except StopIteration as done:
                result: T = done.value
                return result

        return await self.db.write(noted)


@pytest.mark.asvs("15.4.2")
async def test_a_user_is_locked_before_what_waits_for_them(world: World) -> None:
    """Two transactions that lock a user and their links in different orders wait for each other in a circle."""
    ada, user_id = await member(world, "ada", OLD)
    watched = _Watched(world.services.db)
    for service in (world.services.contacts, world.services.phones, world.services.users):
        object.__setattr__(service, "db", watched)
    await prove(world, ada, user_id, EVES)
    undo = await link(world, OLD)
    await change(ada, user_id, THIRD)
    await ada.send("DELETE", f"/api/users/{user_id}/email/pending")
    await ada.send("PATCH", "/api/users/me", {"email": NEW})
    await ada.submit("/account/email/resend", {}, "/account/email")
    await prove_number(world, ada, user_id, NUMBER)
    await ada.send("DELETE", f"/api/users/{user_id}/phone")
    assert (await follow(world.visitor(), undo)).status_code == 303
    touching = [statements for statements in watched.written if any("confirmation" in one for one in statements)]
    assert len(touching) >= 8
    unlocked = [statements[0] for statements in touching if "FOR UPDATE" not in statements[0]]
    # A newer code touches one link and no user.
    assert [one for one in unlocked if not one.startswith("UPDATE confirmation SET code_mac")] == []


@pytest.mark.asvs("15.4.2")
async def test_an_address_proven_in_between_is_not_replaced_by_a_mere_claim(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", email=OLD)
    path = await link(world, OLD)
    once = iter([path])

    class Users(UsersService):
        """Users, one of whom proves an address right after somebody has looked at them."""

        async def find(self, user_id: str) -> User | None:
            found = await super().find(user_id)
            for way in once:
                assert (await follow(world.visitor(), way)).status_code == 303
            return found

    users = world.services.users
    later = Users(**{one.name: getattr(users, one.name) for one in dataclasses.fields(users)})
    object.__setattr__(world.services.contacts, "users", later)
    assert (await ada.send("PATCH", "/api/users/me", {"email": NEW, "name": "Ada L."})).status_code == 200
    assert await email_of(ada) == (OLD, True)
    assert (await verify(ada, await code(world, NEW))).status_code == 200
    assert await email_of(ada) == (NEW, True)


# Bad input and floods ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=lambda address: repr(address)[:30])
async def test_a_bad_address_is_refused_and_sends_nothing(world: World, address: object) -> None:
    ada, user_id = await member(world, "ada", OLD)
    answer = await change(ada, user_id, address)
    assert (answer.status_code, fields_of(answer)) == (400, {"email"})
    if isinstance(address, str):
        assert (await ada.submit("/account/email", {"email": address})).status_code == 400
    assert len(await Inbox(world).rows()) == 1, "only what the sign-up sent"


@pytest.mark.parametrize("address", ["ada+tag@example.org", "ada@bücher.example", "ädä@example.org", "o'a@example.org"])
async def test_an_unusual_address_is_one_recipient(world: World, address: str) -> None:
    ada, user_id = await member(world, "ada", OLD)
    assert (await change(ada, user_id, address)).status_code == 202
    assert [mail.recipient for mail in await Inbox(world).messages()].count(address) == 1
    assert (await verify(ada, await code(world, address))).status_code == 200
    assert await email_of(ada) == (address, True)


async def test_a_lying_host_appears_in_no_link(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    lies = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    await ada.post(f"/api/users/{user_id}/email", {"email": NEW}, headers=lies)
    for mail in await Inbox(world).rows():
        assert "evil" not in json.dumps(dict(mail.values))


@pytest.mark.parametrize(
    "number", ["110", "+1", "0151 23456789", "+49 900 123456", "+" + "9" * 5_000, "x", ["+4915"], 7]
)
async def test_a_bad_number_is_refused_and_sends_nothing(world: World, number: object) -> None:
    ada, user_id = await member(world, "ada")
    answer = await ada.post(f"/api/users/{user_id}/phone", {"phone": number})
    assert (answer.status_code, fields_of(answer)) == (400, {"phone"})
    assert await Inbox(world).rows() == []


@pytest.mark.asvs("2.4.1")
@pytest.mark.parametrize("same", [True, False])
async def test_a_member_floods_neither_one_inbox_nor_many(world: World, same: bool) -> None:  # noqa: FBT001  as above
    ada, user_id = await member(world, "ada", OLD)
    sent = await asyncio.gather(
        *(change(ada, user_id, "a@example.com" if same else f"a{n}@example.com") for n in range(20))
    )
    codes = [answer.status_code for answer in sent]
    assert codes.count(202) == (5 if same else 10)
    assert set(codes) == {202, 429}
    assert await audited(world, "excess_rate_limit_exceeded")


@pytest.mark.asvs("6.6.3")
async def test_a_member_has_few_text_messages_sent(world: World) -> None:
    ada, user_id = await member(world, "ada")
    path = f"/api/users/{user_id}/phone"
    answers = await asyncio.gather(*(ada.post(path, {"phone": f"+49151234567{n:02}"}) for n in range(20)))
    assert [answer.status_code for answer in answers].count(202) == 10
    assert len(await Inbox(world).messages()) == 10


async def test_where_nothing_can_be_texted_there_is_no_phone(world: World) -> None:
    ada, user_id = await member(world, "ada")
    object.__setattr__(world.services.outbox, "can_text", False)
    assert (await ada.get("/account/phone")).status_code == 404
    assert (await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})).status_code == 404
    assert "/account/phone" not in (await ada.get("/account")).text


_PAGE = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}


async def _updates(world: World) -> list[dict[str, object]]:
    return [json.loads(event.payload or "{}") for event in await audited(world, "user_updated")]


async def _begin_recovery(world: World, user_id: str, address: str) -> str:
    services = world.services

    def work() -> Work[str]:
        now = services.clock.now()
        opened = yield from services.confirmations.begin("recovery", address, address, now=now, user_id=user_id)
        return opened.token

    return await services.db.write(work)


def _without_tokens(answer: tuple[int, list[tuple[str, str]], str]) -> tuple[int, list[tuple[str, str]], str]:
    status, headers, text = answer
    text = re.sub(r'name="csrf_token" value="[^"]+"', "TOKEN", text)
    text = re.sub(r"<time.*?</time>", "TIME", text)
    return status, [(name, value) for name, value in headers if name != "content-length"], text
