"""The second step, and what is set up before there is a session."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from doorward.testing.authenticator import SoftwareAuthenticator
from tests.http.conftest import ORIGIN
from tests.support.factors import STEP
from tests.support.life.asking import Reply
from tests.support.life.coming import Coming
from tests.support.life.living import (
    BY_CODE,
    BY_PASSKEY,
)
from tests.support.life.model import (
    APP_STEP,
    App,
    Browser,
    Device,
    Key,
    Passkey,
    Person,
    Session,
    Ticket,
)
from tests.support.second_step import ENROL


class Stepping(Coming):
    """The second step, and what is set up before there is a session."""

    # The second step ------------------------------------------------------------------------------------------------

    def _refused_ticket(self, browser: Browser, owes: str) -> int | None:
        """What is answered to whoever has no ticket for this step."""
        ticket = browser.ticket
        if ticket is None or not ticket.works(self.now):
            return 401
        if ticket.renews is not None and browser.is_program and not ticket.renews.live(self.now):
            return 401
        if ticket.owes != owes:
            return 409
        if ticket.renews is not None and self.session_of(browser) is not ticket.renews:
            return 401
        return None

    async def _step(self, browser: Browser, path: str, body: dict[str, Any]) -> Reply:
        ticket = browser.ticket
        if browser.is_program:
            body = {**body, **({"ticket": ticket.secret} if ticket else {})}
        return await self.post(browser, path, body, signed_in=ticket is not None and ticket.renews is not None)

    def _lane_of_step(self, browser: Browser, kind: str) -> tuple[Key, Device | None]:
        assert browser.ticket is not None
        person = browser.ticket.person
        device = person.known(browser)
        return ("factor", kind, *(("user", person.id) if device is None else ("device", device.id))), device

    async def show_code(self, browser: Browser, code: str, many: int) -> None:
        """Type the code of an app, several times at once."""
        expected = self._refused_ticket(browser, "authenticator")
        step = None
        if expected is None and browser.ticket is not None:
            app = browser.ticket.person.app
            step = None if app is None else app.accepts(code, self.now)
        await self._show(browser, "totp", code, many, expected, right=step is not None, spend=self._spend_step(step))

    def _spend_step(self, step: int | None) -> Callable[[Person], None]:
        def spend(person: Person) -> None:
            assert person.app is not None
            assert step is not None
            person.app.step = step

        return spend

    async def show_recovery_code(self, browser: Browser, code: str, many: int) -> None:
        """Type a recovery code, several times at once."""
        expected = self._refused_ticket(browser, "authenticator")
        codes = browser.ticket.person.codes if browser.ticket else None
        right = codes is not None and code in codes.unused

        spend = self._spend_code(code)
        await self._show(browser, "recovery_code", code, many, expected, right=right, spend=spend)

    def _spend_code(self, code: str) -> Callable[[Person], None]:
        def spend(person: Person) -> None:
            assert person.codes is not None
            person.codes.unused.remove(code)
            person.codes.used.append(code)

        return spend

    async def _show(
        self, browser: Browser, kind: str, code: str, many: int, expected: int | None, *,
        right: bool, spend: Callable[[Person], None],
    ) -> None:  # fmt: skip
        """A code at the second step: counted, then looked at, then spent."""
        ticket, device = browser.ticket, None
        if expected is None:
            lane, device = self._lane_of_step(browser, kind)
            if not self.lanes.reserve(lane, self.now):
                expected = 429
            elif not right:
                expected = 400
            else:
                self.lanes.forget(lane)
        reply = await self._one_of(
            many, lambda: self._step(browser, STEP, {"kind": kind, "code": code}), expected is None
        )
        if expected is not None or ticket is None:
            assert many > 1 or reply.status == expected, reply.body
            if expected == 400 and ticket is not None:
                ticket.person.fail(device)
        else:
            spend(ticket.person)
            await self._shown(browser, ticket, BY_CODE, reply, is_recovery=kind == "recovery_code")
        if many > 1 and ticket is not None:
            await self.settle(ticket.person, browser)

    async def show_code_in(self, browsers: Sequence[Browser], code: str) -> None:
        """Type the same code of an app in several browsers at once, each half signed in: one of them gets on."""
        app = self._half_signed_in(browsers).app
        step = None if app is None else app.accepts(code, self.now)
        await self._show_in(browsers, "totp", code, right=step is not None, spend=self._spend_step(step))

    async def show_recovery_code_in(self, browsers: Sequence[Browser], code: str) -> None:
        """The same with a recovery code."""
        codes = self._half_signed_in(browsers).codes
        right = codes is not None and code in codes.unused
        await self._show_in(browsers, "recovery_code", code, right=right, spend=self._spend_code(code))

    def _half_signed_in(self, browsers: Sequence[Browser]) -> Person:
        (person,) = {browser.ticket.person for browser in browsers if browser.ticket is not None}
        assert all(self._refused_ticket(browser, "authenticator") is None for browser in browsers)
        return person

    async def _show_in(
        self, browsers: Sequence[Browser], kind: str, code: str, *, right: bool, spend: Callable[[Person], None]
    ) -> None:
        person = self._half_signed_in(browsers)
        wins = right and self.lanes.reserve(self._lane_of_step(browsers[0], kind)[0], self.now)
        body = {"kind": kind, "code": code}
        replies = await asyncio.gather(*(self._step(browser, STEP, body) for browser in browsers))
        won = [(browser, reply) for browser, reply in zip(browsers, replies, strict=True) if reply.status < 300]
        assert len(won) == wins, [(reply.status, reply.body) for reply in replies]
        for browser, reply in won:
            spend(person)
            assert browser.ticket is not None
            await self._shown(browser, browser.ticket, BY_CODE, reply, is_recovery=kind == "recovery_code")
        await self.settle(person, *browsers)

    async def show_passkey(self, browser: Browser, passkey: Passkey, many: int) -> None:
        """Use a passkey at the second step, its answer sent several times at once."""
        ticket, expected = browser.ticket, self._refused_ticket(browser, "authenticator")
        asked = await self._step(browser, f"{STEP}/challenge", {"kind": "passkey"})
        assert asked.status == (expected or 200), asked.body
        if expected is not None or ticket is None:
            return
        options = {**asked.json()["options"], "allowCredentials": []}  # whatever the browser was told
        credential = passkey.device.get(options, ORIGIN)
        right = passkey in ticket.person.passkeys and "user" not in ticket.amr
        body = {"kind": "passkey", "credential": credential}
        reply = await self._one_of(many, lambda: self._step(browser, STEP, body), right)
        if right:
            await self._shown(browser, ticket, BY_PASSKEY, reply)
        else:
            assert reply.status == 400, reply.body

    async def _shown(
        self, browser: Browser, ticket: Ticket, amr: Sequence[str], reply: Reply, *, is_recovery: bool = False
    ) -> None:
        """The answer counted: a session begins or has a new secret, or a factor that is lost is replaced first."""
        person, ticket.over, browser.ticket = ticket.person, True, None
        amr = (*ticket.amr, *amr)
        if ticket.renews is not None:
            assert reply.status == 200, reply.body
            self._renewed(browser, ticket.renews, (*ticket.renews.amr, *amr), reply)
        elif is_recovery:
            assert (reply.status, reply.json().get("next")) == (200, "enrolment"), reply.body
            assert reply.cookie("doorward") is None
            self._ticket(person, browser, reply, amr, ticket.device).recovered = True
        else:
            await self._finish(person, browser, amr, reply, ticket.device)

    def _renewed(self, browser: Browser, session: Session, amr: Sequence[str], reply: Reply) -> None:
        secret = reply.json()["token"] if browser.is_program else reply.cookie("doorward")
        assert secret
        session.rotate(secret, amr, self.now)

    # Setting one up before there is a session -----------------------------------------------------------------------

    async def enrol(self, browser: Browser, kind: str, many: int) -> None:
        """Set up an app or a passkey with a ticket, and be signed in."""
        ticket, expected = browser.ticket, self._refused_ticket(browser, "enrolment")
        offer = await self._step(browser, ENROL, {"kind": kind})
        assert offer.status == (expected or 200), offer.body
        if expected is not None or ticket is None:
            return
        person = ticket.person
        answer, make = self._prove(kind, offer.json())
        body = {"kind": kind, **answer}
        reply = await self._one_of(many, lambda: self._step(browser, f"{ENROL}/confirm", body), wins=True)
        person.bind(make(await self._newest(person, kind)))
        person.end_all()
        browser.ticket = None
        await self._finish(person, browser, (*ticket.amr, *(BY_CODE if kind == "totp" else ("swk", "user", "mfa"))),
                           reply, ticket.device)  # fmt: skip
        if many > 1:
            await self.settle(person, browser)

    def _prove(self, kind: str, offer: dict[str, Any]) -> tuple[dict[str, Any], Callable[[str], App | Passkey]]:
        """What to answer to an offer, and what is bound then."""
        now = self.now
        if kind == "totp":
            app = App("", offer["secret"], now // APP_STEP, now)
            return {"code": app.code(app.step)}, lambda bound_id: App(bound_id, app.key, app.step, now)
        device = SoftwareAuthenticator()
        return (
            {"credential": device.create(offer["options"], ORIGIN)},
            lambda bound_id: Passkey(bound_id, device, now),
        )

    async def _newest(self, person: Person, kind: str) -> str:
        known = {one.id for one in person.bound}
        (found,) = [
            one.id
            for one in await self.world.services.factors.list_of(person.id)
            if one.kind == kind and one.id not in known
        ]
        return found

    async def go_without(self, browser: Browser, many: int) -> None:
        """After a recovery code, sign in without a second step from then on, where nobody has to have one."""
        ticket, expected = browser.ticket, self._refused_ticket(browser, "enrolment")
        if expected is None and ticket is not None and (self.policy.everybody or not ticket.recovered):
            expected = 409
        reply = await self._one_of(many, lambda: self._step(browser, f"{ENROL}/skip", {}), expected is None)
        if expected is not None or ticket is None:
            assert reply.status == expected, reply.body
            return
        person = ticket.person
        person.remove_since(0)
        person.grace_since = None
        person.end_all()
        browser.ticket = None
        await self._finish(person, browser, ticket.amr, reply, ticket.device)
