"""Every way to a session, tried by somebody who knows everything of a member but the second factor (C22, C25).

They know the password and read the mailbox; they hold the cookie of a browser that is known, links, invitations and
codes by mail, and passkeys of their own. The ways come from the route table: a new one fails here until it is tried.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import httpx
import msgspec
import pytest

from doorward.app import find_session, operations
from doorward.config import Settings
from doorward.config.settings import Factors, Signin, Signup
from doorward.testing import MovableClock
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.web.cookies import Cookies
from doorward.web.front import Front
from doorward.web.gate import Gate
from doorward.web.pages import Pages
from doorward.web.routing import Operation
from tests.http.conftest import ORIGIN, PASSWORD, World, on_database
from tests.support.attack import OPERATOR, name_of, route_table
from tests.support.factors import OWN, STEP, app_code
from tests.support.second_step import (
    AGAIN,
    ENROL,
    STALE,
    WRONG,
    Member,
    Somebody,
    full_member,
    give_factors,
    half_in,
    lend,
    plain_member,
    prove_anew,
    sessions_of,
    steal_session,
)

NEW = "another quite different phrase"
OFFERED = Factors(required="optional", sms=True, email=True, cool_off=True)
OWED_AT_ONCE = Factors(required="all", grace_days=0)
Way: TypeAlias = Callable[[Somebody], Awaitable[object]]


@asynccontextmanager
async def a_world(
    address: str, settings: Settings, tmp_path: Path, clock: MovableClock, factors: Factors, identifier: str = "uid"
) -> AsyncIterator[World]:
    signup = Signup(identifier="email" if identifier == "email" else "uid")
    chosen = msgspec.structs.replace(settings, factors=factors, signin=Signin(email_link=True), signup=signup)
    async with on_database(address, chosen, tmp_path / identifier, clock) as world:
        yield world


# Ways that begin a session ------------------------------------------------------------------------------------------


async def sign_up(one: Somebody) -> None:
    body = {"uid": one.member.uid, "name": "Somebody", "password": PASSWORD}
    await one.visitor.http.post("/api/users", json=body)


async def sign_up_page(one: Somebody) -> None:
    await one.visitor.submit("/sign-up", {"uid": one.member.uid, "name": "Somebody", "password": PASSWORD})


async def sign_up_with_passkey(one: Somebody) -> None:
    credential = await first_passkey(one)
    await one.visitor.http.post("/api/users/passkey", json={"credential": credential})


async def sign_up_with_passkey_page(one: Somebody) -> None:
    form = {"credential": msgspec.json.encode(await first_passkey(one)).decode()}
    await one.visitor.submit("/sign-up/passkey/create", form, page="/sign-up")


async def first_passkey(one: Somebody) -> Mapping[str, object]:
    """A newcomer's, or one that has not checked who uses it: that is no second factor."""
    body = {"uid": one.member.uid, "name": "Somebody"}
    answer = await one.visitor.http.post("/api/users/passkey/options", json=body)
    return one.member.device.create(answer.json(), ORIGIN, uv=one.has_factor) if answer.status_code == 200 else {}


async def accept(one: Somebody) -> None:
    body = {"uid": f"x{one.member.uid}", "name": "Somebody", "password": PASSWORD}
    token = (await one.mailed("path", "invitation")).rpartition("/")[2]
    await one.visitor.http.post("/api/invitations/accept", json={"token": token, **body})


async def accept_page(one: Somebody) -> None:
    form = {"uid": f"x{one.member.uid}", "name": "Somebody", "password": PASSWORD}
    await one.visitor.submit(await one.mailed("path", "invitation"), form)


async def first_administrator(one: Somebody) -> None:
    link = await one.world.services.setup.new_link()
    await half_way(one)
    await one.visitor.submit(link, {"uid": one.member.uid, "name": "Somebody", "password": PASSWORD})


