"""Links and codes that come back, whatever they are for."""

from collections.abc import Mapping
from dataclasses import dataclass

from doorward.confirmations import Completed, Confirmation, Confirmations, Purpose, State
from doorward.kernel.caller import Caller
from doorward.verification.model import Flow, Visitor


@dataclass(frozen=True, slots=True)
class Verification:
    """Finds what a link or a code belongs to and hands it to the flow that began it."""

    confirmations: Confirmations
    flows: Mapping[Purpose, Flow]

    async def look(self, token: str) -> tuple[State, Confirmation | None]:
        """What a link to our page leads to. Changes nothing."""
        return await self.confirmations.look(token, *self._at_verify())

    async def waiting(self, visitor: Visitor, purpose: str | None = None) -> Confirmation | None:
        """The latest that this visitor asked for, by its session or else by its cookie."""
        wanted = [one for one in self.flows if purpose in {None, one}]
        return await self._waiting(visitor, *wanted)

    async def waiting_at_verify(self, visitor: Visitor) -> Confirmation | None:
        """The same among those that our page takes."""
        return await self._waiting(visitor, *self._at_verify())

    async def confirm_link(self, token: str, visitor: Visitor, password: str | None, caller: Caller) -> Completed:
        """Use a link, on whatever device. Raises Invalid naming `token`, and what the flow raises."""
        found = await self.confirmations.by_token(token, *self.flows)
        return await self._complete(found, visitor, password, caller)

    async def confirm_code(
        self, found: Confirmation | None, code: str, visitor: Visitor, password: str | None, caller: Caller
    ) -> Completed:
        """Use a code for `found`, which is what `waiting` gave: a code works only where it was asked for (C14).

        Raises Invalid naming `code`, RateLimited, Unavailable, and what the flow raises.
        """
        right = await self.confirmations.check_code(found, code, caller)
        return await self._complete(right, visitor, password, caller)

    async def resend(self, found: Confirmation | None, caller: Caller) -> None:
        """Send a newer code with the same link; nothing where nothing waits. Raises RateLimited, Unavailable."""
        if found is not None:
            await self.flows[found.purpose].resend(found, caller)

    def needs_password(self, found: Confirmation, visitor: Visitor) -> bool:
        """Whether the form for a link has to ask for a new password."""
        return self.flows[found.purpose].new_password_elsewhere and not visitor.holds(found)

    async def _complete(self, found: Confirmation, visitor: Visitor, password: str | None, caller: Caller) -> Completed:
        return await self.flows[found.purpose].confirm(found, visitor.submits(found, password), caller)

    async def _waiting(self, visitor: Visitor, *purposes: Purpose) -> Confirmation | None:
        for holder in visitor.holders:
            if (found := await self.confirmations.of_holder(holder, *purposes)) is not None:
                return found
        return None

    def _at_verify(self) -> list[Purpose]:
        return [purpose for purpose, flow in self.flows.items() if flow.at_verify]
