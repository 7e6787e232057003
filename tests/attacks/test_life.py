"""People live with the application for a while, strangers among them, and a small model knows what is right.

A machine draws deeds, many of them several at once, does them over HTTP on both databases and holds every answer
against the model (`tests.support.life.model`). After each step:

- whatever is over is refused, for ever, and every session that is there is one that the model knows;
- nobody has a session who owed a factor and has not shown it;
- of several who use the same code, link, ticket or passkey's answer at once one wins;
- an owner on a known device, with password and factor, gets in whatever strangers did.

ASVS 5.0: 6.3.1, 6.3.3, 6.5.1, 7.4.1, 7.4.2, 7.4.3, 15.4.2.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from doorward.config import Settings
from doorward.config.settings import Factors, Signin
from doorward.kernel.instant import DAY, SECOND
from doorward.testing import MovableClock
from tests.http.conftest import World, on_database
from tests.support.factors import app_code, step
from tests.support.life.asking import ask
from tests.support.life.living import (
    SESSIONS,
    WRONG_CODE,
    WRONG_PASSWORD,
    WRONG_RECOVERY,
    Administrator,
    Where,
    administrator,
)
from tests.support.life.model import APP_STEP, App, Browser, Link, Passkey, Person, Policy, Session, Ticket
from tests.support.life.racing import Ending, Entering, Life
from tests.support.second_step import full_member, half_in

T = TypeVar("T")

BETWEEN = 2 * DAY  # stories do not share what is counted by the hour or the day
HAVE_TO = Factors(required="all", grace_days=1)
LIMITS: dict[str, dict[str, str | int]] = {  # what is not counted by person has tests of its own
    "sign-in": {"everybody": "100000/1m"},
    "mail": {"per_recipient": "1000/15m", "per_recipient_daily": "10000/1d"},
    "recovery-codes": {"per_account": "1000/15m"},
}
PAUSES = (1, 31, 65, 601, 1_801, 3_601, 21_600, 86_401, 86_401, 8 * 86_400, 31 * 86_400)  # seconds

few = st.sampled_from((0, 0, 0, 0, 0, 1, 1, 2))  # which of them, counted from the likeliest
OVER = 2  # of `few`: take what is over, if it comes to that
several = st.sampled_from((1, 1, 3))  # at once
where = st.sampled_from(("home", "new", "home", "program"))
names = st.sampled_from(("uid", "email"))
factors = st.sampled_from(("totp", "passkey"))
RIGHT, OLD, WRONG = "right", "old", "wrong"
chosen = st.sampled_from((RIGHT, RIGHT, OLD, WRONG))


@dataclass
class Town:
    """The running application with its administrator, on an event loop that stands still between two steps."""

    loop: asyncio.Runner
    world: World
    admin: Administrator
    policy: Policy
    numbers: Iterator[int]


def deed(**strategies: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """A rule that is a coroutine, whatever state things are in: what it needs is set up first.

    None has a condition, for races do not come out the same each time, and Hypothesis wants the same rules to choose
    from when it repeats a story.
    """

    def as_rule(do: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @wraps(do)
        def run(self: "Lives", **drawn: Any) -> None:
            self.do(do(self, **drawn))

        taken: Any = rule  # it has overloads for what we do without
        made: Callable[..., None] = taken(**strategies)(run)
        return made

    return as_rule


class Lives(RuleBasedStateMachine):
    """One story after the other in the same town, each with people of its own."""

    town: ClassVar[Town]

    def __init__(self) -> None:
        super().__init__()
        town, clock = self.town, self.town.world.clock
        clock.advance((BETWEEN - clock.now() % BETWEEN) / SECOND)
        self.is_well = True
        self.life = Life(town.world, town.admin, town.policy, next(town.numbers))

    def do(self, done: Awaitable[None]) -> None:
        """Do something and look around."""

        async def step() -> None:
            await self.life.tick()
            await done
            await self.life.read_mail()
            await self.life.look()

        self.is_well = False
        self.town.loop.run(step())
        self.is_well = True

    @initialize(ada=st.booleans(), eve=st.booleans())
    def two_people_sign_up(self, *, ada: bool, eve: bool) -> None:
        """Each with a passkey or with a password."""
        self.do(self.life.sign_up(by_passkey=ada))
        self.do(self.life.sign_up(by_passkey=eve))

    def teardown(self) -> None:
        """Whatever happened, every owner still gets in at home, through a crowd of strangers."""
        if self.is_well:
            self.do(self.life.advance(3_601))  # nobody has to wait for their own mistakes any more
            for person, browser in dict(self.at_home()).items():
                self.do(self.life.come_home(person, browser))

    # Choosing: the likeliest first -----------------------------------------------------------------------------------

    def person(self, number: int) -> Person:
        return pick(self.life.people, number)

    async def _some(self, found: Callable[[], Sequence[T]], which: int, *kinds: str) -> T:
        """One of them. Where there are none, somebody sets up what it takes."""
        if not found():
            await self._set_up(self.person(which), "home", *kinds)
        return pick(found(), which)

    async def _set_up(self, person: Person, where: Where, *kinds: str) -> Browser:
        browser = await self.life.come_back(person, where)
        for kind in kinds:
            await (self.life.make_codes(browser) if kind == "codes" else self.life.bind(browser, kind, 1))
        await self.life.read_mail()  # of what is set up they are told
        return browser

    def at_home(self) -> list[tuple[Person, Browser]]:
        """Who can sign in with a password where they are known."""
        return [
            (person, browser)
            for person in self.life.people
            if person.status == "active" and not person.compromised and person.password is not None
            for browser in self.life.browsers
            if person.known(browser) and not self.life.waits_at_home(person, browser)
        ]

    def signed_in(self) -> list[tuple[Browser, Session]]:
        """Browsers and programs that have a session, then those that had one."""
        found = [(browser, browser.session) for browser in reversed(self.life.browsers) if browser.session is not None]
        return sorted(found, key=lambda one: not one[1].live(self.life.now))

    async def _inside(self, which: int) -> tuple[Browser, Session]:
        """Somebody signed in. Where nobody is, somebody is first; sometimes it is over again."""
        if which < OVER and not self.signed_in()[0][1].live(self.life.now):
            await self.life.come_back(self.person(which), "home")
        return pick(self.signed_in(), which)

    def half_in(self, owes: str) -> list[tuple[Browser, Ticket]]:
        """Browsers and programs that have such a ticket, then those that have another or had one."""
        found = [(browser, browser.ticket) for browser in reversed(self.life.browsers) if browser.ticket is not None]
        return sorted(found, key=lambda one: not one[1].works(self.life.now) or one[1].owes != owes)

    async def _half(self, owes: str, which: int) -> tuple[Browser, Ticket]:
        """Somebody half signed in. Where nobody is, somebody is first; sometimes it is over again."""
        found = self.half_in(owes)
        if not found or (which < OVER and not (found[0][1].works(self.life.now) and found[0][1].owes == owes)):
            needed = (self.with_factor, "totp") if owes == "authenticator" else (self.with_codes, "totp", "codes")
            await self._come_half(await self._some(needed[0], which, *needed[1:]), owes)
        return pick(self.half_in(owes), which)

    async def _come_half(self, person: Person, owes: str, where: Where = "new") -> Browser:
        await self.life.patience(person)
        password = await self.life.usable_password(person)
        browser = self.life.place(person, where)
        await self.life.sign_in(person, browser, person.email, password)
        if owes == "enrolment" and person.codes is not None:
            await self.life.show_recovery_code(browser, person.codes.unused[0], 1)
        return browser

    def with_factor(self) -> list[Person]:
        return [person for person in self.life.people if person.has_factor]

    def with_codes(self) -> list[Person]:
        return [person for person in self.with_factor() if person.codes is not None and person.codes.unused]

    def passkeys(self, *people: Person) -> list[tuple[Person, Passkey]]:
        """Passkeys that they have, then those that they had."""
        had = [(person, one) for person in people for one in person.gone if isinstance(one, Passkey)]
        return [*((person, one) for person in people for one in person.passkeys), *had]

    def links(self, *purposes: str) -> list[tuple[Person, Link]]:
        """Links that work, the latest first, then those that are over."""
        found = [(person, one) for person in self.life.people for one in person.links if one.purpose in purposes]
        return sorted(found, key=lambda one: (not one[1].works(self.life.now), -one[1].begun_at))

    def password(self, person: Person, which: str) -> str:
        if which == RIGHT and person.password is not None:
            return person.password
        return person.old_passwords[-1] if which == OLD and person.old_passwords else WRONG_PASSWORD

    def recovery_code(self, person: Person, which: str) -> str:
        codes = person.codes
        if codes is None or which == WRONG:
            return WRONG_RECOVERY
        found = codes.unused if which == RIGHT else codes.used
        return found[0] if found else WRONG_RECOVERY

    def code(self, app: App | None, which: str) -> str:
        if app is None or which == WRONG:
            return WRONG_CODE
        steps = {"fresh": 0, "before": -1, "next": 1}
        return app.code(app.step if which == "used" else self.life.now // APP_STEP + steps[which])

    def together(self, many: int, person: Person, browser: Browser) -> int:
        """How many at once, if that does not make a known device a stranger in an order that nobody knows."""
        device = person.known(browser)
        return many if device is None or device.failures <= 5 else 1

    # Coming ---------------------------------------------------------------------------------------------------------

    @deed(who=few, where=where, name=names, which=chosen)
    async def sign_in(self, who: int, where: Where, name: str, which: str) -> None:
        person = self.person(who)
        browser = self.life.place(person, where)
        await self.life.sign_in(person, browser, getattr(person, name), self.password(person, which))

    @deed(who=few)
    async def sign_in_at_once(self, who: int) -> None:
        await self.life.sign_in_at_once(self.person(who), 3)

    @deed(which=few, where=where, many=several)
    async def sign_in_by_passkey(self, which: int, where: Where, many: int) -> None:
        person, passkey = await self._some(lambda: self.passkeys(*self.life.people), which, "passkey")
        await self.life.sign_in_by_passkey(person, passkey, self.life.place(person, where), many)

    @deed(who=few, where=st.sampled_from(("home", "new")), many=several)
    async def sign_in_by_mail(self, who: int, where: Where, many: int) -> None:
        person = self.person(who)
        await self.life.sign_in_by_mail(person, self.life.place(person, where), many)

    @deed(who=few, name=names, many=st.sampled_from((1, 4, 20, 60)), at_once=st.booleans())
    async def strangers_guess(self, who: int, name: str, many: int, *, at_once: bool) -> None:
        person = self.person(who)
        await self.life.strangers(person, getattr(person, name), many, at_once=at_once)

    @deed(which=few)
    async def come_home(self, which: int) -> None:
        person, browser = await self._some(self.at_home, which)
        await self.life.come_home(person, browser)

    @deed(who=few, where=where)
    async def come_back(self, who: int, where: Where) -> None:
        await self.life.come_back(self.person(who), where)

    @deed(who=few, where=where, one=st.sampled_from(("totp", "passkey")), codes=st.booleans())
    async def come_and_set_up(self, who: int, where: Where, one: str, *, codes: bool) -> None:
        await self._set_up(self.person(who), where, one, *(["codes"] if codes else []))

    # The second step ------------------------------------------------------------------------------------------------

    @deed(which=few, where=where)
    async def come_half(self, which: int, where: Where) -> None:
        await self._come_half(await self._some(self.with_factor, which, "totp"), "authenticator", where)

    @deed(which=few, code=st.sampled_from(("fresh", "fresh", "fresh", "before", "next", "used", WRONG)), many=several)
    async def show_code(self, which: int, code: str, many: int) -> None:
        browser, ticket = await self._half("authenticator", which)
        app = ticket.person.app
        if code == "fresh" and app is not None and ticket.works(self.life.now):
            await self.life.wait_for_code(app)
        await self.life.show_code(browser, self.code(app, code), self.together(many, ticket.person, browser))

    @deed(which=few, code=st.sampled_from(("fresh", "fresh", "used")))
    async def show_code_in_several_browsers(self, which: int, code: str) -> None:
        person = await self._some(self.with_app, which, "totp")
        browsers = [await self._come_half(person, "authenticator") for _ in range(3)]
        assert person.app is not None
        if code == "fresh":
            await self.life.wait_for_code(person.app)
        await self.life.show_code_in(browsers, self.code(person.app, code))

    def with_app(self) -> list[Person]:
        return [person for person in self.life.people if person.app is not None]

    @deed(which=few, code=chosen, many=several)
    async def show_recovery_code(self, which: int, code: str, many: int) -> None:
        browser, ticket = await self._half("authenticator", which)
        shown, many = self.recovery_code(ticket.person, code), self.together(many, ticket.person, browser)
        await self.life.show_recovery_code(browser, shown, many)

    @deed(which=few)
    async def show_recovery_code_in_several_browsers(self, which: int) -> None:
        person = await self._some(self.with_codes, which, "totp", "codes")
        browsers = [await self._come_half(person, "authenticator") for _ in range(3)]
        await self.life.show_recovery_code_in(browsers, self.recovery_code(person, RIGHT))

    @deed(which=few, passkey=few, many=several)
    async def show_passkey(self, which: int, passkey: int, many: int) -> None:
        browser, ticket = await self._half("authenticator", which)
        found = self.passkeys(ticket.person)
        if found:
            await self.life.show_passkey(browser, pick(found, passkey)[1], many)

    @deed(which=few, kind=factors, many=several)
    async def enrol(self, which: int, kind: str, many: int) -> None:
        browser, _ = await self._half("enrolment", which)
        await self.life.enrol(browser, kind, many)

    @deed(which=few, many=several)
    async def go_without(self, which: int, many: int) -> None:
        browser, _ = await self._half("enrolment", which)
        await self.life.go_without(browser, many)

    # In a session ---------------------------------------------------------------------------------------------------

    @deed(which=few, kind=factors, many=several)
    async def bind(self, which: int, kind: str, many: int) -> None:
        browser, _ = await self._inside(which)
        await self.life.bind(browser, kind, many)

    @deed(which=few)
    async def make_codes(self, which: int) -> None:
        browser, _ = await self._inside(which)
        await self.life.make_codes(browser)

    @deed(which=few, one=few, many=several)
    async def remove(self, which: int, one: int, many: int) -> None:
        browser, session = await self._inside(which)
        found = [*session.person.bound, *session.person.gone]
        if found:
            await self.life.remove(browser, pick(found, one), many)

    @deed(who=few)
    async def remove_everything_at_once(self, who: int) -> None:
        browser = await self._set_up(self.person(who), "home", "totp", "passkey", "codes")
        await self.life.remove_everything_at_once(browser)

    @deed(which=few, password=chosen)
    async def change_password(self, which: int, password: str) -> None:
        browser, session = await self._inside(which)
        await self.life.change_password(browser, self.password(session.person, password))

    @deed(which=few, password=chosen)
    async def prove_anew(self, which: int, password: str) -> None:
        browser, session = await self._inside(which)
        await self.life.prove_anew(browser, self.password(session.person, password))

    @deed(which=few, passkey=few, many=several)
    async def prove_anew_by_passkey(self, which: int, passkey: int, many: int) -> None:
        browser, session = await self._inside(which)
        found = self.passkeys(session.person)
        if found:
            await self.life.prove_anew_by_passkey(browser, pick(found, passkey)[1], many)

    @deed(which=few, ends=st.sampled_from(("here", "others", "all")))
    async def sign_out(self, which: int, ends: str) -> None:
        await self.life.sign_out(pick(self.signed_in(), which)[0], ends)

    @deed(which=few, other=few, many=several)
    async def end_one(self, which: int, other: int, many: int) -> None:
        browser, ended = pick(self.signed_in(), which)[0], pick(self.signed_in(), other)[1]
        await self.life.end_one(browser, ended, many)

    # Links ----------------------------------------------------------------------------------------------------------

    @deed(who=few, where=where)
    async def ask_for_link(self, who: int, where: Where) -> None:
        person = self.person(who)
        await self.life.ask_for_link(person, self.life.place(person, where))

    @deed(which=few, many=several)
    async def recover(self, which: int, many: int) -> None:
        if not self.links("recovery", "password"):
            await self.life.ask_for_link(self.person(which), self.life.browser())
        found = self.links("recovery", "password")
        if found:
            await self.life.recover(*pick(found, which), many)

    @deed(which=few, where=where, name=names, code=chosen, many=several)
    async def recover_by_code(self, which: int, where: Where, name: str, code: str, many: int) -> None:
        person = await self._some(self.with_codes, which, "totp", "codes")
        shown, browser = self.recovery_code(person, code), self.life.place(person, where)
        await self.life.recover_by_code(person, browser, getattr(person, name), shown, many)

    @deed(which=few, many=several)
    async def not_me(self, which: int, many: int) -> None:
        person, link = await self._some(lambda: self.links("not_me"), which, "codes")
        await self.life.not_me(person, link, many)

    # Those who run the site, and time -------------------------------------------------------------------------------

    @deed(who=few, for_long=st.sampled_from((False, False, True)))
    async def disable(self, who: int, *, for_long: bool) -> None:
        person = self.person(who)
        await self.life.set_status(person, "disabled")
        await self.life.look()
        if not for_long:
            await self.life.set_status(person, "active")

    @deed()
    async def enable(self) -> None:
        for person in self.life.people:
            await self.life.set_status(person, "active")

    @deed(who=few)
    async def reset_factors(self, who: int) -> None:
        await self.life.reset_factors(self.person(who))

    @deed(seconds=st.sampled_from(PAUSES))
    async def wait(self, seconds: int) -> None:
        await self.life.advance(seconds)

    @deed()
    async def chores(self) -> None:
        await self.life.chores()

    # Shut out at the very moment of coming in -----------------------------------------------------------------------

    @deed(
        who=few,
        ending=st.sampled_from(("disable", "reset", "sign out", "password", "recovery", "not me", "bind")),
        head_start=st.sampled_from((0, 5, 10, 20, 40, 80, 160, 320)),
    )
    async def race(self, who: int, ending: str, head_start: int) -> None:
        """Somebody, with a session of their own, and everybody who can be about to come in as them."""
        person = self.person(who)
        await self.life.patience(person)
        browser = await self.life.come_back(person, "home")
        ends = await self._ending(person, browser, ending)
        enters = await self._entering(person)
        await self.life.race(person, ends, enters, head_start)

    async def _entering(self, person: Person) -> Sequence[Entering]:
        """Two with a password, one with the code after it, one by passkey."""
        life, found = self.life, []
        if person.app is not None:
            found.append(life.with_code(await self._come_half(person, "authenticator")))
        found += [life.with_password(person, life.browser(is_program=program)) for program in (False, True)]
        if person.passkeys:
            found.append(await life.with_passkey(person.passkeys[0], life.browser()))
        return found

    async def _ending(self, person: Person, browser: Browser, kind: str) -> Ending:
        life = self.life
        if kind == "recovery":
            await life.ask_for_link(person, life.browser())
            return life.by_recovery(person, self._latest(person, "recovery"))
        if kind == "not me":
            await life.make_codes(browser)  # of which they are told
            await life.read_mail()
            link = self._latest(person, "not_me")
            return await life.by_not_me(person, link) if link.works(life.now) else life.by_disabling(person)
        if kind == "bind" and not person.has_factor:
            return await life.by_first_factor(browser)
        if kind == "password":
            return life.by_new_password(browser)
        if kind == "sign out":
            return life.by_signing_out(browser)
        return life.by_disabling(person) if kind == "disable" else await life.by_reset(person)

    def _latest(self, person: Person, purpose: str) -> Link:
        return next(link for owner, link in self.links(purpose) if owner is person)


def pick(found: Sequence[T], number: int) -> T:
    """One of them: small numbers are the first."""
    return found[number % len(found)]


@asynccontextmanager
async def town(
    loop: asyncio.Runner, address: str, settings: Settings, path: Path, chosen: Factors
) -> AsyncIterator[Town]:  # fmt: skip
    changed = msgspec.structs.replace(settings, factors=chosen, signin=Signin(email_link=True), limits=LIMITS)
    async with on_database(address, changed, path, MovableClock()) as world:
        policy = Policy(chosen.required == "all", chosen.grace_days * DAY)
        yield Town(loop, world, await administrator(world), policy, count())


@pytest.mark.asvs("6.3.3")
@pytest.mark.asvs("6.5.1")
@pytest.mark.asvs("7.4.2")
@pytest.mark.asvs("15.4.2")
@pytest.mark.parametrize("chosen", [Factors(required="optional"), HAVE_TO], ids=["who likes", "everybody"])
def test_whatever_people_do_the_model_is_right(
    database_address: str, settings: Settings, tmp_path: Path, stories: hypothesis.settings, chosen: Factors
) -> None:
    # Rules are no coroutines, so they have a loop of their own to run to its next standstill.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as loop:
        running = town(loop, database_address, settings, tmp_path, chosen)

        class Here(Lives):
            town = loop.run(running.__aenter__())

        try:
            run_state_machine_as_test(Here, settings=stories)
        finally:
            loop.run(running.__aexit__(None, None, None))


TRIES, AT_ONCE = 10_000, 100


@pytest.mark.slow
@pytest.mark.asvs("6.1.1")
@pytest.mark.asvs("6.3.1")
async def test_ten_thousand_wrong_tries_of_strangers_leave_the_owners_device_open(world: World) -> None:
    """Each from a network of its own, a hundred at once every hour: one of them is looked at, as long as they like."""
    owner = await full_member(world, "ada")
    home, statuses = owner.browser, Counter[int]()
    body = {"identifier": "ada", "password": WRONG_PASSWORD}
    for number in range(0, TRIES, AT_ONCE):
        world.clock.advance(3_600)
        addresses = [f"10.{one // 250}.{one % 250}.1" for one in range(number, number + AT_ONCE)]
        tries = [ask(world.app, "POST", SESSIONS, body, address=address) for address in addresses]
        _, *replies = await asyncio.gather(half_in(world, owner, home), *tries)
        statuses.update(reply.status for reply in replies)
        assert (await step(home, "totp", app_code(world, owner.app))).status_code == 201, "the owner is at home"
    assert (statuses.total(), set(statuses)) == (TRIES, {401, 429})
    assert statuses[401] >= TRIES // AT_ONCE
    assert (await world.visitor("203.0.113.5").sign_in("ada")).status_code == 429, "elsewhere even the owner waits"