async def verify_code(one: Somebody) -> None:
    await one.visitor.http.post("/api/sessions/email", json={"email": one.member.address})
    one.world.clock.advance(1)
    code = await one.mailed("code", "sign_in_link")
    await one.visitor.post("/api/verifications", {"code": code, "purpose": "sign_in"})


async def sign_up_code(one: Somebody) -> None:
    await one.visitor.submit("/verify", {"code": await one.mailed("code", "confirm_sign_up")})


async def sign_up_link(one: Somebody) -> None:
    await one.visitor.submit(await one.mailed("path", "confirm_sign_up"), {})


async def by_json(one: Somebody) -> None:
    for transport in ("cookie", "bearer"):
        body = {"identifier": one.member.uid, "password": PASSWORD, "transport": transport}
        await one.visitor.http.post("/api/sessions", json=body)


async def by_jwt(one: Somebody) -> None:
    body = {"uid": one.member.uid, "password": PASSWORD}
    await one.visitor.http.post("/api/users/authenticate", json=body)


async def by_page(one: Somebody) -> None:
    await one.visitor.submit("/sign-in", {"identifier": one.member.address, "password": PASSWORD})


async def by_mailed_code(one: Somebody) -> None:
    await one.visitor.submit("/sign-in/email", {"email": one.member.address})
    one.world.clock.advance(1)
    await one.visitor.submit("/sign-in/email/code", {"code": await one.mailed("code", "sign_in_link")})


async def by_mailed_link(one: Somebody) -> None:
    await one.visitor.submit("/sign-in/email", {"email": one.member.address})
    one.world.clock.advance(1)
    await one.visitor.submit(await one.mailed("path", "sign_in_link"), {})


# Ways on from a ticket ------------------------------------------------------------------------------------------------


async def half_way(one: Somebody, *, bearer: bool = False) -> dict[str, str]:
    """Show the password, where there is somebody to show it for; what a program sends along from then on."""
    if await one.world.services.users.find_by_identifier(one.member.uid) is None:
        return {}
    told = await half_in(one.world, one.member, one.visitor, bearer=bearer)
    return {"ticket": told["ticket"]} if "ticket" in told else {}


async def second_step(one: Somebody) -> None:
    for bearer in (False, True):
        ticket = await half_way(one, bearer=bearer)
        await by_every_guess(one, ticket)
        answer = {"kind": "totp", "code": one.code, **ticket}
        await one.visitor.http.post(STEP, json=answer)
        one.world.clock.advance(60)


async def by_every_guess(one: Somebody, ticket: Mapping[str, str]) -> None:
    """The code by mail, which counts for nothing beside an app; a passkey of one's own; kinds that are not bound."""
    await one.visitor.http.post(f"{STEP}/challenge", json={"kind": "email_code", **ticket})
    one.world.clock.advance(1)
    mailed = await one.mailed("code", "factor_code", WRONG)
    for kind in ("email_code", "sms_code", "recovery_code", "nothing"):
        await one.visitor.http.post(STEP, json={"kind": kind, "code": mailed, **ticket})
    asked = await one.visitor.http.post(f"{STEP}/challenge", json={"kind": "passkey", **ticket})
    if not one.has_factor and asked.status_code == 200:
        forged = forge(asked.json()["options"])
        await one.visitor.http.post(STEP, json={"kind": "passkey", "credential": forged, **ticket})
    await half_way(one)  # what was right has led to another ticket, which is as good


def forge(options: Mapping[str, object]) -> dict[str, object]:
    """What an authenticator answers that is not asked, with the id of one that is."""
    device = SoftwareAuthenticator()
    user = {"id": "AAAA", "name": "x", "displayName": "x"}
    wanted = [{"type": "public-key", "alg": -7}]
    device.create({"challenge": "", "rp": {"id": "localhost"}, "user": user, "pubKeyCredParams": wanted}, ORIGIN)
    allowed = options.get("allowCredentials")
    known = str(allowed[0]["id"]) if isinstance(allowed, list) and allowed else ""
    answer = device.get({**options, "allowCredentials": []}, ORIGIN)
    return {**answer, "id": known, "rawId": known} if known else answer


