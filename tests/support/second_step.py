"""Members with every second factor there is, and those who try to get in as them, with the factor or without."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from doorward.sql.tables import session
from doorward.testing.authenticator import SoftwareAuthenticator
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, dump
from tests.support.factors import OWN, STEP, app_code, half_signed_in, make_codes, set_up_app

CURRENT = "/api/sessions/current"
AGAIN = f"{CURRENT}/reauthenticate"
ENROL = "/api/sessions/enrolment"
STALE = 602  # seconds after which a proof is not fresh any more; one of a factor counts a second later (C26)
PAGE = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
WRONG = "000000"


@dataclass
class Member:
    """Somebody with an account, and the factors that only they have."""

    uid: str
    address: str
    id: str
    browser: Visitor
    app: str = ""
    codes: list[str] = field(default_factory=list)
    device: SoftwareAuthenticator = field(default_factory=SoftwareAuthenticator)


@dataclass
class Somebody:
    """Whoever tries to get in as a member. `has_factor`: else they know everything but the factor."""

    world: World
    member: Member
    visitor: Visitor
    has_factor: bool
    answers: list[httpx.Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Remember every answer."""
        self.watch(self.visitor)

    def watch(self, visitor: Visitor) -> None:
        """Remember every answer to a visitor from now on."""

        async def note(answer: httpx.Response) -> None:
            self.answers.append(answer)

        visitor.http.event_hooks["response"].append(note)

    @property
    def code(self) -> str:
        """What the app shows, or a guess."""
        return app_code(self.world, self.member.app) if self.has_factor else WRONG

    @property
    def recovery_code(self) -> str:
        """One that works, or a guess."""
        return self.member.codes[0] if self.has_factor else "aaaa-bbbb-cccc-dddd"

    async def mailed(self, name: str, template: str, otherwise: str = "") -> str:
        """What the latest mail of its kind to the member says: everybody reads the mailbox."""
        return await mailed(self.world, self.member.address, name, template, otherwise)

    async def came_out(self) -> list[str]:
        """Every secret in an answer that opens a session, as the header that it was tried in."""
        tried: list[Mapping[str, str]] = []
        for answer in self.answers:
            tried += [{"cookie": f"doorward={token}"} for token in given(answer)]
            tried += [{"authorization": f"Bearer {text}"} for text in texts(answer)]
        tried.append(self.visitor.cookie_header())
        return [str(headers) for headers in tried if await opens(self.world, headers)]


async def mailed(world: World, address: str, name: str, template: str, otherwise: str = "") -> str:
    """What the latest mail of its kind to an address says. The next comes a second later."""
    found = [str(one.values[name]) for one in await Inbox(world).messages(address) if one.template == template]
    world.clock.advance(1)
    return found[-1] if found else otherwise


def given(answer: httpx.Response) -> list[str]:
    """The session secrets that an answer sets as a cookie."""
    found = [re.match(r"doorward=([^;]+)", value) for value in answer.headers.get_list("set-cookie")]
    return [match[1] for match in found if match is not None and match[1] != '""']


def texts(answer: httpx.Response) -> list[str]:
    """Every text of a JSON answer, however deep, that a header could carry."""
    if "json" not in answer.headers.get("content-type", ""):
        return []
    return [text for text in _leaves(answer.json()) if text.isascii() and text.isprintable()]


def _leaves(value: Any) -> Sequence[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for member in value.values() for text in _leaves(member)]
        case list():
            return [text for member in value for text in _leaves(member)]
        case _:
            return []


async def opens(world: World, headers: Mapping[str, str]) -> bool:
    """Whether anything that these headers name is a live session."""
    answers = [await world.visitor().get(path, headers=dict(headers)) for path in (CURRENT, "/api/users/me")]
    return any(answer.status_code == 200 for answer in answers)


async def sessions_of(world: World) -> list[dict[str, Any]]:
    """Every session that there is, its secret's digest included, but for when it was last used."""
    names = [column.name for column in session.columns]
    rows = [dict(zip(names, row, strict=True)) for row in (await dump(world.services.db))["session"]]
    return [{name: value for name, value in row.items() if name != "last_seen_at"} for row in rows]


