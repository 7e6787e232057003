"""The keys that sign tokens: made here, sealed at rest, published as a JWKS."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.util import json_b64encode

from doorward.kernel.errors import Unavailable
from doorward.kernel.instant import Instant
from doorward.ports import Clock, Database, Sealer
from doorward.sql import purpose_of
from doorward.tokens import store
from doorward.tokens.model import ALGORITHM, SigningKey


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """A key opened for use. Its public half comes out of the sealed private one, never out of the open column."""

    kid: str
    alg: str
    active_from: Instant
    jwk: ECKey

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
    """Every key in force. Call `ready()` once before use, and `refresh()` every minute to learn of other nodes' keys.

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
        if not self._keys:
            # In force from the beginning of time: nobody waits for it, and the next node's clock may be behind ours.
            first = new_key(self.sealer, self.clock.now(), active_from=0)
            await self.db.write(lambda: store.insert_first_key(first))
            await self.refresh()
        self._active()

    async def refresh(self) -> None:
        """Read the keys anew, also forgetting those retired. Raises Unavailable when a key cannot be opened."""
        now = self.clock.now()
        rows = [
            row for row in await self.db.search(store.list_keys()) if row.retired_at is None or now < row.retired_at
        ]
        self._keys = {row.kid: self._keys.get(row.kid) or open_key(self.sealer, row) for row in rows}
        self._jwks = json.dumps({"keys": [key.public() for key in self._keys.values()]}, separators=(",", ":")).encode()

    @property
    def loaded(self) -> Sequence[LoadedKey]:
        """The keys in force, the one that signs now and those only believed alike."""
        return tuple(self._keys.values())

    @property
    def signing_kid(self) -> str:
        """Id of the key that signs now. Raises Unavailable when none does."""
        return self._active().kid

    def jwks(self) -> bytes:
        """The JWK Set (RFC 7517 §5) for `/.well-known/jwks.json`: public halves, also of keys that sign only later."""
        return self._jwks

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """Sign claims with the active key as a compact JWS. `typ` is the media type without "application/"."""
        key = self._active()
        payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
        return jws.serialize_compact(dict(key.header(typ)), payload, key.jwk, algorithms=[key.alg])

    def find(self, header_segment: str, typ: str) -> LoadedKey | None:
        """Find the key whose header for `typ` is exactly this text."""
        return next((key for key in self._keys.values() if key.header_segment(typ) == header_segment), None)

    def believes(self, kid: str) -> bool:
        """Tell whether this key is still in force."""
        return kid in self._keys

    def _active(self) -> LoadedKey:
        now = self.clock.now()
        signing = [key for key in self._keys.values() if key.active_from <= now]
        if not signing:
            raise _unusable("none is active yet; is the clock of this machine right?")
        return max(signing, key=lambda key: (key.active_from, key.kid))


def new_key(sealer: Sealer, now: Instant, *, active_from: Instant) -> SigningKey:
    """Make an ES256 key on P-256 (ASVS 11.2.3), named by its thumbprint (RFC 7638) and sealed under that name."""
    jwk = ECKey.generate_key("P-256", private=True)
    kid = jwk.thumbprint()
    return SigningKey(
        kid=kid,
        alg=ALGORITHM,
        public_jwk=json.dumps(jwk.as_dict(private=False)),
        private_sealed=sealer.seal(json.dumps(jwk.as_dict(private=True)).encode(), purpose_of("signing_key", kid)),
        created_at=now,
        active_from=active_from,
        retired_at=None,
    )


def open_key(sealer: Sealer, row: SigningKey) -> LoadedKey:
    """Open a key for use. Raises Unavailable when the sealing key does not fit or the row was tampered with."""
    if row.alg != ALGORITHM:
        raise _unusable(f"{row.kid} is of an algorithm this version does not know")
    try:
        private = sealer.open(row.private_sealed, purpose_of("signing_key", row.kid))
    except ValueError as error:
        raise _unusable(f"{row.kid} does not open; is this the sealing key of this database?") from error
    return LoadedKey(row.kid, row.alg, row.active_from, ECKey.import_key(json.loads(private)))


def _unusable(reason: str) -> Unavailable:
    return Unavailable(retry_after_seconds=60, reason=f"signing key {reason}")
