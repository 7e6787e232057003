"""The first administrator: a one-time link instead of a default password (C10; ASVS 6.3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doorward.audit import AuditTrail, Event, Outcome
from doorward.kernel.caller import LOCAL_OPERATOR, Caller
from doorward.kernel.errors import NotFound
from doorward.kernel.ids import new_token, token_digest
from doorward.kernel.instant import HOUR
from doorward.ports import Clock, Database
from doorward.sessions import SignInOutcome
from doorward.setup import store
from doorward.signup import SignUp
from doorward.sql import Work
from doorward.users import User, UsersService

ADMIN = "admin"
LINK_LIFE = HOUR


@dataclass(frozen=True, slots=True)
class Setup:
    """Makes and consumes links. A link is consumed by POST only, once, within an hour."""

    db: Database
    clock: Clock
    users: UsersService
    sign_up: SignUp
    audit: AuditTrail

    async def first_link(self) -> str | None:
        """The path of a new link while there is no administrator, else None."""
        return None if await self.users.any_with_role(ADMIN) else await self.new_link()

    async def new_link(self) -> str:
        """The path of a new link; earlier unused ones stop working."""
        token, now = new_token(), self.clock.now()

        def work() -> Work[None]:
            yield from store.insert_link(token_digest(token), now, now + LINK_LIFE)
            yield from self.audit.record(
                Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, LOCAL_OPERATOR, payload={"purpose": "administrator link"}
            )

        await self.db.write(work)
        return f"/setup/{token}"

    async def check(self, token: str) -> None:
        """Raise NotFound unless the link could be used now. Consumes nothing: mail scanners and previews only GET."""
        if not await self.db.read(store.find_open(token_digest(token), self.clock.now())):
            raise NotFound("This link has been used or has expired", reason="setup link not open")

    async def create(self, token: str, body: Mapping[str, Any], caller: Caller) -> tuple[User, SignInOutcome]:
        """Consume the link and sign up its holder as administrator. Raises Invalid, NotFound."""
        await self.check(token)
        new, password = await self.sign_up.check(body, by_operator=True)
        return await self.sign_up.create(new, password, caller, roles=(ADMIN,), first=lambda: self._use(token))

    async def promote(self, token: str, user_id: str, caller: Caller) -> None:
        """Consume the link and make a signed-in user administrator. Raises NotFound."""
        await self.users.add_role(user_id, ADMIN, user_id, caller, first=lambda: self._use(token))

    def _use(self, token: str) -> Work[None]:
        if not (yield from store.use_link(token_digest(token), self.clock.now())):
            raise NotFound("This link has been used or has expired", reason="setup link not open")