# Members -------------------------------------------------------------------------------------------------------------


async def prove_address(world: World, user_id: str, address: str) -> None:
    """An address is a member's, as if a link to it had come back."""
    now = world.clock.now()
    await world.services.db.write(lambda: world.services.users.prove(user_id, "email", address, OPERATOR, now))


async def plain_member(world: World, uid: str) -> Member:
    """Somebody with a password and a proven address."""
    browser = world.visitor()
    await browser.http.post("/api/users", json={"uid": uid, "name": f"Name of {uid}", "password": PASSWORD})
    user = await world.services.users.find_by_identifier(uid)
    assert user is not None
    found = Member(uid, f"{uid}@example.org", user.id, browser)
    await prove_address(world, user.id, found.address)
    if (answer := await browser.get(CURRENT)).status_code == 200:
        browser.csrf = answer.json()["csrf_token"]
    return found


async def give_factors(world: World, member: Member) -> None:
    """Turn on an app, a passkey, recovery codes and, where they are offered, codes by e-mail."""
    member.app = await set_up_app(world, member.browser)
    assert (await add_passkey(member.browser, member.device)).status_code == 201
    member.codes = await make_codes(member.browser)
    if "email_code" in world.services.factors.policy.offered:
        assert (await member.browser.post(f"{OWN}/confirm", {"kind": "email_code"})).status_code == 201


async def full_member(world: World, uid: str) -> Member:
    """Somebody with every factor, signed in with them just now."""
    member = await plain_member(world, uid)
    await give_factors(world, member)
    return member


# Passkeys ------------------------------------------------------------------------------------------------------------


async def add_passkey(visitor: Visitor, device: SoftwareAuthenticator, *, by_itself: bool = False) -> httpx.Response:
    """Register one for somebody signed in just now. `by_itself`: as a browser does after a password."""
    if by_itself:
        options = (await visitor.post(f"{OWN}/upgrade/options", {})).json()
        credential = device.create(options, ORIGIN, conditional=True)
        return await visitor.post(f"{OWN}/upgrade", {"credential": credential})
    options = (await visitor.post(OWN, {"kind": "passkey"})).json()["options"]
    return await visitor.post(f"{OWN}/confirm", {"kind": "passkey", "credential": device.create(options, ORIGIN)})


async def use_passkey(visitor: Visitor, device: SoftwareAuthenticator, **tweaks: Any) -> httpx.Response:
    """Sign in with nothing typed."""
    options = (await visitor.http.post("/api/sessions/passkey/options", json={})).json()
    credential = device.get(options, ORIGIN, **tweaks)
    answer = await visitor.http.post("/api/sessions/passkey", json={"credential": credential})
    if answer.status_code == 201:
        visitor.csrf = answer.json()["csrf_token"]
    return answer


# Proving anew --------------------------------------------------------------------------------------------------------


async def prove_anew(world: World, visitor: Visitor, app: str) -> None:
    """Password and code, in a session that there is."""
    told = await visitor.post(AGAIN, {"password": PASSWORD})
    assert told.json()["next"] == "authenticator", told.text
    done = await visitor.post(STEP, {"kind": "totp", "code": app_code(world, app)})
    assert done.status_code == 200, done.text
    visitor.csrf = done.json()["csrf_token"]


async def steal_session(world: World, owner: Visitor) -> Visitor:
    """Somebody else with all cookies of a browser."""
    thief = world.visitor()
    thief.http.cookies.update(owner.http.cookies)
    await thief.learn_csrf()
    return thief


def lend(owner: Visitor, other: Visitor, *names: str) -> None:
    """Give somebody else cookies of a browser, those that it has."""
    for cookie in owner.http.cookies.jar:
        if cookie.name in names:
            other.http.cookies.jar.set_cookie(cookie)


async def half_in(world: World, member: Member, visitor: Visitor, *, bearer: bool = False) -> dict[str, Any]:
    """Show the right password; what was answered."""
    if not bearer:
        return (await half_signed_in(world, member.uid, visitor))[1]
    body = {"identifier": member.uid, "password": PASSWORD, "transport": "bearer"}
    told: dict[str, Any] = (await visitor.http.post("/api/sessions", json=body)).json()
    return told