async def second_step_page(one: Somebody) -> None:
    await half_way(one)
    await one.visitor.submit("/sign-in/step", {"kind": "totp", "code": one.code}, page="/sign-in")


async def to_enrolment(one: Somebody, *, bearer: bool = False) -> dict[str, str]:
    """As far as to where another factor is set up, by a recovery code."""
    ticket = await half_way(one, bearer=bearer)
    body = {"kind": "recovery_code", "code": one.recovery_code, **ticket}
    done = await one.visitor.http.post(STEP, json=body)
    one.member.codes = one.member.codes[1:]
    return {"ticket": done.json()["ticket"]} if bearer and done.status_code == 200 else ticket


async def enrol(one: Somebody) -> None:
    ticket = await to_enrolment(one)
    offer = await one.visitor.http.post(ENROL, json={"kind": "totp", **ticket})
    code = app_code(one.world, offer.json()["secret"]) if one.has_factor else WRONG
    await one.visitor.http.post(f"{ENROL}/confirm", json={"kind": "totp", "code": code, **ticket})


async def enrol_page(one: Somebody) -> None:
    await to_enrolment(one)
    offer = await one.visitor.http.post(ENROL, json={"kind": "totp"})
    code = app_code(one.world, offer.json()["secret"]) if one.has_factor else WRONG
    await one.visitor.submit("/sign-in/set-up", {"kind": "totp", "code": code}, page="/sign-in")


async def skip(one: Somebody) -> None:
    for bearer in (False, True):
        await one.visitor.http.post(f"{ENROL}/skip", json=await to_enrolment(one, bearer=bearer))
        if one.has_factor:
            return


async def skip_page(one: Somebody) -> None:
    await to_enrolment(one)
    await one.visitor.submit("/sign-in/set-up/without", {}, page="/sign-in")


async def restore(one: Somebody) -> None:
    for bearer in (False, True):
        await one.visitor.http.post("/api/sessions/restoration", json=await half_way(one, bearer=bearer))


async def restore_page(one: Somebody) -> None:
    await half_way(one)
    await one.visitor.submit("/sign-in/keep", {}, page="/sign-in")


async def by_passkey(one: Somebody) -> None:
    for transport in ("cookie", "bearer"):
        options = (await one.visitor.http.post("/api/sessions/passkey/options", json={})).json()
        credential = one.member.device.get(options, ORIGIN) if one.has_factor else forge(options)
        body = {"credential": credential, "transport": transport}
        await one.visitor.http.post("/api/sessions/passkey", json=body)


NEWCOMERS: Mapping[str, Way] = {
    "POST /api/users": sign_up,
    "POST /sign-up": sign_up_page,
    "POST /api/invitations/accept": accept,
    "POST /invitation/{token}": accept_page,
    "POST /setup/{token}": first_administrator,
}
NEWCOMERS_BY_PASSKEY: Mapping[str, Way] = {
    "POST /api/users/passkey": sign_up_with_passkey,
    "POST /sign-up/passkey/create": sign_up_with_passkey_page,
}
NEWCOMERS_BY_EMAIL: Mapping[str, Way] = {"POST /verify": sign_up_code, "POST /verify/{token}": sign_up_link}
FIRST_STEPS: Mapping[str, Way] = {
    "POST /api/verifications": verify_code,
    "POST /api/sessions": by_json,
    "POST /api/users/authenticate": by_jwt,
    "POST /sign-in": by_page,
    "POST /sign-in/email/code": by_mailed_code,
    "POST /sign-in/link/{token}": by_mailed_link,
}
SECOND_STEPS: Mapping[str, Way] = {
    "POST /api/sessions/authenticator": second_step,
    "POST /sign-in/step": second_step_page,
    "POST /api/sessions/enrolment/confirm": enrol,
    "POST /sign-in/set-up": enrol_page,
    "POST /api/sessions/enrolment/skip": skip,
    "POST /sign-in/set-up/without": skip_page,
    "POST /api/sessions/passkey": by_passkey,
}
RESTORATIONS: Mapping[str, Way] = {
    "POST /api/sessions/restoration": restore,
    "POST /sign-in/keep": restore_page,
}
WAYS = {**NEWCOMERS, **NEWCOMERS_BY_PASSKEY, **FIRST_STEPS, **SECOND_STEPS, **RESTORATIONS}


