"""What people do in a session, and how they end one."""

import asyncio

from tests.http.conftest import ORIGIN
from tests.support.factors import OWN
from tests.support.life.asking import Reply
from tests.support.life.living import (
    BY_CODE,
    BY_PASSKEY,
    BY_PASSWORD,
    SESSIONS,
)
from tests.support.life.model import (
    App,
    Browser,
    Codes,
    Passkey,
    Person,
    Session,
)
from tests.support.life.stepping import Stepping
from tests.support.second_step import AGAIN, CURRENT


class Inside(Stepping):
    """What people do in a session, and how they end one."""

    # In a session ---------------------------------------------------------------------------------------------------

    def _refused_change(self, browser: Browser) -> int | None:
        """What is answered to whoever may not change a factor."""
        session = self.session_of(browser)
        if session is None:
            return 401
        return None if session.is_fresh(self.now) else 403

    async def bind(self, browser: Browser, kind: str, many: int) -> None:
        """Set up an app or a passkey in a session, proving it several times at once."""
        session, expected = self.session_of(browser), self._refused_change(browser)
        offer = await self.post(browser, OWN, {"kind": kind})
        assert offer.status == (expected or 200), offer.body
        if expected is not None or session is None:
            return
        answer, make = self._prove(kind, offer.json())
        body = {"kind": kind, **answer}
        reply = await self._one_of(many, lambda: self.post(browser, f"{OWN}/confirm", body), wins=True)
        self._bound(browser, session, make(reply.json()["id"]), reply)
        if many > 1:
            await self.settle(session.person)

    def _bound(self, browser: Browser, session: Session, one: App | Passkey, reply: Reply) -> None:
        """The first factor ends every other session, and each lifts the one that it was set up in."""
        if session.person.bind(one):
            session.person.end_all(kept=session)
        shown = BY_CODE if isinstance(one, App) else BY_PASSKEY
        self._renewed(browser, session, (*session.amr, *shown), reply)

    async def make_codes(self, browser: Browser) -> None:
        """Make recovery codes and keep them; those of before are void."""
        session, expected = self.session_of(browser), self._refused_change(browser)
        offer = await self.post(browser, OWN, {"kind": "recovery_code"})
        assert offer.status == (expected or 200), offer.body
        if expected is not None or session is None:
            return
        done = await self.post(browser, f"{OWN}/confirm", {"kind": "recovery_code", "kept": True})
        assert done.status == 201, done.body
        session.person.bind(Codes(done.json()["id"], list(offer.json()["codes"]), self.now))

    async def remove(self, browser: Browser, one: App | Passkey | Codes, many: int) -> None:
        """Remove something that was set up, several times at once."""
        session, expected = self.session_of(browser), self._refused_change(browser)
        if expected is None and session is not None:
            expected = self._refused_removal(session.person, one)

        async def send() -> Reply:
            return await self.send(browser, "DELETE", f"{OWN}/{one.id}")

        reply = await self._one_of(many, send, expected is None)
        if expected is None and session is not None:
            session.person.remove(one)
        else:
            assert reply.status == expected, reply.body

    def _refused_removal(self, person: Person, one: App | Passkey | Codes) -> int | None:
        if one not in person.bound:
            return 404
        left = [other for other in person.bound if other is not one and not isinstance(other, Codes)]
        if self.policy.everybody and person.has_factor and not left:
            return 409
        if person.password is None and not any(isinstance(other, Passkey) for other in left):
            return 409
        return None

    async def remove_everything_at_once(self, browser: Browser) -> None:
        """Ask for the end of all that was set up at once: what somebody cannot be without is left to them."""
        session = self.session_of(browser)
        assert session is not None
        person, allowed = session.person, self._refused_change(browser) is None
        replies = await asyncio.gather(
            *(self.send(browser, "DELETE", f"{OWN}/{one.id}") for one in person.bound)
        )  # fmt: skip
        had_factor, had_passkey = person.has_factor, bool(person.passkeys)
        for one, reply in zip(person.bound, replies, strict=True):
            assert reply.status in ({204, 409} if allowed else {403}), reply.body
            if reply.status == 204:
                person.remove(one)
        assert allowed or {reply.status for reply in replies} <= {403}
        assert person.has_factor or not (had_factor and self.policy.everybody), "nobody has to have none"
        assert person.passkeys or not had_passkey or person.password is not None, "the last way in"

    async def change_password(self, browser: Browser, current: str) -> None:
        """Set another password in a session."""
        session, expected, new = self.session_of(browser), self._refused_password(browser, current), self.new_password()
        body = {"current_password": current, "new_password": new}
        reply = await self.send(browser, "PUT", "/api/users/me/password", body)
        if expected is not None or session is None:
            assert reply.status == expected, reply.body
            return
        assert reply.status == (200 if browser.is_program else 204), reply.body
        self._changed(browser, session, new, reply)
        await self.tick()

    def _refused_password(self, browser: Browser, current: str) -> int | None:
        session = self.session_of(browser)
        if session is None:
            return 401
        if session.person.has_factor and not session.is_fresh(self.now):
            return 403
        lane = ("reauthenticate", "user", session.person.id)
        if not self.lanes.reserve(lane, self.now):
            return 429
        return None if current == session.person.password else 400

    def _changed(self, browser: Browser, session: Session, new: str, reply: Reply) -> None:
        self._set_password(session.person, new, session)
        self._renewed(browser, session, session.amr, reply)

    def _set_password(self, person: Person, new: str, kept: Session | None = None) -> None:
        self.lanes.forget(
            ("sign-in", "name", person.uid), ("sign-in", "name", person.email), ("reauthenticate", "user", person.id)
        )
        person.set_password(new, self.now, kept)

    async def prove_anew(self, browser: Browser, password: str) -> None:
        """Type the password once more; whoever has a factor shows it next."""
        session = self.session_of(browser)
        reply = await self.post(browser, AGAIN, {"password": password})
        if session is None:
            assert reply.status == 401, reply.body
            return
        lane = ("reauthenticate", "user", session.person.id)
        if not self.lanes.reserve(lane, self.now):
            assert reply.status == 429, reply.body
        elif password != session.person.password:
            assert reply.status == 401, reply.body
        else:
            self.lanes.forget(lane)
            self._proven_by_password(browser, session, reply)

    def _proven_by_password(self, browser: Browser, session: Session, reply: Reply) -> None:
        owed = session.person.owes(BY_PASSWORD, self.now, self.policy)
        assert reply.status == 200, reply.body
        if owed == "authenticator":
            assert reply.json()["next"] == owed
            self._ticket(session.person, browser, reply, BY_PASSWORD, None, renews=session)
        else:
            self._renewed(browser, session, session.amr, reply)

    async def prove_anew_by_passkey(self, browser: Browser, passkey: Passkey, many: int) -> None:
        """The same with a passkey alone, its answer sent several times at once."""
        session = self.session_of(browser)
        asked = await self.post(browser, f"{AGAIN}/passkey/options", {})
        assert asked.status == (401 if session is None else 200), asked.body
        if session is None:
            return
        credential = passkey.device.get({**asked.json(), "allowCredentials": []}, ORIGIN)
        right = passkey in session.person.passkeys
        body = {"credential": credential}
        reply = await self._one_of(many, lambda: self.post(browser, f"{AGAIN}/passkey", body), right)
        if right:
            self._renewed(browser, session, (*session.amr, *BY_PASSKEY), reply)
        else:
            assert reply.status == 400, reply.body

    # Signing out ----------------------------------------------------------------------------------------------------

    async def sign_out(self, browser: Browser, which: str) -> None:
        """Here, everywhere else, or everywhere."""
        session = self.session_of(browser)
        path = {"here": CURRENT, "others": f"{SESSIONS}?others=true", "all": SESSIONS}[which]
        reply = await self.send(browser, "DELETE", path)
        assert reply.status == (401 if session is None else 204), reply.body
        if session is None:
            return
        if which == "here":
            session.over = True
        else:
            session.person.end_all(kept=session if which == "others" else None)

    async def end_one(self, browser: Browser, other: Session, many: int) -> None:
        """End one session from the list, several times at once. Nobody ends somebody else's."""
        session = self.session_of(browser)

        async def send() -> Reply:
            return await self.send(browser, "DELETE", f"{SESSIONS}/{other.id}")

        if other.faded:
            return  # its row stays for a while
        is_there = session is not None and session.person is other.person and not other.over
        reply = await self._one_of(many, send, is_there)
        if is_there:
            other.over = True
        else:
            assert reply.status == (401 if session is None else 404), reply.body
