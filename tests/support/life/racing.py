"""Several things at once: somebody is shut out at the very moment of coming in."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.http.conftest import ORIGIN
from tests.support.attack import OPERATOR
from tests.support.factors import OWN, STEP
from tests.support.life.asking import Reply
from tests.support.life.living import (
    BY_CODE,
    BY_PASSKEY,
    BY_PASSWORD,
    PASSKEY,
    REFUSED,
    SESSIONS,
)
from tests.support.life.model import (
    APP_STEP,
    Browser,
    Device,
    Link,
    Passkey,
    Person,
    Session,
    Ticket,
    lasts,
)
from tests.support.life.returning import Returning

_BY_OLD_PASSWORD = frozenset({BY_PASSWORD, (*BY_PASSWORD, *BY_CODE)})


@dataclass
class Entering:
    """Somebody about to get in: where, with what, and the request that is left to send."""

    browser: Browser
    amr: tuple[str, ...]
    send: Callable[[], Awaitable[Reply]]


@dataclass
class Ending:
    """Something that shuts people out. `apply`: what the model learns of it; `shuts`: what gets nobody in after it."""

    send: Callable[[], Awaitable[Reply | None]]
    apply: Callable[[Reply | None], Awaitable[None]]
    shuts: frozenset[tuple[str, ...]]


class Life(Returning):
    """Everything that can happen."""

    # Several things at once -----------------------------------------------------------------------------------------

    async def race(self, person: Person, ending: Ending, entering: Sequence[Entering], head_start: int) -> None:
        """Somebody is shut out at the very moment at which they, or others, come in.

        `head_start`: of those who come in, in turns of the event loop.
        """

        async def end() -> Reply | None:
            for _ in range(head_start):
                await asyncio.sleep(0)
            return await ending.send()

        over, replies = await asyncio.gather(end(), asyncio.gather(*(one.send() for one in entering)))
        await ending.apply(over)
        now = self.now
        for one, reply in zip(entering, replies, strict=True):
            assert reply.status in {200, 201, *REFUSED}, reply.body
            if reply.status == 201:
                await self._came_in(person, one, reply, shut=one.amr in ending.shuts)
            elif reply.status == 200 and one.amr in ending.shuts:
                one.browser.ticket = Ticket(person, self._ticket_in(one, reply), "authenticator", one.amr, None, now)
                asked = await self._step(one.browser, f"{STEP}/challenge", {"kind": "passkey"})
                assert asked.status == 401, "half signed in with what opens nothing any more"
            one.browser.ticket = None
        await self.settle(person, *(one.browser for one in entering))

    def _ticket_in(self, one: Entering, reply: Reply) -> str:
        secret = reply.json()["ticket"] if one.browser.is_program else reply.cookie("doorward-ticket")
        assert secret
        return str(secret)

    async def _came_in(self, person: Person, one: Entering, reply: Reply, *, shut: bool) -> None:
        """A session began in a race. It may have ended in it, too; where it must have, it has."""
        now, told = self.now, reply.json()
        secret = told["token"] if one.browser.is_program else reply.cookie("doorward")
        assert secret
        opened = await self._open(secret, is_program=one.browser.is_program)
        assert opened.status in ({401} if shut else {200, 401}), f"somebody came in who was shut out: {one.amr}"
        session = Session(
            person, told["id"], secret, told["csrf_token"], one.browser.is_program, tuple(told["amr"]),
            began=now, auth_time=now, seen=now, expires=now + lasts(told["aal"]), excused=not person.has_factor,
            over=opened.status == 401,
        )  # fmt: skip
        assert session.over or person.owes(session.amr, now, self.policy) is None, "a factor was owed"
        person.sessions.append(session)
        if not one.browser.is_program:
            if one.browser.session is not None:
                one.browser.session.over = True
            if device := reply.cookie("doorward-device"):
                one.browser.device = Device("", device, now)
        one.browser.session = session

    # Ways to end ----------------------------------------------------------------------------------------------------

    def by_disabling(self, person: Person) -> Ending:
        """An administrator lets them in no more."""

        async def send() -> None:
            await self.world.services.users.set_status(person.id, "disabled", None, OPERATOR)

        async def apply(_: Reply | None) -> None:
            person.status = "disabled"
            person.end_all()

        everything = frozenset({BY_PASSWORD, (*BY_PASSWORD, *BY_CODE), BY_PASSKEY})
        return Ending(send, apply, everything)

    async def by_reset(self, person: Person) -> Ending:
        """An administrator removes their factors."""
        await self.admin.sign_in()

        async def send() -> None:
            assert await self.admin.reset_factors(person.id) == 204

        async def apply(_: Reply | None) -> None:
            self._factors_reset(person)

        factors = frozenset({(*BY_PASSWORD, *BY_CODE), BY_PASSKEY})
        return Ending(send, apply, factors)

    def by_signing_out(self, browser: Browser) -> Ending:
        """They sign out everywhere: what they have begun goes with it."""
        session = self.session_of(browser)
        assert session is not None

        async def apply(reply: Reply | None) -> None:
            assert reply is not None
            assert reply.status == 204, reply.body
            session.person.end_all()

        half = frozenset({(*BY_PASSWORD, *BY_CODE)})
        return Ending(lambda: self.send(browser, "DELETE", SESSIONS), apply, half)

    def by_new_password(self, browser: Browser) -> Ending:
        """They set another password in a session."""
        session, new = self.session_of(browser), self.new_password()
        assert session is not None
        body = {"current_password": session.person.password, "new_password": new}

        async def apply(reply: Reply | None) -> None:
            assert reply is not None
            assert reply.status in {200, 204}, reply.body
            self._changed(browser, session, new, reply)

        return Ending(lambda: self.send(browser, "PUT", "/api/users/me/password", body), apply, _BY_OLD_PASSWORD)

    def by_recovery(self, person: Person, link: Link) -> Ending:
        """They set another password by a link."""
        new = self.new_password()

        async def apply(reply: Reply | None) -> None:
            assert reply is not None
            assert reply.status == 200, reply.body
            self._recovered(person, link, new)

        return Ending(lambda: self._complete(link, new), apply, _BY_OLD_PASSWORD)

    async def by_not_me(self, person: Person, link: Link) -> Ending:
        """They press the button in a notice: what is older than it stays."""
        press = await self._form(link)
        assert press is not None
        keeps = any(passkey.bound_at < link.at for passkey in person.passkeys)

        async def apply(reply: Reply | None) -> None:
            assert reply is not None
            assert reply.status == 303, reply.body
            await self._shut_out(person, link, reply)

        return Ending(press, apply, _BY_OLD_PASSWORD if keeps else _BY_OLD_PASSWORD | {BY_PASSKEY})

    async def by_first_factor(self, browser: Browser) -> Ending:
        """They set up their first factor: from then on a password alone opens nothing."""
        session = self.session_of(browser)
        assert session is not None
        offer = await self.post(browser, OWN, {"kind": "totp"})
        answer, make = self._prove("totp", offer.json())
        body = {"kind": "totp", **answer}

        async def apply(reply: Reply | None) -> None:
            assert reply is not None
            assert reply.status in {200, 201}, reply.body
            self._bound(browser, session, make(reply.json()["id"]), reply)

        return Ending(lambda: self.post(browser, f"{OWN}/confirm", body), apply, frozenset())

    # Ways to enter --------------------------------------------------------------------------------------------------

    def with_password(self, person: Person, browser: Browser) -> Entering:
        """The right password."""
        assert person.password is not None
        body = self._credentials(browser, person.uid, person.password)
        return Entering(browser, BY_PASSWORD, lambda: self.post(browser, SESSIONS, body, signed_in=False))

    def with_code(self, browser: Browser) -> Entering:
        """Half signed in, and the right code."""
        assert browser.ticket is not None
        app = browser.ticket.person.app
        assert app is not None
        body = {"kind": "totp", "code": app.code(self.now // APP_STEP)}
        app.step = self.now // APP_STEP
        return Entering(browser, (*browser.ticket.amr, *BY_CODE), lambda: self._step(browser, STEP, body))

    async def with_passkey(self, passkey: Passkey, browser: Browser) -> Entering:
        """A passkey alone."""
        asked = await self.post(browser, f"{PASSKEY}/options", {}, signed_in=False)
        cookie = f"doorward-passkey={asked.cookie('doorward-passkey')}"
        body: dict[str, Any] = {"credential": passkey.device.get(asked.json(), ORIGIN)}
        if browser.is_program:
            body["transport"] = "bearer"
        return Entering(browser, BY_PASSKEY, lambda: self.post(browser, PASSKEY, body, cookie=cookie, signed_in=False))
