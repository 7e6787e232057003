"""What a ticket opens, which is the next step and nothing else, and what ends it (C17, C25, C32, C36; docs/adr/0011).

ASVS 5.0: 6.3.3, 6.3.4, 6.5.1, 6.6.2 (bound to the request), 7.2.4, 7.4.2, 7.4.3.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors, Signin
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.web.routing import FORM, Access, Operation
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import OPERATOR, call, dump, make_admin, name_of, path_of, route_table
from tests.support.factors import OWN, STEP, app_code, half_signed_in, signed_in, step
from tests.support.members import code as latest_code
from tests.support.second_step import (
    AGAIN,
    CURRENT,
    ENROL,
    WRONG,
    Member,
    add_passkey,
    full_member,
    half_in,
    lend,
    mailed,
    plain_member,
    sessions_of,
    use_passkey,
)

TICKET = "doorward-ticket"
NUMBER = "+4915123456789"
NEW = "another quite different phrase"
AT_ONCE = Factors(required="all", grace_days=0)
OF_TICKETS = (  # what looks at tickets; a new one has to be added here on purpose
    "/sign-in/step",
    "/sign-in/set-up",
    "/sign-in/keep",
    "/sign-in/lost",
    "/sign-in/cool-off",
    "/api/sessions/authenticator",
    "/api/sessions/enrolment",
    "/api/sessions/restoration",
)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    chosen = getattr(request, "param", Factors(required="optional", sms=True, email=True, cool_off=True))
    return msgspec.structs.replace(settings, factors=chosen, signin=Signin(email_link=True))


WHERE_ALL_HAVE_TO = pytest.mark.parametrize("settings", [AT_ONCE], indirect=True)


async def recovered(world: World, member: Member, visitor: Visitor | None = None) -> Visitor:
    """Somebody who has shown a recovery code, so that another factor is owed."""
    visitor, _ = await half_signed_in(world, member.uid, visitor)
    answer = await step(visitor, "recovery_code", member.codes.pop(0))
    assert answer.json()["next"] == "enrolment", answer.text
    return visitor


async def offered(world: World, visitor: Visitor) -> str:
    """What an app that is set up with a ticket shows now."""
    offer = await visitor.http.post(ENROL, json={"kind": "totp"})
    assert offer.status_code == 200, offer.text
    return app_code(world, offer.json()["secret"])


async def enrol(visitor: Visitor, code: str) -> httpx.Response:
    return await visitor.http.post(f"{ENROL}/confirm", json={"kind": "totp", "code": code})


# Nothing but the next step --------------------------------------------------------------------------------------------


async def in_its_cookie(world: World, ticket: str, operation: Operation) -> httpx.Response:
    return await send(world, operation, {"cookie": f"{TICKET}={ticket}"})


async def in_the_sessions_cookie(world: World, ticket: str, operation: Operation) -> httpx.Response:
    return await send(world, operation, {"cookie": f"doorward={ticket}; {TICKET}={ticket}"})


async def as_a_bearer(world: World, ticket: str, operation: Operation) -> httpx.Response:
    return await send(world, operation, {"authorization": f"Bearer {ticket}"})


async def as_a_programs_session(world: World, ticket: str, operation: Operation) -> httpx.Response:
    return await send(world, operation, {"authorization": f"Bearer dws_{ticket}"})


PLACES = [in_its_cookie, in_the_sessions_cookie, as_a_bearer, as_a_programs_session]


async def send(world: World, operation: Operation, headers: dict[str, str]) -> httpx.Response:
    """The plainest request, with the proof that a page of ours gives to whoever has no session."""
    if operation.reads != FORM:
        return await call(world.visitor(), operation, **headers)
    browser = world.visitor()
    shown = await browser.get("/sign-in")
    token = shown.text.split('name="csrf_token" value="')[1].split('"')[0]
    visit = f"doorward-visit={browser.http.cookies['doorward-visit']}"
    cookie = "; ".join(filter(None, (headers.get("cookie"), visit)))
    kept = {**headers, "cookie": cookie, "content-type": FORM, "origin": ORIGIN}
    content = urlencode({"csrf_token": token})
    return await world.visitor().http.post(path_of(operation), content=content, headers=kept)


async def tickets_of(world: World) -> Mapping[str, str]:
    """What a thief may hold who is half signed in: of a browser and of a program, of both kinds."""
    member = await full_member(world, "ada")
    browser, program, later = world.visitor(), world.visitor(), await recovered(world, member)
    await half_in(world, member, browser)
    told = await half_in(world, member, program, bearer=True)
    return {
        "of a browser": browser.http.cookies[TICKET],
        "of a program": told["ticket"],
        "after a recovery code": later.http.cookies[TICKET],
    }


@pytest.mark.asvs("6.3.3")
@pytest.mark.asvs("6.3.4")
@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("place", PLACES)
async def test_a_ticket_opens_no_operation_but_those_of_the_next_step(
    world: World, place: Callable[[World, str, Operation], Awaitable[httpx.Response]]
) -> None:
    tickets = await tickets_of(world)
    before = await dump(world.services.db)
    for operation in route_table(world):
        wanted = await send(world, operation, {})
        is_next_step = operation.path.startswith(OF_TICKETS)
        for whose, ticket in tickets.items():
            if is_next_step and whose == "after a recovery code":
                continue  # it takes no more than an empty form to go without a second step from then on
            answer = await place(world, ticket, operation)
            said = (name_of(operation), whose, answer.status_code)
            is_open = operation.access in {Access.ANYONE, Access.OPTIONAL}
            answered_as_anybody = is_open and answer.status_code == wanted.status_code
            assert is_next_step or answered_as_anybody or is_sent_away(operation, answer), said
    after = await dump(world.services.db)
    # Whoever looks may ask for a passkey, and be told what is wrong with their form.
    free = {"challenge", "audit_event", "bucket", "ticket"}
    assert {name: rows for name, rows in after.items() if name not in free} == {
        name: rows for name, rows in before.items() if name not in free
    }
    assert len(after["ticket"]) == len(before["ticket"])


def is_sent_away(operation: Operation, answer: httpx.Response) -> bool:
    if operation.is_page:
        return answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")
    return answer.status_code == 401


async def test_what_looks_at_tickets_is_known(world: World) -> None:
    """The test above leaves out no more than it has to."""
    member = await full_member(world, "ada")
    looking = set()
    for operation in route_table(world):
        thief, _ = await half_signed_in(world, member.uid)
        world.clock.advance(1)
        with_it = await send(world, operation, {"cookie": f"{TICKET}={thief.http.cookies[TICKET]}"})
        without = await send(world, operation, {})
        if (with_it.status_code, with_it.headers.get("location")) != (
            without.status_code, without.headers.get("location"),
        ):  # fmt: skip
            looking.add(operation.path)
    assert looking
    assert all(path.startswith(OF_TICKETS) for path in looking), looking
    assert all(any(path.startswith(place) for path in looking) for place in OF_TICKETS[:5]), looking


# Planted, borrowed, out of order --------------------------------------------------------------------------------------


@pytest.mark.asvs("7.2.4")
async def test_a_planted_ticket_is_never_adopted(world: World) -> None:
    ada, eve = await full_member(world, "ada"), await full_member(world, "eve")
    thief, victim = world.visitor(), world.visitor()
    await half_in(world, eve, thief)
    for planted in ("A" * 43, thief.http.cookies[TICKET]):
        held = {"cookie": f"{TICKET}={planted}"}
        body = {"identifier": "ada", "password": PASSWORD}
        answer = await victim.http.post("/api/sessions", json=body, headers=held)
        given = answer.cookies[TICKET]
        assert given != planted
        done = await victim.http.post(
            STEP, json={"kind": "totp", "code": app_code(world, ada.app)}, headers={"cookie": f"{TICKET}={given}"}
        )  # fmt: skip
        assert done.json()["user"]["uid"] == "ada"
        again = {"cookie": f"{TICKET}={planted}"}
        code = app_code(world, ada.app, -1)
        refused = await world.visitor().http.post(STEP, json={"kind": "totp", "code": code}, headers=again)
        assert refused.status_code in {400, 401}
        world.clock.advance(30)


@pytest.mark.asvs("7.2.4")
async def test_a_planted_session_ends_with_the_step_and_the_new_one_has_another_id(world: World) -> None:
    ada, eve = await full_member(world, "ada"), await plain_member(world, "eve")
    victim = world.visitor()
    lend(eve.browser, victim, "doorward")
    planted = (await eve.browser.get(CURRENT)).json()["id"]
    await half_in(world, ada, victim)
    before = victim.http.cookies["doorward"]
    done = await step(victim, "totp", app_code(world, ada.app))
    assert done.json()["id"] != planted
    assert done.cookies["doorward"] != before
    assert not await signed_in(eve.browser), "the session that somebody had planted is over"


@pytest.mark.asvs("6.6.2")
async def test_a_ticket_travels_as_it_was_given(world: World) -> None:
    ada = await full_member(world, "ada")
    browser, program = world.visitor(), world.visitor()
    await half_in(world, ada, browser)
    of_program = (await half_in(world, ada, program, bearer=True))["ticket"]
    of_browser = browser.http.cookies[TICKET]
    right = {"kind": "totp", "code": app_code(world, ada.app)}
    page = {"sec-fetch-site": "same-origin", "origin": ORIGIN}

    async def tried(body: Mapping[str, Any], **headers: str) -> int:
        answer = await world.visitor().http.post(STEP, json={**right, **body}, headers=headers)
        return answer.status_code

    assert await tried({"ticket": of_program}, **page) == 403, "a page's script has no business with it"
    assert await tried({"ticket": of_browser}, **page) == 403
    assert await tried({"ticket": of_browser}) == 401, "nor a program with a browser's"
    assert await tried({}, cookie=f"{TICKET}={of_program}") == 401
    assert await tried({}, cookie=f"{TICKET}={of_browser}; {TICKET}={of_browser}") == 401, "which is ours?"
    assert await tried({"ticket": of_program}) == 201


@pytest.mark.asvs("6.6.2")
async def test_what_one_ticket_has_asked_for_answers_no_other(world: World) -> None:
    ada = await full_member(world, "ada")
    number = await add_number(world, ada)
    owner, thief = world.visitor(), world.visitor()
    await half_in(world, ada, owner)
    asked = await owner.http.post(f"{STEP}/challenge", json={"kind": "passkey"})
    await owner.http.post(f"{STEP}/challenge", json={"kind": "sms_code"})
    code = await latest_code(world, number)
    await half_in(world, ada, thief)
    await thief.http.post(f"{STEP}/challenge", json={"kind": "passkey"})
    credential = ada.device.get(asked.json()["options"], ORIGIN)

    for kind, answer in (("passkey", {"credential": credential}), ("sms_code", {"code": code})):
        refused = await thief.http.post(STEP, json={"kind": kind, **answer})
        assert refused.status_code == 400, kind
    done = await owner.http.post(STEP, json={"kind": "passkey", "credential": credential})
    assert done.status_code == 201, done.text


async def add_number(world: World, member: Member, *, bind: bool = True) -> str:
    """Prove a number and, if so wished, have codes sent there."""
    path = f"/api/users/{member.id}/phone"
    assert (await member.browser.post(path, {"phone": NUMBER})).status_code == 202
    proof = {"code": await latest_code(world, NUMBER), "purpose": "phone"}
    assert (await member.browser.post("/api/verifications", proof)).status_code == 200
    if bind:
        assert (await member.browser.post(f"{OWN}/confirm", {"kind": "sms_code"})).status_code == 201
    return NUMBER


async def test_steps_are_taken_in_their_order(world: World) -> None:
    ada = await full_member(world, "ada")
    first, later = world.visitor(), await recovered(world, ada)
    await half_in(world, ada, first)
    right = {"kind": "totp", "code": app_code(world, ada.app)}
    for path, body in (
        (ENROL, {"kind": "totp"}),
        (f"{ENROL}/confirm", {"kind": "totp", "code": WRONG}),
        (f"{ENROL}/skip", {}),
        ("/api/sessions/restoration", {}),
    ):
        assert (await first.http.post(path, json=body)).status_code == 409, path
    for path, body in ((STEP, right), (f"{STEP}/challenge", {"kind": "email_code"}), ("/api/sessions/restoration", {})):
        assert (await later.http.post(path, json=body)).status_code == 409, path
    for visitor, path, leads_to in (
        (first, "/sign-in/set-up", "/sign-in/step"),
        (first, "/sign-in/keep", "/sign-in/step"),
        (later, "/sign-in/step", "/sign-in/set-up"),
        (later, "/sign-in/keep", "/sign-in/set-up"),
    ):
        assert (await visitor.get(path)).headers["location"] == leads_to
    assert not [one for one in (first, later) if await signed_in(one)]


# Used once ------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
async def test_a_ticket_is_used_once_also_by_twenty_at_a_time(world: World) -> None:
    ada = await full_member(world, "ada")
    browser = world.visitor()
    await half_in(world, ada, browser)
    world.clock.advance(30)  # two codes count now
    held = {"cookie": f"{TICKET}={browser.http.cookies[TICKET]}"}
    before = len(await sessions_of(world))
    bodies = [{"kind": "totp", "code": app_code(world, ada.app)}] * 10
    bodies += [{"kind": "totp", "code": app_code(world, ada.app, -1)}] * 10
    answers = await asyncio.gather(
        *(world.visitor(f"198.51.100.{n}").http.post(STEP, json=body, headers=held) for n, body in enumerate(bodies))
    )
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(await sessions_of(world)) == before + 1
    world.clock.advance(30)
    again = await world.visitor().http.post(
        STEP, json={"kind": "totp", "code": app_code(world, ada.app)}, headers=held
    )  # fmt: skip
    assert again.status_code == 401


@pytest.mark.asvs("6.5.1")
@pytest.mark.asvs("6.4.4")
async def test_a_recovery_code_leads_one_of_twenty_tickets_on(world: World) -> None:
    ada = await full_member(world, "ada")
    thieves = [world.visitor(f"198.51.100.{number}") for number in range(20)]
    for thief in thieves:
        await half_in(world, ada, thief)
    answers = await asyncio.gather(*(step(thief, "recovery_code", ada.codes[0]) for thief in thieves))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.status_code for answer in answers} <= {200, 400, 429, 503}
    left = next(one for one in (await ada.browser.get(OWN)).json()["data"] if one["kind"] == "recovery_code")["left"]
    assert left == 9


@pytest.mark.asvs("6.5.1")
@WHERE_ALL_HAVE_TO
async def test_twenty_enrolments_with_one_ticket_bind_one_factor_and_begin_one_session(world: World) -> None:
    ada = await plain_member(world, "ada")
    browser = world.visitor()
    await half_in(world, ada, browser)
    code = await offered(world, browser)
    held = {"cookie": f"{TICKET}={browser.http.cookies[TICKET]}"}
    body = {"kind": "totp", "code": code}
    answers = await asyncio.gather(
        *(world.visitor().http.post(f"{ENROL}/confirm", json=body, headers=held) for _ in range(20))
    )
    assert [answer.status_code for answer in answers].count(201) == 1
    tables = await dump(world.services.db)
    assert (len(tables["authenticator"]), len(tables["session"])) == (1, 1)


@WHERE_ALL_HAVE_TO
async def test_twenty_tickets_that_owe_a_factor_bind_one(world: World) -> None:
    """Whoever comes second may be a thief, who would bind a factor of their own beside the owner's."""
    ada = await plain_member(world, "ada")
    world.clock.advance(1)  # the ticket of the sign-up is the oldest, and ends
    browsers = [world.visitor() for _ in range(20)]
    for browser in browsers:
        await half_in(world, ada, browser)
    codes = [await offered(world, browser) for browser in browsers]
    answers = await asyncio.gather(*(enrol(*pair) for pair in zip(browsers, codes, strict=True)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1, statuses
    assert set(statuses) <= {201, 401, 409}, statuses
    tables = await dump(world.services.db)
    assert (len(tables["authenticator"]), len(tables["session"]), len(tables["ticket"])) == (1, 1, 0)


@pytest.mark.parametrize("settings", [Factors(required="all", grace_days=1)], indirect=True)
async def test_a_factor_that_was_bound_meanwhile_makes_a_waiting_enrolment_worthless(world: World) -> None:
    ada = await plain_member(world, "ada")
    world.clock.advance(86_400)
    thief = world.visitor()
    assert (await half_in(world, ada, thief))["next"] == "enrolment"
    code = await offered(world, thief)
    body = {"password": PASSWORD}
    ada.browser.csrf = (await ada.browser.post(AGAIN, body)).json()["csrf_token"]
    assert (await add_passkey(ada.browser, ada.device)).status_code == 201

    assert (await enrol(thief, code)).status_code == 401
    assert (await half_in(world, ada, thief))["next"] == "authenticator"
    assert (await enrol(thief, code)).status_code == 409


# Ended ----------------------------------------------------------------------------------------------------------------

End: TypeAlias = Callable[[World, Member], Awaitable[object]]


async def by_a_new_password(_: World, ada: Member) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await ada.browser.send("PUT", "/api/users/me/password", body)).status_code == 204


async def by_a_password_of_the_mailbox(world: World, ada: Member) -> None:
    await ada.browser.http.post("/api/recovery", json={"email": ada.address})
    path = await mailed(world, ada.address, "path", "recovery")
    body = {"token": path.rpartition("/")[2], "password": NEW}
    assert (await ada.browser.http.post("/api/recovery/complete", json=body)).status_code == 200


async def by_the_end_of_other_sessions(_: World, ada: Member) -> None:
    assert (await ada.browser.submit("/account/sessions/end-others", {}, "/account/sessions")).status_code == 303


async def by_disabling(world: World, ada: Member) -> None:
    await world.services.users.set_status(ada.id, "disabled", None, OPERATOR)


async def by_disabling_for_a_while(world: World, ada: Member) -> None:
    await world.services.users.set_status(ada.id, "disabled", None, OPERATOR)
    await world.services.users.set_status(ada.id, "active", None, OPERATOR)


async def by_a_change_of_roles(world: World, ada: Member) -> None:
    await world.services.users.set_roles(ada.id, ["support"], None, OPERATOR)


async def by_a_reset_of_the_factors(world: World, ada: Member) -> None:
    await world.services.steps.reset_for(ada.id, None, OPERATOR)


async def by_a_report_of_the_password(world: World, ada: Member) -> None:
    await world.services.recovery.flag_compromised(ada.id, OPERATOR)


async def by_erasing(world: World, ada: Member) -> None:
    await world.services.users.delete(ada.id, None, OPERATOR)


async def by_another_factor_after_a_recovery_code(world: World, ada: Member) -> None:
    later = await recovered(world, ada)
    assert (await enrol(later, await offered(world, later))).status_code == 201


async def by_time(world: World, _: Member) -> None:
    world.clock.advance(600)


ENDS = [
    by_a_new_password,
    by_a_password_of_the_mailbox,
    by_the_end_of_other_sessions,
    by_disabling,
    by_disabling_for_a_while,
    by_a_change_of_roles,
    by_a_reset_of_the_factors,
    by_a_report_of_the_password,
    by_erasing,
    by_another_factor_after_a_recovery_code,
    by_time,
]


@pytest.mark.asvs("7.4.2")
@pytest.mark.asvs("7.4.3")
@pytest.mark.parametrize("end", ENDS)
async def test_a_ticket_is_ended(world: World, end: End) -> None:
    ada = await full_member(world, "ada")
    first, later = world.visitor(), await recovered(world, ada)
    await half_in(world, ada, first)
    code = await offered(world, later)
    before = len(await sessions_of(world))
    await end(world, ada)

    answers = [
        await step(first, "totp", app_code(world, ada.app)),
        await step(first, "recovery_code", (ada.codes or ["none"])[0]),
        await enrol(later, code),
        await later.http.post(f"{ENROL}/skip", json={}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert not [one for one in (first, later) if await signed_in(one)]
    assert len(await sessions_of(world)) <= before


@pytest.mark.asvs("7.5.3")
async def test_a_ticket_to_prove_oneself_anew_counts_in_its_session_alone(world: World) -> None:
    ada = await full_member(world, "ada")
    other = world.visitor()
    await half_in(world, ada, other)
    assert (await step(other, "totp", app_code(world, ada.app))).status_code == 201
    world.clock.advance(30)
    await ada.browser.post(AGAIN, {"password": PASSWORD})
    right = {"kind": "totp", "code": app_code(world, ada.app)}
    before = await sessions_of(world)

    for elsewhere in (world.visitor(), other):
        lend(ada.browser, elsewhere, TICKET)
        assert (await elsewhere.http.post(STEP, json=right)).status_code == 401
    await ada.browser.send("DELETE", CURRENT)
    assert (await ada.browser.http.post(STEP, json=right)).status_code == 401
    assert len(await sessions_of(world)) == len(before) - 1


# Factors that are gone, and what only looks like two ------------------------------------------------------------------


async def sms_asked(world: World, ada: Member) -> tuple[Visitor, str]:
    """A thief of password and telephone has asked for a code, and reads it."""
    thief = world.visitor()
    await half_in(world, ada, thief)
    assert (await thief.http.post(f"{STEP}/challenge", json={"kind": "sms_code"})).status_code == 200
    return thief, await latest_code(world, NUMBER)


@pytest.mark.asvs("6.5.6")
@pytest.mark.parametrize("gone", ["factor", "number", "number of another"])
async def test_a_code_on_its_way_shows_nothing_once_its_factor_is_gone(world: World, gone: str) -> None:
    ada, eve = await full_member(world, "ada"), await full_member(world, "eve")
    await add_number(world, ada)
    thief, code = await sms_asked(world, ada)
    if gone == "factor":
        own = (await ada.browser.get(OWN)).json()["data"]
        bound = next(one["id"] for one in own if one["kind"] == "sms_code")
        assert (await ada.browser.send("DELETE", f"{OWN}/{bound}")).status_code == 204
    elif gone == "number":
        assert (await ada.browser.send("DELETE", f"/api/users/{ada.id}/phone")).status_code == 204
    else:
        await add_number(world, eve, bind=False)
    assert (await step(thief, "sms_code", code)).status_code == 400
    assert not await signed_in(thief)


@pytest.mark.asvs("6.3.3")
async def test_the_same_passkey_twice_is_not_two_factors(world: World) -> None:
    """Whoever finds a security key may give it a PIN of their own (WebAuthn §4, uvInitialized)."""
    ada, found = await plain_member(world, "ada"), SoftwareAuthenticator()
    assert (await add_passkey(ada.browser, found, by_itself=True)).status_code == 204
    assert (await add_passkey(ada.browser, ada.device)).status_code == 201
    ada.app = await app_of(world, ada)
    thief = world.visitor()
    told = (await use_passkey(thief, found)).json()
    assert (told["next"], told["kinds"]) == ("authenticator", ["totp"])

    for device in (found, ada.device):
        asked = await thief.http.post(f"{STEP}/challenge", json={"kind": "passkey"})
        body = {"kind": "passkey", "credential": device.get(asked.json()["options"], ORIGIN)}
        assert (await thief.http.post(STEP, json=body)).status_code == 400
    assert not await signed_in(thief)
    assert (await step(thief, "totp", app_code(world, ada.app))).status_code == 201


async def app_of(world: World, member: Member) -> str:
    offer = (await member.browser.post(OWN, {"kind": "totp"})).json()
    code = app_code(world, offer["secret"])
    assert (await member.browser.post(f"{OWN}/confirm", {"kind": "totp", "code": code})).status_code == 201
    world.clock.advance(30)
    return str(offer["secret"])


async def test_a_code_by_mail_beside_an_app_leads_nowhere(world: World) -> None:
    ada, thief = await full_member(world, "ada"), world.visitor()
    await half_in(world, ada, thief)
    for _ in range(2):
        assert (await thief.http.post(f"{STEP}/challenge", json={"kind": "email_code"})).status_code == 200
        answer = await step(thief, "email_code", await mailed(world, ada.address, "code", "factor_code"))
        assert (answer.status_code, answer.json()["next"]) == (200, "authenticator")
    assert not await signed_in(thief)


# Who has to have a factor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [Factors(required="all", grace_days=7, email=True)], indirect=True)
@pytest.mark.parametrize("kind", ["recovery_code", "email_code", "passkey made by itself"])
async def test_days_of_grace_are_prolonged_by_nothing_but_a_factor(world: World, kind: str) -> None:
    ada = await plain_member(world, "ada")
    world.clock.advance(6 * 86_400)
    assert (await ada.browser.sign_in("ada")).status_code == 201
    if kind == "passkey made by itself":
        assert (await add_passkey(ada.browser, ada.device, by_itself=True)).status_code == 204
    else:
        await ada.browser.post(OWN, {"kind": kind})
        assert (await ada.browser.post(f"{OWN}/confirm", {"kind": kind, "kept": True})).status_code == 201
    world.clock.advance(2 * 86_400)
    answer = await world.visitor().http.post("/api/sessions", json={"identifier": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.json().get("next")) != (201, None)
    if kind != "email_code":  # which is asked for first
        assert answer.json()["next"] == "enrolment"


async def test_an_administrator_does_not_reset_their_own_factors(world: World) -> None:
    """It would begin the days of grace anew, where the last factor cannot be removed."""
    chief = world.visitor()
    user = await make_admin(world, chief, "chief")
    assert (await add_passkey(chief, SoftwareAuthenticator())).status_code == 201
    assert (await chief.send("DELETE", f"/api/users/{user['id']}/authenticators")).status_code == 403
    assert len((await chief.get(OWN)).json()["data"]) == 1


async def test_the_first_factor_leaves_no_session_that_began_without(world: World) -> None:
    """Whatever kind it is: a number that was proven some time ago lifts no session."""
    ada, thief = await plain_member(world, "ada"), world.visitor()
    assert (await thief.sign_in("ada")).status_code == 201
    await add_number(world, ada)
    assert not [one for one in (ada.browser, thief) if await signed_in(one)]
    again, told = await half_signed_in(world, "ada")
    assert told["kinds"] == ["sms_code"]
    assert (await again.http.post(f"{STEP}/challenge", json={"kind": "sms_code"})).status_code == 200
    assert (await step(again, "sms_code", await latest_code(world, NUMBER))).json()["aal"] == 2


async def test_a_link_to_the_second_step_signs_nobody_out(world: World) -> None:
    ada = await plain_member(world, "ada")
    for path in ("/sign-in/step", "/sign-in/set-up", "/sign-in/keep", "/sign-in/lost", "/sign-in/cool-off"):
        answer = await ada.browser.get(path, headers={"sec-fetch-site": "cross-site"})
        assert answer.headers["location"].startswith("/sign-in?next="), path
    assert await signed_in(ada.browser)
    await ada.browser.send("DELETE", CURRENT)
    lend_back = {"cookie": "doorward=" + "A" * 43}
    dead = await world.visitor().get("/account", headers=lend_back)
    assert 'doorward=""' in dead.headers["set-cookie"], "a cookie that opens nothing is taken back"
