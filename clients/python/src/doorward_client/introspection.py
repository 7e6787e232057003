"""Asking the issuer about one token (RFC 7662): while the feed is stale, and for API keys."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doorward_client.clock import Clock
from doorward_client.credentials import Credentials
from doorward_client.errors import InvalidToken
from doorward_client.flows import Flow
from doorward_client.provider import Provider, read_json

KEPT_SECONDS = 1.5  # what has ended is out within two seconds, with what the question and the server take


@dataclass
class Introspection:
    """Asks about a token at most once in a second and a half."""

    credentials: Credentials
    provider: Provider
    clock: Clock
    size: int = 10_000
    _kept: OrderedDict[bytes, tuple[float, Mapping[str, Any]]] = field(default_factory=OrderedDict, init=False)

    def ask(self, token: str) -> Flow[Mapping[str, Any]]:
        """What the issuer says of an active token. Raises InvalidToken, and Unavailable when it says nothing."""
        digest = hashlib.sha256(token.encode()).digest()
        asked_at = self.clock.monotonic()
        until, said = self._kept.get(digest, (0.0, {}))
        if asked_at >= until:
            metadata = yield from self.provider.metadata()
            said = yield from read_json(self.credentials.post(metadata.introspection_endpoint, {"token": token}))
            # Counted from the question: by the time of the answer it may be out of date already.
            self._keep(digest, (asked_at + KEPT_SECONDS, said))
        if said.get("active") is not True:
            raise InvalidToken("the token is not active")
        exp = said.get("exp")
        if exp is not None and (type(exp) is not int or self.clock.now() >= exp):
            raise InvalidToken("the token has expired")
        return said

    def _keep(self, digest: bytes, entry: tuple[float, Mapping[str, Any]]) -> None:
        self._kept.pop(digest, None)
        self._kept[digest] = entry
        while len(self._kept) > self.size:
            self._kept.popitem(last=False)