# Ways to renew one ----------------------------------------------------------------------------------------------------


async def confirm_json(one: Somebody) -> None:
    await one.visitor.post(AGAIN, {"password": PASSWORD})
    await one.visitor.post(STEP, {"kind": "totp", "code": one.code})


async def confirm_page(one: Somebody) -> None:
    await one.visitor.submit("/confirm", {"password": PASSWORD})
    await one.visitor.submit("/sign-in/step", {"kind": "totp", "code": one.code})


async def confirm_passkey(one: Somebody) -> None:
    options = (await one.visitor.post(f"{AGAIN}/passkey/options", {})).json()
    credential = one.member.device.get(options, ORIGIN) if one.has_factor else forge(options)
    await one.visitor.post(f"{AGAIN}/passkey", {"credential": credential})


async def change_password(one: Somebody) -> None:
    await if_they_can(one)
    body = {"current_password": PASSWORD, "new_password": NEW}
    await one.visitor.send("PUT", "/api/users/me/password", body)


async def change_password_page(one: Somebody) -> None:
    await if_they_can(one)
    form = {"current_password": PASSWORD, "new_password": NEW}
    await one.visitor.submit("/account/password", form, page="/account")


async def if_they_can(one: Somebody) -> None:
    """Prove anew who one is, as far as one can."""
    if one.has_factor:
        await prove_anew(one.world, one.visitor, one.member.app)
    else:
        await one.visitor.post(AGAIN, {"password": PASSWORD})


async def another_app(one: Somebody) -> None:
    await if_they_can(one)
    offer = (await one.visitor.post(OWN, {"kind": "totp"})).json()
    code = app_code(one.world, offer["secret"]) if "secret" in offer else WRONG
    await one.visitor.post(f"{OWN}/confirm", {"kind": "totp", "code": code})


async def another_app_page(one: Somebody) -> None:
    await if_they_can(one)
    offer = (await one.visitor.post(OWN, {"kind": "totp"})).json()
    code = app_code(one.world, offer["secret"]) if "secret" in offer else WRONG
    await one.visitor.submit("/account/security/app/confirm", {"code": code}, page="/account")


async def another_passkey_page(one: Somebody) -> None:
    await if_they_can(one)
    offer = (await one.visitor.post(OWN, {"kind": "passkey"})).json()
    made = SoftwareAuthenticator().create(offer["options"], ORIGIN) if "options" in offer else {}
    form = {"credential": msgspec.json.encode(made).decode()}
    await one.visitor.submit("/account/security/passkeys", form, page="/account")


RENEWALS: Mapping[str, Way] = {
    "POST /api/sessions/current/reauthenticate": confirm_json,
    "POST /api/sessions/current/reauthenticate/passkey": confirm_passkey,
    "POST /confirm": confirm_page,
    "PUT /api/users/me/password": change_password,
    "POST /account/password": change_password_page,
    "POST /api/users/me/authenticators/confirm": another_app,
    "POST /account/security/app/confirm": another_app_page,
    "POST /account/security/passkeys": another_passkey_page,
}


# Without the factor ---------------------------------------------------------------------------------------------------


def nothing(ways: Mapping[str, Way]) -> dict[str, list[str]]:
    return {name: [] for name in ways}


