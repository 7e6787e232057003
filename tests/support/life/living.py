"""People do things to the application, and every answer is held against the model (`model.py`).

Each deed says first what the model expects, then does it over HTTP, then lets the model know. Where several things are
done at once and more than one outcome is right, the application is asked what came of it (`settle`), after what must
hold in every order has been checked.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Literal

from sqlalchemy import bindparam as p
from sqlalchemy import select

from doorward.authenticators.factor_store import find_grace
from doorward.kernel.instant import SECOND, Instant
from doorward.sql import Row, Statement, Work, purpose_of
from doorward.sql.tables import message
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.users import identifier_key
from tests.http.conftest import Visitor, World
from tests.support.attack import OPERATOR
from tests.support.life.asking import Reply, ask
from tests.support.life.model import (
    APP_STEP,
    Browser,
    Device,
    Key,
    Lanes,
    Link,
    Person,
    Policy,
    Session,
    Ticket,
    lasts,
)
from tests.support.newcomers import join
from tests.support.second_step import CURRENT, use_passkey

SESSIONS, PASSKEY = "/api/sessions", "/api/sessions/passkey"
WRONG_PASSWORD, WRONG_CODE, WRONG_RECOVERY = "not the password of anybody", "000000", "aaaa-bbbb-cccc-dddd"
BY_PASSWORD, BY_CODE, BY_PASSKEY, BY_MAIL = ("pwd",), ("otp", "mfa"), ("swk", "user", "mfa"), ("otp",)
REFUSED: Final = frozenset({400, 401, 403, 404, 409, 429})
Where = Literal["home", "new", "program"]

_SENT_TO = Statement(
    select(message.c.id, message.c.template, message.c.values_sealed, message.c.state)
    .where(message.c.recipient == p("to"), message.c.values_sealed.is_not(None))
    .order_by(message.c.created_at, message.c.template, message.c.id)
)


def _sent_to(address: str) -> Work[list[Row]]:
    return list((yield _SENT_TO(to=address)))


@dataclass
class Administrator:
    """Somebody with a passkey and the role."""

    browser: Visitor
    device: SoftwareAuthenticator

    async def sign_in(self) -> None:
        """Sign in anew, for sensitive steps need that."""
        assert (await use_passkey(self.browser, self.device)).status_code == 201

    async def reset_factors(self, user_id: str) -> int:
        """Remove all that a user has set up; the answer's status."""
        return (await self.browser.send("DELETE", f"/api/users/{user_id}/authenticators")).status_code


async def administrator(world: World) -> Administrator:
    """Make one."""
    found = Administrator(world.visitor(), SoftwareAuthenticator())
    user = await join(found.browser, found.device, "keeper")
    await world.services.users.set_roles(user["id"], ["admin"], None, OPERATOR)
    return found


