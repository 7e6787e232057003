"""Seal everything in the database anew, while others read and write it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from doorward.ports import Database, Keyring, Sealer
from doorward.sealing import store
from doorward.sealing.store import Change, Place
from doorward.sql import purpose_of

LATE_SECONDS: Final = 3.0  # for whoever has sealed under the old key to hear of the new one, and to commit
LATE_LOOKS: Final = 5  # what is found in all of them comes from a machine without the new key


@dataclass(slots=True)
class SealingAnew:
    """One run. `values`: how many were sealed anew, by table; `unopened`: rows left as they are, as "table key"."""

    db: Database
    sealer: Sealer
    ring: Keyring
    values: Counter[str] = field(default_factory=Counter, init=False)
    unopened: dict[str, None] = field(default_factory=dict, init=False)

    async def run(self, late_seconds: float = LATE_SECONDS) -> int:
        """Look again and again until nothing is under another key and nothing can be on its way any more.

        How many values were found in the last look: none, or somebody keeps sealing under another key.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + late_seconds
        late, found = 0, 0
        while late < LATE_LOOKS:
            late += loop.time() >= until
            found = sum([await self._table(place) for place in store.PLACES])
            if late and not found:
                break
            if late or not found:
                await asyncio.sleep(late_seconds / LATE_LOOKS)
        return found

    async def _table(self, place: Place) -> int:
        """How many values there were to seal anew, those that somebody else changed meanwhile among them."""
        found, after, more = 0, "", True
        while more:
            rows = await self._some(place, after)
            changes = [change for row in rows if (change := self._change(place, *row)) is not None]
            self.values[place.table] += await self.db.write(partial(store.replace, place, changes))
            found += len(changes)
            if more := len(rows) == store.AT_ONCE:  # else a look would last as long as somebody adds rows
                after = rows[-1][0]
        return found

    async def _some(self, place: Place, after: str) -> Sequence[tuple[str, bytes]]:
        await self.ring.follow(self.db)  # two commands at once must not work against each other
        return await self.db.search(store.list_others(place, self.sealer.key_id, after))

    def _change(self, place: Place, key: str, sealed: bytes) -> Change | None:
        purpose = purpose_of(place.table, key)
        try:
            return Change(key, sealed, self.sealer.seal(self.sealer.open(sealed, purpose), purpose))
        except ValueError:
            self.unopened[f"{place.table} {key}"] = None
            return None
