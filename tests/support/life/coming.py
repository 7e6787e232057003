"""Signing up and signing in."""

import asyncio
from collections import Counter
from typing import Any

from doorward.testing.authenticator import SoftwareAuthenticator
from tests.http.conftest import ORIGIN
from tests.support.attack import OPERATOR
from tests.support.life.asking import Reply
from tests.support.life.living import (
    BY_MAIL,
    BY_PASSKEY,
    BY_PASSWORD,
    PASSKEY,
    SESSIONS,
    WRONG_CODE,
    WRONG_PASSWORD,
    Living,
)
from tests.support.life.model import (
    Browser,
    Key,
    Link,
    Passkey,
    Person,
)
from tests.support.newcomers import OPTIONS as SIGN_UP_OPTIONS
from tests.support.newcomers import SIGN_UP as SIGN_UP_BY_PASSKEY


class Coming(Living):
    """Signing up and signing in."""

    # Signing up -----------------------------------------------------------------------------------------------------

    async def sign_up(self, *, by_passkey: bool) -> None:
        """Somebody comes, and proves an address."""
        uid = f"{'abc'[len(self.people)]}{self.number}"
        browser, password = self.browser(), None if by_passkey else self.new_password()
        who, device = {"uid": uid, "name": "Somebody"}, SoftwareAuthenticator()
        if by_passkey:
            asked = await self.post(browser, SIGN_UP_OPTIONS, who)
            made = {"credential": device.create(asked.json(), ORIGIN)}
            newcomer = f"doorward-newcomer={asked.cookie('doorward-newcomer')}"
            reply = await self.post(browser, SIGN_UP_BY_PASSKEY, made, cookie=newcomer)
        else:
            reply = await self.post(browser, "/api/users", {**who, "password": password})
        assert reply.status == 201, reply.body
        person = Person(uid, f"{uid}@example.org", reply.json()["id"], password, password_at=self.now)
        self.people.append(person)
        services, now = self.world.services, self.now
        await services.db.write(lambda: services.users.prove(person.id, "email", person.email, OPERATOR, now))
        person.owes(BY_PASSKEY if by_passkey else BY_PASSWORD, now, self.policy)
        if by_passkey:
            (bound,) = await services.factors.list_of(person.id)
            person.passkeys = [Passkey(bound.id, device, now)]
        await self._begun(person, browser, BY_PASSKEY if by_passkey else BY_PASSWORD, reply, None)

    # Signing in -----------------------------------------------------------------------------------------------------

    def _judge_password(self, person: Person, browser: Browser, name: str, password: str) -> int:
        """What is answered to a name and a password, as far as it is not about what is owed then."""
        device = person.known(browser)
        lane: Key = ("sign-in", "name", name) if device is None else ("sign-in", "device", device.id)
        if not self.lanes.reserve(lane, self.now):
            return 429
        if password != person.password or person.status != "active":
            person.fail(device)
            return 401
        self.lanes.forget(lane)
        return 403 if person.compromised else 201

    def _credentials(self, browser: Browser, name: str, password: str) -> dict[str, Any]:
        transport = {"transport": "bearer"} if browser.is_program else {}
        return {"identifier": name, "password": password, **transport}

    async def sign_in(self, person: Person, browser: Browser, name: str, password: str) -> Reply:
        """Somebody types a name and a password."""
        device = person.known(browser)
        expected = self._judge_password(person, browser, name, password)
        body = self._credentials(browser, name, password)
        reply = await self.post(browser, SESSIONS, body, signed_in=False)
        if expected == 201:
            await self._finish(person, browser, BY_PASSWORD, reply, device)
        else:
            assert reply.status == expected, reply.body
            assert reply.cookie("doorward") is None
        return reply

    async def sign_in_at_once(self, person: Person, many: int) -> None:
        """Somebody signs in with the right password in several new browsers at once."""
        if person.password is None or person.status != "active":
            return
        browsers = [self.browser() for _ in range(many)]
        answers = [self._judge_password(person, browser, person.uid, person.password) for browser in browsers]
        assert len(set(answers)) == 1
        body = self._credentials(browsers[0], person.uid, person.password)
        replies = await asyncio.gather(*(self.post(browser, SESSIONS, body) for browser in browsers))
        for browser, reply in zip(browsers, replies, strict=True):
            if answers[0] == 201:
                await self._finish(person, browser, BY_PASSWORD, reply, None)
            else:
                assert reply.status == answers[0], reply.body
        if answers[0] != 201:
            await self.settle(person)

    async def strangers(self, person: Person, name: str, many: int, *, at_once: bool) -> None:
        """So many wrong passwords, each from a network of its own."""
        browsers = [self.browser() for _ in range(many)]
        del self.browsers[-many:]  # nobody comes back in them
        expected = [self._judge_password(person, browser, name, WRONG_PASSWORD) for browser in browsers]
        body = self._credentials(browsers[0], name, WRONG_PASSWORD)
        tries = [self.post(browser, SESSIONS, body) for browser in browsers]
        replies = await asyncio.gather(*tries) if at_once else [await one for one in tries]
        statuses = [reply.status for reply in replies]
        assert Counter(statuses) == Counter(expected), (Counter(statuses), Counter(expected))

    async def sign_in_by_passkey(self, person: Person, passkey: Passkey, browser: Browser, many: int) -> None:
        """Nothing is typed; the same answer may be sent several times at once."""
        device = person.known(browser)
        asked = await self.post(browser, f"{PASSKEY}/options", {}, signed_in=False)
        cookie = f"doorward-passkey={asked.cookie('doorward-passkey')}"
        body: dict[str, Any] = {"credential": passkey.device.get(asked.json(), ORIGIN)}
        if browser.is_program:
            body["transport"] = "bearer"
        right = passkey in person.passkeys
        expected = 201 if right and person.status == "active" else 401 if right else 400

        async def send() -> Reply:
            return await self.post(browser, PASSKEY, body, cookie=cookie, signed_in=False)

        reply = await self._one_of(many, send, expected == 201)
        if expected == 201:
            await self._finish(person, browser, BY_PASSKEY, reply, device)
        else:
            assert reply.status == expected, reply.body

    async def sign_in_by_mail(self, person: Person, browser: Browser, many: int) -> None:
        """With a code from the mailbox, sent several times at once."""
        await self.read_mail()
        asked = await self.post(browser, "/api/sessions/email", {"email": person.email})
        assert asked.status == 202, asked.body
        codes = [values["code"] for template, values in await self.read_mail() if template == "sign_in_link"]
        assert bool(codes) == (person.status == "active")
        cookie = f"doorward-pending={asked.cookie('doorward-pending')}"
        body = {"code": codes[-1] if codes else WRONG_CODE, "purpose": "sign_in"}

        async def send() -> Reply:
            return await self.post(browser, "/api/verifications", body, cookie=cookie)

        gets_in = person.status == "active" and not person.compromised
        reply = await self._one_of(many, send, gets_in)
        if gets_in:
            owed = person.owes(BY_MAIL, self.now, self.policy)
            assert (reply.status, reply.json().get("next")) == (200, owed)
            if owed is None:
                await self._begun(person, browser, BY_MAIL, reply, None)
            else:
                self._ticket(person, browser, reply, BY_MAIL, None)
        elif person.status == "active":
            await self._handed_over(person, reply, many)
        else:
            assert reply.status == 400, reply.body

    async def _handed_over(self, person: Person, reply: Reply, many: int) -> None:
        """Others know the password: the browser that has read the mail may choose another."""
        if many > 1:  # a 403 is the winner's, whoever that was
            person.void("password")
            return
        assert reply.status == 403, reply.body
        person.void("password")
        person.links.append(Link("password", reply.json()["token"], self.now))
