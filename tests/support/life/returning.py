"""Links that come by mail, those who run the site, and how an owner comes back."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Literal

from doorward.kernel.instant import SECOND
from tests.support.attack import OPERATOR
from tests.support.life.asking import Reply, ask
from tests.support.life.inside import Inside
from tests.support.life.living import WRONG_CODE, Where
from tests.support.life.model import (
    APP_STEP,
    FIGURES,
    App,
    Browser,
    Key,
    Link,
    Person,
)
from tests.support.second_step import PAGE

CROWD = FIGURES.account.free_failures + 3  # of strangers: as many as it takes until nobody is looked at, and more


class Returning(Inside):
    """Links that come by mail, those who run the site, and how an owner comes back."""

    # Links ----------------------------------------------------------------------------------------------------------

    async def ask_for_link(self, person: Person, browser: Browser) -> None:
        """Somebody says that they forgot their password: its owner gets a link, if they are let in at all."""
        await self.read_mail()
        before = len(person.links)
        reply = await self.post(browser, "/api/recovery", {"email": person.email})
        assert reply.status == 202, reply.body
        await self.read_mail()
        assert len(person.links) - before == (person.status == "active")

    async def recover(self, person: Person, link: Link, many: int) -> None:
        """Use a link to set a password, several at once, each another one: one of them is set."""
        passwords = [self.new_password() for _ in range(many)]
        replies = await asyncio.gather(*(self._complete(link, password) for password in passwords))
        won = [password for password, reply in zip(passwords, replies, strict=True) if reply.status == 200]
        assert all(reply.status in {200, 400} for reply in replies)
        assert len(won) == self._recovers(person, link)
        if won:
            self._recovered(person, link, won[0])
            await self.tick()

    async def _complete(self, link: Link, password: str) -> Reply:
        body = {"token": link.secret, "password": password}
        return await ask(self.world.app, "POST", "/api/recovery/complete", body)

    def _recovers(self, person: Person, link: Link) -> bool:
        has_codes = link.codes_id is None or (person.codes is not None and person.codes.id == link.codes_id)
        return link.purpose != "not_me" and link.works(self.now) and person.status == "active" and has_codes

    def _recovered(self, person: Person, link: Link, password: str) -> None:
        link.state = "used"
        if link.codes_id is not None and person.codes is not None:
            person.remove(person.codes)
        self._set_password(person, password)

    async def recover_by_code(self, person: Person, browser: Browser, name: str, code: str, many: int) -> None:
        """Use a recovery code for a new password, several times at once; it hands a token over."""
        device = person.known(browser)
        lane = ("factor", "recovery_code", *(("name", name) if device is None else ("device", device.id)))
        right = person.status == "active" and person.codes is not None and code in person.codes.unused
        looked_at = self.lanes.reserve(lane, self.now)
        if looked_at and right:
            self.lanes.forget(lane)
        body = {"identifier": name, "code": code}
        wins = looked_at and right
        reply = await self._one_of(many, lambda: self.post(browser, "/api/recovery/code", body), wins)
        if wins and person.codes is not None:
            person.codes.unused.remove(code)
            person.codes.used.append(code)
            person.void("password")
            person.links.append(Link("password", reply.json()["token"], self.now, codes_id=person.codes.id))
        else:
            assert many > 1 or reply.status == (400 if looked_at else 429), reply.body
        if many > 1:
            await self.settle(person, browser)

    async def not_me(self, person: Person, link: Link, many: int) -> None:
        """Press the button behind the link of a notice, in several browsers at once."""
        forms = [await self._form(link) for _ in range(many)]
        works = link.works(self.now)
        assert all((form is not None) == (works and person.status == "active") for form in forms)
        pressed = [form for form in forms if form is not None]
        replies = await asyncio.gather(*(form() for form in pressed))
        won = [reply for reply in replies if reply.status == 303]
        assert all(reply.status in {303, 400} for reply in replies)
        assert len(won) == bool(pressed)
        if won:
            await self._shut_out(person, link, won[0])

    async def _form(self, link: Link) -> Callable[[], Awaitable[Reply]] | None:
        """Open the page behind a link; what its only button does, if it has one."""
        path, address = f"/not-me/{link.secret}", f"10.9.{next(self._addresses) % 256}.1"
        page = await ask(self.world.app, "GET", path, headers=PAGE, address=address)
        button = re.search(rb'<form[^>]*action="/not-me/[^"]+"', page.body)
        token = re.search(rb'name="csrf_token" value="([^"]+)"', page.body)
        if button is None:
            return None
        assert token is not None
        headers = {**PAGE, "cookie": f"doorward-visit={page.cookie('doorward-visit')}"}
        body = {"csrf_token": token[1].decode()}
        return lambda: ask(self.world.app, "POST", path, body, headers=headers, address=address, form=True)

    async def _shut_out(self, person: Person, link: Link, reply: Reply) -> None:
        chooses = person.shut_out(link, self.now)
        location = reply.header("location")
        assert location.startswith("/recovery/") == chooses, location
        if chooses:
            person.links.append(Link("recovery", location.removeprefix("/recovery/"), self.now))
        await self.read_mail()
        for other in person.links:
            if other.purpose == "not_me" and other.state == "live" and other.at >= link.at:
                other.state = "void"

    # Those who run the site -----------------------------------------------------------------------------------------

    async def set_status(self, person: Person, status: Literal["active", "disabled"]) -> None:
        """Let somebody in no more, or again: none of their sessions outlives it."""
        await self.world.services.users.set_status(person.id, status, None, OPERATOR)
        if person.status != status:
            person.status = status
            person.end_all()

    async def reset_factors(self, person: Person) -> None:
        """An administrator removes all that somebody has set up."""
        await self.admin.sign_in()
        assert await self.admin.reset_factors(person.id) == 204
        self._factors_reset(person)

    def _factors_reset(self, person: Person) -> None:
        person.remove_since(0)
        person.grace_since = None
        person.end_all()
        person.devices = []

    async def chores(self) -> None:
        """What the server does every ten minutes."""
        services = self.world.services
        await services.sessions.purge()
        await services.passwords.purge()
        await services.factors.purge()
        await services.confirmations.purge()
        await services.durable.purge()

    # The owner ------------------------------------------------------------------------------------------------------

    def waits_at_home(self, person: Person, browser: Browser) -> bool:
        """Whether somebody has typed so much that is wrong on this very device that it has to wait."""
        device = person.known(browser)
        assert device is not None
        lanes: list[Key] = [("sign-in", "device", device.id), ("factor", "totp", "device", device.id)]
        return self.lanes.free_at(*lanes) > self.now

    async def come_home(self, person: Person, browser: Browser) -> None:
        """The owner on a known device with the right password and factor gets in, whatever strangers have just done.

        One of them has the password, too, and guesses codes; the others guess at both names.
        """
        assert person.password is not None
        if person.app is not None:
            await self.wait_for_code(person.app)
            await self._guess_codes(person, person.password)
        for name in (person.uid, person.email):
            await self.strangers(person, name, CROWD, at_once=True)
        reply = await self.sign_in(person, browser, person.uid, person.password)
        await self._show_all(person, browser, reply, by_app=person.app is not None)
        session = self.session_of(browser)
        assert session is not None, "the owner was stopped"
        assert (session.person, session.began) == (person, self.now), "the owner was stopped"

    async def _guess_codes(self, person: Person, password: str) -> None:
        thief = self.browser()
        self.browsers.remove(thief)
        await self.sign_in(person, thief, person.email, password)
        for _ in range(CROWD):
            await self.show_code(thief, WRONG_CODE, 1)

    async def _show_all(self, person: Person, browser: Browser, reply: Reply, *, by_app: bool = False) -> None:
        """Whatever is owed after the password."""
        if reply.status != 200:
            return
        if reply.json()["next"] == "enrolment":
            await self.enrol(browser, "totp", 1)
        elif person.passkeys and not by_app:
            await self.show_passkey(browser, person.passkeys[0], 1)
        else:
            await self._show_next_code(browser, person)

    async def _show_next_code(self, browser: Browser, person: Person) -> None:
        assert person.app is not None
        await self.wait_for_code(person.app)
        await self.show_code(browser, person.app.code(self.now // APP_STEP), 1)

    async def wait_for_code(self, app: App) -> None:
        """Until the app shows one that has not been used."""
        while app.step >= self.now // APP_STEP:
            await self.advance(APP_STEP / SECOND)

    async def come_back(self, person: Person, where: Where) -> Browser:
        """Whatever it takes: an administrator's word, a link by mail, patience. Then they are in."""
        password = await self.usable_password(person)
        browser = self.place(person, where)
        await self.patience(person)
        await self._show_all(person, browser, await self.sign_in(person, browser, person.email, password))
        assert self.session_of(browser), "the owner was stopped"
        return browser

    async def usable_password(self, person: Person) -> str:
        """Theirs, or one that they get by a link."""
        await self.set_status(person, "active")
        if person.password is None or person.compromised:
            await self.ask_for_link(person, self.browser())
            await self.recover(person, next(link for link in reversed(person.links) if link.purpose == "recovery"), 1)
        assert person.password is not None
        return person.password

    async def patience(self, person: Person) -> None:
        """Until nothing that was typed wrong delays what is typed next."""
        await self.advance(max(0, self.lanes.free_at(*self._keys_of(person)) - self.now) / SECOND)
