"""Replace the sealing key: keep a new one, let it seal, seal everything anew, forget the old one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from doorward.audit import AuditTrail, Event, Outcome, Payload
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import Unavailable
from doorward.kernel.startup import StartRefused
from doorward.ports import Database, Keyring, Sealer
from doorward.sealing import store
from doorward.sealing.anew import LATE_SECONDS, SealingAnew
from doorward.sealing.model import Begun, Forgotten, KeyUse, Prepared, Rotated, StillNeeded, standing_of
from doorward.sql import Work

FOLLOW_SECONDS = 1.0  # how often a running server looks for changes

_log = structlog.get_logger("doorward.sealing")


@dataclass(slots=True)
class SealingKeys:
    """The sealing room's service. `late_seconds`: how long a rotation goes on to look for values under the old key."""

    db: Database
    sealer: Sealer
    ring: Keyring
    audit: AuditTrail
    late_seconds: float = LATE_SECONDS
    _wrong: str | None = field(default=None, init=False)

    async def keys(self) -> Sequence[KeyUse]:
        """Every key that is here or that something is sealed under, the oldest first."""
        await self.ring.follow(self.db)
        counted = await self.db.search(store.count_by_key())
        known = self.ring.key_ids
        everyone = [*known, *sorted(counted.keys() - set(known))]
        return [KeyUse(one, standing_of(one, known, self.sealer.key_id), counted.get(one, 0)) for one in everyone]

    # Rotating -------------------------------------------------------------------------------------------------------

    async def prepare(self) -> Prepared:
        """Keep the key that is to seal next, so that every machine can have it before. Raises StartRefused."""
        await self.ring.follow(self.db)
        if (waiting := self._prepared()) is not None:
            return Prepared(waiting, made=False)
        made = self.ring.add()
        await self._record(Event.SENSITIVE_CREATE, {"key": made, "step": "prepared"})
        return Prepared(made, made=True)

    async def begin(self, *, alone: bool) -> Begun | Prepared:
        """Let the prepared key seal from now on, or go on where an earlier rotation was interrupted.

        `alone`: no other machine has a copy of the keys, so that a key can be made and used in one go; else a key that
        was not prepared is only that. Raises StartRefused.
        """
        await self.ring.follow(self.db)
        if (way := await self.db.read(store.find_unfinished())) is not None:
            return Begun(*way, resumed=True)
        prepared = await self.prepare()
        if prepared.made and not alone:
            return prepared
        former = self.sealer.key_id
        await self._activate(prepared.key_id, former)
        return Begun(self.sealer.key_id, former, resumed=False)  # of two commands at once, the key of the first

    async def seal_anew(self, begun: Begun) -> Rotated | StillNeeded:
        """Seal everything anew; StillNeeded when somebody keeps using another key: a machine that lacks this one."""
        anew = SealingAnew(self.db, self.sealer, self.ring)
        if left := await anew.run(self.late_seconds):
            return StillNeeded(left)
        rotated = Rotated(begun.key_id, begun.former, dict(+anew.values), tuple(anew.unopened))
        await self._finish(rotated)
        return rotated

    async def forget_old(self) -> Forgotten | StillNeeded:
        """Drop the keys from before the one that seals, if nothing is sealed under them. Raises StartRefused."""
        old = [one for one in await self.keys() if one.standing == "opens"]
        needed = sum(one.values for one in old)
        if needed or await self.db.read(store.find_unfinished()) is not None:
            return StillNeeded(needed)
        key_ids = [one.id for one in old]
        if key_ids:
            self.ring.drop(key_ids)
            await self._record(Event.SENSITIVE_DELETE, {"keys": key_ids, "step": "forgotten"})
        return Forgotten(key_ids)

    # In a running server --------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Take over what a command has changed. Whatever stands in the way is logged once."""
        wrong = None
        try:
            await self.ring.follow(self.db)
        except StartRefused as refused:
            wrong = str(refused)
        except Unavailable:
            return  # the next look comes soon, and others log that the database is down
        if wrong is not None and wrong != self._wrong:
            _log.error("sealing_key_refused", reason=wrong)
        self._wrong = wrong

    async def check(self) -> None:
        """Raise Unavailable while the key that seals is missing here: what others seal does not open."""
        if self.ring.named != self.sealer.key_id:
            raise Unavailable(retry_after_seconds=1, reason=f"the sealing key {self.ring.named} is missing here")

    # Steps ----------------------------------------------------------------------------------------------------------

    def _prepared(self) -> str | None:
        known = self.ring.key_ids
        newest = known[-1]
        return newest if standing_of(newest, known, self.sealer.key_id) == "prepared" else None

    async def _activate(self, key_id: str, former: str) -> None:
        def work() -> Work[None]:
            if (yield from self.ring.activate(key_id)):
                yield from store.begin(key_id, former)
                payload = {"key": key_id, "former": former, "step": "activated"}
                yield from self._recording(Event.SENSITIVE_UPDATE, payload)

        await self.db.write(work)
        await self.ring.follow(self.db)

    async def _finish(self, rotated: Rotated) -> None:
        outcome = Outcome.FAILURE if rotated.unopened else Outcome.SUCCESS
        payload: Payload = {
            "key": rotated.key_id,
            "former": rotated.former,
            "step": "sealed anew",
            "values": rotated.values,
            "unopened": len(rotated.unopened),
        }

        def work() -> Work[None]:
            if (yield from store.finish(rotated.key_id, rotated.former)):
                yield from self._recording(Event.SENSITIVE_UPDATE, payload, outcome)

        await self.db.write(work)

    async def _record(self, event: Event, payload: Payload) -> None:
        await self.db.write(lambda: self._recording(event, payload))

    def _recording(self, event: Event, payload: Payload, outcome: Outcome = Outcome.SUCCESS) -> Work[None]:
        yield from self.audit.record(event, outcome, LOCAL_OPERATOR, payload={"object": "sealing key", **payload})
