"""Recording events and checking that nobody changed them since."""

import hmac
import json
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from structlog.typing import FilteringBoundLogger

from doorward.audit import store
from doorward.audit.model import AuditEvent, Event, Outcome, Payload, canonical, storable
from doorward.kernel.caller import Caller
from doorward.kernel.devices import describe
from doorward.kernel.ids import new_id
from doorward.kernel.instant import to_rfc3339
from doorward.ports import Clock, Sealer
from doorward.sql import Work

_ROW = "audit"
_PAYLOAD = "audit_payload"


def _logger() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger("doorward.audit")
    return logger


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Adds rows to `audit_event`, each with a MAC that only the holder of the sealing key can make (ASVS 16.4.2)."""

    sealer: Sealer
    clock: Clock
    log: FilteringBoundLogger = field(default_factory=_logger)

    def record(
        self,
        event: Event,
        outcome: Outcome,
        caller: Caller,
        *,
        user_id: str | None = None,
        actor_id: str | None = None,
        session_id: str | None = None,
        payload: Payload | None = None,
    ) -> Work[None]:
        """Insert one row in the transaction at hand (`yield from`) and write its log line after the commit.

        `user_id`: whom it is about; `actor_id`: who did it, as far as that is known. `payload`: further facts, for
        operators only; it never holds a password, token, cookie, key or anything a claimant typed to prove who they
        are (a password is easily typed into the field above it), and it can be redacted later. The browser and system
        of the request join it as `device`, in words of ours instead of the header.
        """
        at = self.clock.now()
        facts = _facts(payload, caller)
        text = None if facts is None else canonical(storable(facts))
        row = AuditEvent(
            id=new_id(at),
            at=at,
            event=event.value,
            outcome=outcome.value,
            user_id=user_id,
            actor_id=actor_id,
            session_id=session_id,
            address=caller.address,
            request_id=caller.request_id,
            payload=None if text is None else text.decode(),
            payload_digest=None if text is None else self._digest(text),
            mac=b"",
            key_id=self.sealer.mac_key_id,
        )
        yield from store.insert_event(replace(row, mac=self._mac(row)), partial(self._write_line, event, row))

    def verify(self, row: AuditEvent) -> bool:
        """Tell whether the row is as it was recorded. A redacted payload (None, digest kept) is still right.

        False also when the row was made under another MAC key than this database has.
        """
        if row.key_id != self.sealer.mac_key_id or not hmac.compare_digest(row.mac, self._mac(row)):
            return False
        return row.payload is None or self._payload_is_right(row.payload, row.payload_digest)

    def _payload_is_right(self, payload: str, digest: bytes | None) -> bool:
        try:
            text = canonical(json.loads(payload))
        except ValueError:
            return False
        return digest is not None and hmac.compare_digest(digest, self._digest(text))

    def _mac(self, row: AuditEvent) -> bytes:
        return self.sealer.mac(row.signed_bytes(), _ROW)

    def _digest(self, payload: bytes) -> bytes:
        # Keyed, not a bare SHA-256: after a redaction nobody can try addresses or names against what is left.
        return self.sealer.mac(payload, _PAYLOAD)

    def _write_line(self, event: Event, row: AuditEvent) -> None:
        facts = {
            "datetime": to_rfc3339(row.at).replace("Z", "+00:00"),
            "id": row.id,
            "outcome": row.outcome,
            "user_id": row.user_id,
            "actor_id": row.actor_id,
            "session_id": row.session_id,
            "source_ip": row.address,
            "request_id": row.request_id,
            "details": None if row.payload is None else json.loads(row.payload),
        }
        self.log.log(
            _LEVELS[event.level], event.value, **{name: fact for name, fact in facts.items() if fact is not None}
        )


def _facts(payload: Payload | None, caller: Caller) -> Payload | None:
    # Whoever it is about: whether there is such a user must not show in what is written (C16).
    return {**(payload or {}), "device": describe(caller.user_agent)} if caller.user_agent else payload


_LEVELS = {"info": 20, "warning": 30, "critical": 50}