async def try_all(
    world: World, ways: Mapping[str, Way], of: Callable[[str], Awaitable[Member]], *, has_factor: bool
) -> dict[str, list[str]]:
    """What came out of every way, each for a member of its own and from a network of its own."""
    found = {}
    for name, way in ways.items():
        number = list(WAYS).index(name)
        member = await of(f"m{number}")
        visitor = world.visitor(f"198.51.100.{number + 1}")
        lend(member.browser, visitor, "doorward-device")
        one = Somebody(world, member, visitor, has_factor)
        before = await sessions_of(world)
        await way(one)
        assert one.answers, f"{name} was not tried"
        found[name] = await one.came_out()
        assert bool(found[name]) == (await sessions_of(world) != before), name
        world.clock.advance(30)
    return found


async def invited(world: World, uid: str) -> str:
    """An invitation lies in the mailbox of an address; the address."""
    address = f"{uid}@example.org"
    await world.services.invitations.invite(address, [], None, OPERATOR)
    world.clock.advance(1)
    return address


async def full(world: World, uid: str) -> Member:
    await invited(world, uid)  # before the address was theirs
    return await full_member(world, uid)


async def plain(world: World, uid: str) -> Member:
    return await plain_member(world, uid)


async def nobody(world: World, uid: str) -> Member:
    return Member(uid, await invited(world, uid), "", world.visitor())


async def gone(world: World, of: Callable[[World, str], Awaitable[Member]], uid: str) -> Member:
    """Somebody who has deleted their account and could still come back."""
    member = await of(world, f"{uid}-gone")
    now = world.clock.now()
    await world.services.db.write(lambda: world.services.users.leave(member.id, OPERATOR, now))
    return member