@dataclass
class Living:
    """One story: its people, their browsers, and the world that they live in."""

    world: World
    admin: Administrator
    policy: Policy
    number: int
    people: list[Person] = field(default_factory=list)
    browsers: list[Browser] = field(default_factory=list)
    lanes: Lanes = field(default_factory=Lanes)
    _mails: set[str] = field(default_factory=set)
    _addresses: Iterator[int] = field(default_factory=count)
    _words: Iterator[int] = field(default_factory=count)

    @property
    def now(self) -> Instant:
        """The present."""
        return self.world.clock.now()

    # Requests -------------------------------------------------------------------------------------------------------

    def browser(self, *, is_program: bool = False) -> Browser:
        """One that nobody knows yet, in a network of its own."""
        number = next(self._addresses)
        found = Browser(f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}", is_program)
        self.browsers.append(found)
        return found

    def place(self, person: Person, where: Where) -> Browser:
        """Where somebody signs in. At home is where they are known, if they are anywhere."""
        known = [browser for browser in self.browsers if person.known(browser)]
        if where == "home" and known:
            return known[0]
        return self.browser(is_program=where == "program")

    def new_password(self) -> str:
        """One that nobody has had."""
        return f"calm otters cross the river {next(self._words)}"

    async def send(
        self,
        browser: Browser,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        cookie: str = "",
        signed_in: bool = True,
    ) -> Reply:
        """Send a request with all that a browser holds. `signed_in`: whether a program names its session."""
        headers: dict[str, str] = {}
        cookies = [cookie] if cookie else []
        session, ticket = browser.session, browser.ticket
        if browser.is_program:
            if session is not None and signed_in:
                headers["authorization"] = f"Bearer {session.secret}"
        else:
            named = {"doorward": session, "doorward-device": browser.device, "doorward-ticket": ticket}
            cookies += [f"{name}={held.secret}" for name, held in named.items() if held is not None]
            if session is not None:
                headers["x-csrf-token"] = session.csrf
        if cookies:
            headers["cookie"] = "; ".join(cookies)
        if session is not None and (signed_in or not browser.is_program):
            session.touch(self.now)
        return await ask(self.world.app, method, path, body, headers=headers, address=browser.address)

    async def post(self, browser: Browser, path: str, body: dict[str, Any], **more: Any) -> Reply:
        """The same for what is sent most."""
        return await self.send(browser, "POST", path, body, **more)

    def session_of(self, browser: Browser) -> Session | None:
        """The live session of a browser."""
        session = browser.session
        return session if session is not None and session.live(self.now) else None

    async def _one_of(self, many: int, send: Callable[[], Awaitable[Reply]], wins: bool) -> Reply:  # noqa: FBT001  the model says which
        """Send the same several times at once: one of them wins, if it is right at all. Its answer, or a refusal."""
        replies = await asyncio.gather(*(send() for _ in range(many)))
        won = [reply for reply in replies if reply.status < 300]
        assert len(won) == wins, [(reply.status, reply.body) for reply in replies]
        assert all(reply.status in REFUSED for reply in replies if reply not in won)
        return won[0] if won else replies[0]

    # What holds at any time -----------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Every session that is over is refused, every live one is what it should be, and there are no others."""
        for person in self.people:
            for session in person.sessions:
                await self._look_at(session)
            there = {found.id for found in await self.world.services.sessions.list_of(person.id)}
            assert there == {session.id for session in person.sessions if session.live(self.now)}

    async def _look_at(self, session: Session) -> None:
        live = session.live(self.now)
        reply = await self._open(session.secret, is_program=session.is_program)
        assert reply.status == (200 if live else 401), (reply.status, session.over, session.id)
        for secret in session.old:
            assert (await self._open(secret, is_program=session.is_program)).status == 401
        if not live:
            session.faded = session.faded or not session.over
            session.over = True  # and stays so, whatever happens
            return
        session.touch(self.now)
        told = reply.json()
        assert (told["id"], told["user"]["id"]) == (session.id, session.person.id)
        assert (set(told["amr"]), told["aal"]) == (set(session.amr), session.aal)
        assert session.aal > 1 or (session.excused and not session.person.has_factor), "a factor was owed"

    async def _open(self, secret: str, *, is_program: bool) -> Reply:
        headers = {"authorization": f"Bearer {secret}"} if is_program else {"cookie": f"doorward={secret}"}
        return await ask(self.world.app, "GET", CURRENT, headers=headers)

    async def read_mail(self) -> list[tuple[str, dict[str, Any]]]:
        """What has come by mail since the last time: template and values. The model knows its links from now on."""
        arrived = []
        for person in self.people:
            for mail, template, sealed, state in await self.world.services.db.search(_sent_to(person.email)):
                if mail in self._mails:
                    continue
                self._mails.add(mail)
                values = json.loads(self.world.services.sealer.open(sealed, purpose_of("message", mail)))
                if state != "void":
                    arrived.append((template, values))
                    self._keep_link(person, template, values)
        return arrived

    def _keep_link(self, person: Person, template: str, values: dict[str, Any]) -> None:
        found = re.fullmatch(r"/(recovery|not-me)/([\w-]{43})", str(values.get("path", "")))
        if found is None or any(link.secret == found[2] for link in person.links):
            return
        if found[1] == "recovery":
            person.links.append(Link("recovery", found[2], self.now))
        else:
            person.links.append(Link("not_me", found[2], self.now, at=values["happened_at"], what=template))

    async def tick(self) -> None:
        """Things happen one after the other, and no two of them at the same instant."""
        await self.read_mail()
        self.world.clock.advance(0.001)

    async def advance(self, seconds: float) -> None:
        """Time passes."""
        await self.read_mail()
        self.world.clock.advance(seconds)
        await self.look()

    async def settle(self, person: Person, *browsers: Browser) -> None:
        """After several things at once: whatever depends on who was quicker is asked or forgotten.

        Failures that were counted are forgotten, codes that may have counted are of the past, and of known devices,
        links and days of grace the application says what they are.
        """
        services, tries = self.world.services, self.world.services.passwords.tries
        keys = self._keys_of(person)
        self.lanes.forget(*keys)
        lanes = [tries.lane(*key[:-1], identifier_key(key[-1]) if "name" in key else key[-1]) for key in keys]
        await services.db.write(lambda: tries.forget(lanes))
        devices = [browser.device for browser in browsers if browser.device] + person.devices
        person.devices = []
        for device in dict.fromkeys(devices):
            found = await services.sessions.find_device(device.secret)
            if found is not None and found[1] == person.id:
                device.id, _, device.failures = found
                person.know(device)
        person.grace_since = await services.db.read(find_grace(person.id))
        await self.read_mail()
        for link in person.links:
            state, _ = await services.confirmations.look(link.secret, link.purpose)
            is_new = link.begun_at == self.now  # perhaps after what voids the others
            assert link.state == "live" or state != "live" or is_new, "what is over comes to life"
            link.state = "live" if state == "live" else "void"
        await self.advance(2 * APP_STEP / SECOND)

    def _keys_of(self, person: Person) -> list[Key]:
        names: list[Key] = [("name", person.uid), ("name", person.email)]
        devices: list[Key] = [("device", device.id) for device in person.devices]
        user: Key = ("user", person.id)
        return [
            ("reauthenticate", *user),
            *(("sign-in", *who) for who in names + devices),
            *(("factor", "totp", *who) for who in [user, *devices]),
            *(("factor", "recovery_code", *who) for who in [user, *names, *devices]),
        ]

    # Getting in -----------------------------------------------------------------------------------------------------

    async def _finish(
        self, person: Person, browser: Browser, amr: Sequence[str], reply: Reply, device: Device | None
    ) -> None:
        """Enough was shown, or more is owed: the answer has to be the one or the other."""
        owed = person.owes(amr, self.now, self.policy)
        if owed is None:
            assert reply.status == 201, reply.body
            await self._begun(person, browser, amr, reply, device)
            return
        assert (reply.status, reply.json().get("next")) == (200, owed), reply.body
        assert reply.cookie("doorward") is None
        self._ticket(person, browser, reply, amr, device)

    def _ticket(
        self, person: Person, browser: Browser, reply: Reply, amr: Sequence[str], device: Device | None, *,
        renews: Session | None = None,
    ) -> Ticket:  # fmt: skip
        told = reply.json()
        secret = told["ticket"] if browser.is_program else reply.cookie("doorward-ticket")
        assert secret
        shown = tuple(dict.fromkeys(amr))
        browser.ticket = Ticket(person, secret, told["next"], shown, device, self.now, renews)
        person.keep(browser.ticket)
        return browser.ticket

    async def _begun(
        self, person: Person, browser: Browser, amr: Sequence[str], reply: Reply, device: Device | None
    ) -> Session:
        """A session has begun by this answer. `device`: the known device that it was begun from."""
        now = self.now
        secret = reply.json()["token"] if browser.is_program else reply.cookie("doorward")
        assert secret
        told = (await self._open(secret, is_program=browser.is_program)).json()
        amr = tuple(dict.fromkeys(amr))
        level = 2 if "mfa" in amr else 1
        session = Session(
            person, told["id"], secret, told["csrf_token"], browser.is_program, amr,
            began=now, auth_time=now, seen=now, expires=now + lasts(level), excused=not person.has_factor,
        )  # fmt: skip
        person.sessions.append(session)
        if not browser.is_program:
            if browser.session is not None:
                browser.session.over = True  # another began in its place
            await self._known(person, browser, reply, device)
        browser.session = session
        return session

    async def _known(self, person: Person, browser: Browser, reply: Reply, device: Device | None) -> None:
        secret = reply.cookie("doorward-device")
        if device is not None and device in person.devices:
            assert secret is None
            device.failures, device.used_at = 0, self.now
            return
        assert secret
        found = await self.world.services.sessions.find_device(secret)
        assert found is not None
        browser.device = Device(found[0], secret, self.now)
        person.know(browser.device)
