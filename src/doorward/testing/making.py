"""Bringing users into the states that tests need, by what the rooms themselves do."""

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypedDict

from doorward.app import Services
from doorward.authenticators import Proven
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.instant import Instant
from doorward.sql import Work
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.testing.clock import LiveClock
from doorward.testing.people import CodeApp, User
from doorward.users import NewUser, Writer
from doorward.users import User as Stored

_OTHERS: Final[Sequence[Writer]] = ("app", "admin")


class State(TypedDict, total=False):
    """What is said of somebody beside their name; everything has a default."""

    uid: str  # the name in small letters, with a number where somebody has that
    email: str | None  # of their own at example.org; None: no address
    email_verified: bool  # yes
    phone: str | None  # none; a proven one
    password: str | None  # a long one of their own; None: no password, so with a passkey
    roles: Collection[str]
    admin: bool
    passkey: bool
    second_step: bool  # an authenticator app
    recovery_codes: bool
    must_reset: bool  # others know the password
    disabled: bool
    leaving: bool  # has asked to be deleted
    fields: Mapping[str, Any]  # custom ones


async def make_user(services: Services, clock: LiveClock, name: str, state: State) -> User:
    """Somebody new. Raises Invalid for what nobody could be called or have."""
    uid = state["uid"] if "uid" in state else await _free_uid(services, name)
    found = User(
        id="",
        uid=uid,
        name=name,
        email=state.get("email", f"{uid}@example.org"),
        phone=state.get("phone"),
        password=state.get("password", secrets.token_urlsafe(18)),
    )
    roles = (*state.get("roles", ()), *(["admin"] if state.get("admin") else []))
    fields = state.get("fields", {})
    found.id = await _create(services, found, tuple(sorted(set(roles))), fields)
    await _fill_in(services, found.id, fields)
    await _prove_contacts(services, found, email_verified=state.get("email_verified", True))
    if state.get("passkey"):
        found.passkey = await _give_passkey(services, found.id)
    if state.get("second_step"):
        found.app = await _give_app(services, clock, found.id)
    if state.get("recovery_codes"):
        found.recovery_codes = await _give_codes(services, found.id)
    await _end(services, found.id, state)
    return found


async def _free_uid(services: Services, name: str) -> str:
    wanted = re.sub(r"[^a-z0-9]+", "", name.lower()) or "somebody"
    uid, number = wanted, 1
    while await services.users.taken(uid):
        number += 1
        uid = f"{wanted}{number}"
    return uid


async def _create(services: Services, wanted: User, roles: tuple[str, ...], fields: Mapping[str, Any]) -> str:
    own = {name: value for name, value in fields.items() if _writer_of(services, name) == "user"}
    profile: dict[str, Any] = {"uid": wanted.uid, "name": wanted.name, **own}
    if wanted.email is not None:
        profile["email"] = wanted.email
    # Whoever has no password is checked with one, which nobody hears of.
    asked = {**profile, "password": wanted.password or secrets.token_urlsafe(18)}
    new: NewUser
    new, password = await services.sign_up.check(asked, by_operator=True)
    digest = None if wanted.password is None else await services.passwords.hash_new(password, context=())

    def also(user: Stored, _now: Instant) -> Work[None]:
        if digest is not None:
            yield from services.passwords.set_password(user.id, digest)

    user, _ = await services.users.create(new, LOCAL_OPERATOR, also=also, roles=roles)
    return user.id


async def _fill_in(services: Services, user_id: str, fields: Mapping[str, Any]) -> None:
    """Write what users may not write themselves."""
    for writer in _OTHERS:
        theirs = {name: value for name, value in fields.items() if _writer_of(services, name) == writer}
        if theirs:
            changes = services.users.validate_update(theirs, writer, user_id)
            await services.users.update(user_id, changes, None, LOCAL_OPERATOR)


def _writer_of(services: Services, field: str) -> Writer:
    declared = services.schema.declarations.get(field)
    return "user" if declared is None else declared.write  # what is not declared is refused at once


async def _prove_contacts(services: Services, user: User, *, email_verified: bool) -> None:
    now = services.clock.now()
    address, number = user.email, user.phone
    if address is not None and email_verified:
        await services.db.write(lambda: services.users.prove(user.id, "email", address, LOCAL_OPERATOR, now))
    if number is not None:
        await services.db.write(lambda: services.users.prove(user.id, "phone", number, LOCAL_OPERATOR, now))


async def _give_passkey(services: Services, user_id: str) -> SoftwareAuthenticator:
    device, holder = SoftwareAuthenticator(), secrets.token_bytes(32)
    options = await services.binding.offer_passkey(user_id, holder)
    made = device.create(options, services.csrf.site.public_url)
    await _bind(services, user_id, await services.binding.prove_passkey(holder, made))
    return device


async def _give_app(services: Services, clock: LiveClock, user_id: str) -> CodeApp:
    holder = secrets.token_bytes(32)
    await services.binding.offer_app(user_id, holder)
    offer = await services.binding.offered_app(user_id, holder)
    assert offer is not None, "an app was offered just now"
    app = CodeApp(offer.key, clock)
    # With the code before this one, which still counts, so that this one can be used to sign in.
    await _bind(services, user_id, await services.binding.prove_app(user_id, holder, app.earlier_code()))
    return app


async def _give_codes(services: Services, user_id: str) -> list[str]:
    holder = secrets.token_bytes(32)
    codes = await services.binding.offer_codes(user_id, holder, LOCAL_OPERATOR)
    proven = await services.binding.prove_codes(user_id, holder, LOCAL_OPERATOR, kept=True)
    await _bind(services, user_id, proven)
    return list(codes)


async def _bind(services: Services, user_id: str, proven: Proven) -> None:
    # Without the notice that `Binding.bind` sends: what a test arranges is none of what it looks for in a mailbox.
    now = services.clock.now()
    await services.db.write(lambda: services.binding.insert(user_id, proven, LOCAL_OPERATOR, now))


async def _end(services: Services, user_id: str, state: State) -> None:
    if state.get("must_reset"):
        await services.recovery.flag_compromised(user_id, LOCAL_OPERATOR)
    if state.get("leaving"):
        now = services.clock.now()
        await services.db.write(lambda: services.users.leave(user_id, LOCAL_OPERATOR, now))
    if state.get("disabled"):
        await services.users.set_status(user_id, "disabled", None, LOCAL_OPERATOR)
