"""The keys that sign tokens: made here, sealed at rest, published as a JWKS, replaced before they grow old."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.util import json_b64encode

from doorward.kernel.errors import Unavailable
from doorward.kernel.instant import Instant
from doorward.ports import Clock, Database, Sealer
from doorward.sql import purpose_of
from doorward.tokens import jose, store
from doorward.tokens.jose import Jwk
from doorward.tokens.model import ALGORITHM, BELIEVED_LONGER, PUBLISHED_AHEAD, SIGNS_FOR, SigningKey


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """A key opened for use. Its public half comes out of the sealed private one, never out of the open column."""

    kid: str
    alg: str
    active_from: Instant
    created_at: Instant
    retired_at: Instant | None
    jwk: Jwk

    def header(self, typ: str) -> Mapping[str, str]:
        """The one JOSE header under which this key signs tokens of this type."""
        return {"alg": self.alg, "typ": typ, "kid": self.kid}

    def header_segment(self, typ: str) -> str:
        """The same header as it stands at the front of a token."""
        return json_b64encode(dict(self.header(typ))).decode()

    def public(self) -> dict[str, Any]:
        """The public JWK (RFC 7517 §4)."""
        return {**self.jwk.as_dict(private=False), "kid": self.kid, "alg": self.alg, "use": "sig"}


@dataclass
class SigningKeys:
    """Every key in force. Call `ready()` once before use, and `follow()` every minute.

    A rotation inserts its key with `active_from` far enough ahead that every node and every client has read the JWKS
    before the key signs; the old key stays, and is believed, until its `retired_at` (C50).
    """

    db: Database
    clock: Clock
    sealer: Sealer
    _keys: Mapping[str, LoadedKey] = field(default_factory=dict, init=False)
    _jwks: bytes = field(default=b'{"keys":[]}', init=False)

    async def ready(self) -> None:
        """Load the keys; make the first one when there is none. Raises Unavailable when a key cannot be opened."""
        await self.refresh()
        await self.ensure(ALGORITHM)

    async def ensure(self, alg: str) -> None:
        """Make sure that a key of this algorithm signs: the first is made when somebody needs it.

        Raises Unavailable when none is active.
        """
        if not self._of(alg):
            await self.refresh()  # another node may have made one
        if not self._of(alg):
            # In force from the beginning of time: nobody waits for it, and the next node's clock may be behind ours.
            first = await self._new_key(alg, active_from=0)
            await self.db.write(lambda: store.insert_first_key(first))
            await self.refresh()
        self._active(alg)

    async def refresh(self) -> int:
        """Read the keys anew, also forgetting those retired; how many of these there are still.

        Raises Unavailable when a key cannot be opened.
        """
        now = self.clock.now()
        found = await self.db.search(store.list_keys())
        rows = [row for row in found if row.retired_at is None or now < row.retired_at]
        self._keys = {row.kid: self._opened(row) for row in rows}
        self._jwks = json.dumps({"keys": [key.public() for key in self._keys.values()]}, separators=(",", ":")).encode()
        return len(found) - len(rows)

    async def follow(self) -> None:
        """Learn of other nodes' keys, begin the rotations that are due, and destroy what is retired."""
        retired, now = await self.refresh(), self.clock.now()
        for alg in jose.ALGORITHMS:
            newest = self._newest(alg)
            if newest is not None and now >= (newest.active_from or newest.created_at) + SIGNS_FOR - PUBLISHED_AHEAD:
                await self.rotate(alg)
        if retired:
            await self.db.write(lambda: store.delete_retired_keys(now))

    async def rotate(self, alg: str) -> LoadedKey | None:
        """Publish the next key of this algorithm now, to sign from PUBLISHED_AHEAD on; the key.

        None when there is nothing to replace, or when a key already waits for its time. Of any number of processes and
        nodes exactly one makes it.
        """
        old, now = self._newest(alg), self.clock.now()
        if old is None or old.active_from > now:
            return None
        new = await self._new_key(alg, active_from=now + PUBLISHED_AHEAD)
        await self.db.write(lambda: store.insert_next_key(old.kid, new, new.active_from + BELIEVED_LONGER))
        await self.refresh()
        return self._newest(alg)

    @property
    def loaded(self) -> Sequence[LoadedKey]:
        """The keys in force, the one that signs now and those only believed alike."""
        return tuple(self._keys.values())

    @property
    def signing_kids(self) -> frozenset[str]:
        """Ids of the keys that sign now, one of each algorithm in use."""
        now = self.clock.now()
        of_each = (self._signing(alg, now) for alg in jose.ALGORITHMS)
        return frozenset(key.kid for key in of_each if key is not None)

    def jwks(self) -> bytes:
        """The JWK Set (RFC 7517 §5) for `/.well-known/jwks.json`: public halves, also of keys that sign only later."""
        return self._jwks

    def sign(self, claims: Mapping[str, Any], typ: str, alg: str = ALGORITHM) -> str:
        """Sign claims with the active key as a compact JWS. `typ` is the media type without "application/".

        Raises Unavailable when no key of the algorithm is active; see `ensure`.
        """
        key = self._active(alg)
        return jose.sign(key.header(typ), claims, key.jwk)

    def find(self, header_segment: str, typ: str) -> LoadedKey | None:
        """Find the key whose header for `typ` is exactly this text."""
        return next((key for key in self._keys.values() if key.header_segment(typ) == header_segment), None)

    def believes(self, kid: str) -> bool:
        """Tell whether this key is still in force."""
        key = self._keys.get(kid)
        return key is not None and (key.retired_at is None or self.clock.now() < key.retired_at)

    def _of(self, alg: str) -> list[LoadedKey]:
        return [key for key in self._keys.values() if key.alg == alg]

    def _newest(self, alg: str) -> LoadedKey | None:
        return max(self._of(alg), key=lambda key: (key.active_from, key.kid), default=None)

    def _signing(self, alg: str, now: Instant) -> LoadedKey | None:
        active = [key for key in self._of(alg) if key.active_from <= now]
        return max(active, key=lambda key: (key.active_from, key.kid), default=None)

    def _active(self, alg: str) -> LoadedKey:
        key = self._signing(alg, self.clock.now())
        if key is None:
            raise _unusable(f"none of {alg} is active yet; is the clock of this machine right?")
        return key

    def _opened(self, row: SigningKey) -> LoadedKey:
        known = self._keys.get(row.kid)
        if known is not None and known.retired_at == row.retired_at:
            return known
        return open_key(self.sealer, row)

    async def _new_key(self, alg: str, *, active_from: Instant) -> SigningKey:
        now = self.clock.now()  # away from the loop: an RSA key takes its time
        return await asyncio.to_thread(new_key, self.sealer, now, active_from=active_from, alg=alg)


