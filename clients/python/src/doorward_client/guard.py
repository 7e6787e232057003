"""What is the same of a guard whichever way its app waits."""

from doorward_client.clock import Clock
from doorward_client.core import Core
from doorward_client.dpop import SeenProofs
from doorward_client.errors import Refused
from doorward_client.request import Reply, Request
from doorward_client.sessions import SessionStore
from doorward_client.settings import Settings


class BaseGuard:
    """What a guard is made of, and what it answers without waiting."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SessionStore | None = None,
        proofs: SeenProofs | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.core = Core.of(settings, clock or Clock(), store, proofs)

    def refusal(self, request: Request, refused: Refused) -> Reply:
        """The answer that says no."""
        return self.core.refusal(request, refused)

    def csrf_token(self, request: Request) -> str:
        """What forms and scripts of somebody who is signed in must send back."""
        return "" if self.core.browser is None else self.core.browser.csrf_token(request)
