"""The endpoints of apps: added, listed, tried, replayed and removed by the operator."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from doorward.audit import AuditTrail, Outcome
from doorward.audit import Event as Audited
from doorward.events import store
from doorward.events.delivery import post
from doorward.events.model import TEST, TYPES, Webhook, encode
from doorward.events.signing import new_secret
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, NotFound
from doorward.kernel.ids import new_id
from doorward.kernel.instant import to_rfc3339
from doorward.ports import Clock, Database, Sealer
from doorward.ports.outbound import Outbound
from doorward.sql import Work, purpose_of

_URL_LONGEST: Final = 2_048


@dataclass(frozen=True, slots=True)
class Added:
    """A new endpoint with its secret, which leaves here once."""

    webhook: Webhook
    secret: str = field(repr=False)


def webhook_url_fault(url: str) -> str | None:
    """What is wrong with an address; who may be asked at all is judged when it is asked."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError for what is no port
    except ValueError:
        return "this is not a URL"
    if not (url.isascii() and url.isprintable() and " " not in url and len(url) <= _URL_LONGEST):
        return "this is not a URL in visible ASCII"
    if parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc or parts.fragment:
        return "expected an https URL without user or fragment"
    return None


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Endpoints, for the operator."""

    db: Database
    clock: Clock
    sealer: Sealer
    audit: AuditTrail
    outbound: Outbound

    async def add(self, url: str, types: Sequence[str], caller: Caller) -> Added:
        """Send events to `url` from now on; `types` empty: all. Raises Invalid."""
        errors = [FieldError("types", "unknown", f"There is no event {one}") for one in types if one not in TYPES]
        if (fault := webhook_url_fault(url)) is not None:
            errors.append(FieldError("url", "wrong", fault))
        if errors:
            raise Invalid(errors)
        now, secret = self.clock.now(), new_secret()
        webhook_id = new_id(now)
        sealed = self.sealer.seal(secret.encode(), purpose_of("webhook", webhook_id))

        def work() -> Work[Webhook]:
            last = yield from store.find_last()
            chosen = tuple(one for one in TYPES if one in types)
            added = Webhook(webhook_id, url, chosen, sealed, now, None, last, 0, now, None, None)
            yield from store.insert_webhook(added)
            yield from self._record(Audited.SENSITIVE_CREATE, webhook_id, url, caller)
            return added

        return Added(await self.db.write(work), secret)

    async def list_all(self) -> list[Webhook]:
        """Every endpoint."""
        return await self.db.search(store.list_webhooks())

    async def remove(self, webhook_id: str, caller: Caller) -> None:
        """Send nothing there any more. Raises NotFound."""

        def work() -> Work[None]:
            url = yield from store.delete_webhook(webhook_id)
            if url is None:
                raise NotFound(reason="no such webhook")
            yield from self._record(Audited.SENSITIVE_DELETE, webhook_id, url, caller)

        await self.db.write(work)

    async def replay(self, webhook_id: str, after: int, caller: Caller) -> None:
        """Send what came after a number (again), also where an endpoint was given up. Raises NotFound."""

        def work() -> Work[None]:
            if not (yield from store.replay(webhook_id, after)):
                raise NotFound(reason="no such webhook")
            yield from self._record(Audited.SENSITIVE_UPDATE, webhook_id, "", caller)

        await self.db.write(work)

    async def test(self, webhook_id: str) -> int:
        """Send an event of the type webhook.test now; the status of the answer. Raises NotFound, OutboundFailed."""
        found = await self.db.read(store.find_webhook(webhook_id))
        if found is None:
            raise NotFound(reason="no such webhook")
        now = self.clock.now()
        body = encode({"type": TEST, "timestamp": to_rfc3339(now), "data": {"id": webhook_id}})
        secret = self.sealer.open(found.secret_sealed, purpose_of("webhook", webhook_id)).decode()
        return await post(self.outbound, found.url, secret, new_id(now), body, now)

    def _record(self, event: Audited, webhook_id: str, url: str, caller: Caller) -> Work[None]:
        host = urlsplit(url).hostname or ""
        payload = {"what": "webhook", "webhook": webhook_id, "host": host}
        yield from self.audit.record(event, Outcome.SUCCESS, caller, payload=payload)