def new_key(sealer: Sealer, now: Instant, *, active_from: Instant, alg: str = ALGORITHM) -> SigningKey:
    """Make a key (ASVS 11.2.3), named by its thumbprint (RFC 7638) and sealed under that name."""
    jwk = jose.generate(alg)
    kid = jwk.thumbprint()
    return SigningKey(
        kid=kid,
        alg=alg,
        public_jwk=json.dumps(jwk.as_dict(private=False)),
        private_sealed=sealer.seal(json.dumps(jwk.as_dict(private=True)).encode(), purpose_of("signing_key", kid)),
        created_at=now,
        active_from=active_from,
        retired_at=None,
    )


def open_key(sealer: Sealer, row: SigningKey) -> LoadedKey:
    """Open a key for use. Raises Unavailable when the sealing key does not fit or the row was tampered with."""
    try:
        private = sealer.open(row.private_sealed, purpose_of("signing_key", row.kid))
    except ValueError as error:
        raise _unusable(f"{row.kid} does not open; is this the sealing key of this database?") from error
    alg, jwk = jose.import_key(json.loads(private))
    if row.alg != alg:
        raise _unusable(f"{row.kid} is of an algorithm this version does not know")
    return LoadedKey(row.kid, alg, row.active_from, row.created_at, row.retired_at, jwk)


def _unusable(reason: str) -> Unavailable:
    return Unavailable(retry_after_seconds=60, reason=f"signing key {reason}")
