"""What a ticket opens, which is the next step and nothing else, and what ends it (C17, C25, C32, C36; docs/adr/0011).

ASVS 5.0: 6.3.3, 6.3.4, 6.5.1, 6.6.2 (bound to the request), 7.2.4, 7.4.2, 7.4.3.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors, Signin
from doorward.web.routing import FORM, Access, Operation
from tests.http.conftest import ORIGIN, Visitor, World
from tests.support.attack import call, dump, name_of, path_of, route_table
from tests.support.factors import app_code, half_signed_in, step
from tests.support.second_step import (
    ENROL,
    Member,
    full_member,
    half_in,
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