async def test_every_operation_that_gives_a_session_is_tried_here(
    sqlite_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    tried = {*WAYS, *NEWCOMERS_BY_EMAIL, *RENEWALS}
    for identifier in ("uid", "email"):
        async with a_world(sqlite_address, settings, tmp_path, clock, OFFERED, identifier) as world:
            assert {name_of(operation) for operation in route_table(world) if operation.session} == tried


@pytest.mark.asvs("6.3.3")
@pytest.mark.asvs("6.3.4")
@pytest.mark.asvs("6.4.3")
async def test_no_way_gives_a_session_without_the_factor(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED) as world:
        found = await try_all(world, WAYS, partial(full, world), has_factor=False)
        assert found == nothing(WAYS)
        found = await try_all(world, RESTORATIONS, partial(gone, world, full), has_factor=False)
        assert found == nothing(RESTORATIONS)


@pytest.mark.asvs("6.3.3")
@pytest.mark.asvs("6.3.4")
async def test_no_way_gives_a_session_to_whoever_has_to_have_a_factor_and_has_none(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OWED_AT_ONCE) as world:
        of_newcomers = {**NEWCOMERS, **NEWCOMERS_BY_PASSKEY}
        assert await try_all(world, of_newcomers, partial(nobody, world), has_factor=False) == nothing(of_newcomers)
        of_members = {**FIRST_STEPS, **SECOND_STEPS}
        assert await try_all(world, of_members, partial(plain, world), has_factor=False) == nothing(of_members)
        of_leaving = partial(gone, world, plain)
        assert await try_all(world, RESTORATIONS, of_leaving, has_factor=False) == nothing(RESTORATIONS)


async def early(world: World, uid: str, one: Member | None = None) -> Member:
    """Somebody has begun to sign up with an address; what they need is in its mailbox."""
    member = one or Member(uid, f"{uid}@example.org", "", world.visitor())
    await member.browser.submit("/sign-up", {"email": member.address, "name": "Somebody", "password": PASSWORD})
    world.clock.advance(1)
    return member


async def try_early(world: World, *, overtaken: bool) -> dict[str, list[str]]:
    found = {}
    for number, (name, way) in enumerate(NEWCOMERS_BY_EMAIL.items()):
        member = await early(world, f"m{number}")
        if overtaken:  # the owner has become a member with a factor meanwhile
            owner = Member(member.uid, member.address, "", world.visitor(f"198.51.100.{number + 1}"))
            await early(world, owner.uid, owner)
            code = await Somebody(world, owner, owner.browser, has_factor=True).mailed("code", "confirm_sign_up")
            await owner.browser.submit("/verify", {"code": code})
            await owner.browser.learn_csrf()
            await give_factors(world, owner)
        one = Somebody(world, member, member.browser, has_factor=False)
        before = await sessions_of(world)
        await way(one)
        found[name] = await one.came_out()
        assert bool(found[name]) == (await sessions_of(world) != before), name
    return found


@pytest.mark.asvs("6.3.4")
async def test_no_sign_up_by_email_gives_a_session_without_the_factor(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED, "email") as world:
        assert await try_early(world, overtaken=True) == nothing(NEWCOMERS_BY_EMAIL)


@pytest.mark.asvs("6.3.4")
async def test_no_sign_up_by_email_gives_a_session_to_whoever_has_to_have_a_factor(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OWED_AT_ONCE, "email") as world:
        assert await try_early(world, overtaken=False) == nothing(NEWCOMERS_BY_EMAIL)


@pytest.mark.asvs("7.2.4")
@pytest.mark.asvs("7.5.3")
async def test_no_stale_session_is_renewed_without_the_factor(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED) as world:
        assert not any((await renew_all(world, has_factor=False)).values())


async def renew_all(world: World, *, has_factor: bool) -> dict[str, bool]:
    """Whether a session that is known to its thief, too, has got a new secret or another proof, by every way."""
    found = {}
    for number, (name, way) in enumerate(RENEWALS.items()):
        member = await full_member(world, f"m{number}")
        world.clock.advance(STALE)
        visitor = await steal_session(world, member.browser)
        before = await sessions_of(world)
        one = Somebody(world, member, visitor, has_factor)
        await way(one)
        assert one.answers, f"{name} was not tried"
        found[name] = await sessions_of(world) != before
        world.clock.advance(60)
    return found


# These tests bite -----------------------------------------------------------------------------------------------------


async def test_the_same_ways_lead_in_where_no_factor_is_owed(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED) as world:
        found = await try_all(world, NEWCOMERS, partial(nobody, world), has_factor=False)
        found |= await try_all(world, NEWCOMERS_BY_PASSKEY, partial(nobody, world), has_factor=True)
        found |= await try_all(world, FIRST_STEPS, partial(plain, world), has_factor=False)
        found |= await try_all(world, RESTORATIONS, partial(gone, world, plain), has_factor=False)
        assert all(found.values()), found


async def test_the_same_sign_ups_by_email_lead_in_where_no_factor_is_owed(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED, "email") as world:
        found = await try_early(world, overtaken=False)
        assert all(found.values()), found


async def test_the_same_ways_lead_in_with_the_factor(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED) as world:
        found = await try_all(world, SECOND_STEPS, partial(full, world), has_factor=True)
        assert all(found.values()), found


async def test_the_same_ways_renew_a_session_with_the_factor(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    async with a_world(database_address, settings, tmp_path, clock, OFFERED) as world:
        assert await renew_all(world, has_factor=True) == dict.fromkeys(RENEWALS, True)


async def test_an_operation_that_gives_a_session_and_does_not_say_so_gives_none(world: World) -> None:
    ada = await world.visitor().sign_up("ada")
    front = muted(world)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url=ORIGIN) as http:
        answer = await http.post("/api/sessions", json={"identifier": ada["uid"], "password": PASSWORD})
    assert answer.status_code == 500
    assert "set-cookie" not in answer.headers


def muted(world: World) -> Front:
    """The application as if every operation had forgotten to say that it gives a session."""
    services, site = world.services, world.services.csrf.site
    gate = Gate(
        site, Cookies(site.secure), services.csrf, Pages(services.settings.site.name),
        partial(find_session, services), services.clock,
    )  # fmt: skip
    forgetful: list[Operation] = [replace(one, session=False) for one in operations(services, gate, site)]
    return Front(gate, forgetful, {})
