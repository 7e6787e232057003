"""Argon2id in a pool of its own: as many threads as cores, less urgent than the event loop, and a bounded queue."""

import asyncio
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerificationError
from argon2.low_level import hash_secret_raw

from doorward.adapters.foreign_digests import parse
from doorward.kernel.errors import Unavailable
from doorward.ports import Cost, Verified

T = TypeVar("T")

SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32
NICENESS: Final = 10  # a hash may wait for the loop, the loop must not wait for a hash
MAX_MEMORY_KIB: Final = 256 * 1024
MAX_WORK: Final = 1024 * 1024  # memory in KiB times passes; about half a second
MAX_LANES: Final = 16

_PHC = re.compile(  # RFC 9106 and the PHC string format
    r"\$argon2(id|i|d)\$v=(16|19)\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,4})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a PHC string says of itself."""

    type: str
    version: int
    memory_kib: int
    time_cost: int
    lanes: int
    salt_bytes: int
    digest_bytes: int

    @property
    def is_bearable(self) -> bool:
        """Whether a digest from elsewhere may cost us this; ours may cost what the operator chose."""
        is_valid = self.lanes <= MAX_LANES and self.memory_kib >= 8 * self.lanes  # RFC 9106 §3.1
        return is_valid and self.memory_kib <= MAX_MEMORY_KIB and self.memory_kib * self.time_cost <= MAX_WORK

    def at_least(self, today: "_Parameters") -> bool:
        """Whether this is as strong as `today`, each figure by itself."""
        return (self.type, self.version) == (today.type, today.version) and (
            self.memory_kib >= today.memory_kib
            and self.time_cost >= today.time_cost
            and self.salt_bytes >= today.salt_bytes
            and self.digest_bytes >= today.digest_bytes
        )


class Argon2Hasher:
    """Fulfils `ports.Hasher`. Call `close` when done; the threads end with what they have begun."""

    def __init__(
        self, memory_kib: int = 19456, time_cost: int = 2, lanes: int = 1, threads: int | None = None, queue: int = 64
    ) -> None:
        """Today's parameters are OWASP's floor unless told otherwise; `threads` None: one for each core we may use.

        `queue`: how many hashes may wait for a thread.
        """
        self._today = _Parameters("id", 19, memory_kib, time_cost, lanes, SALT_BYTES, DIGEST_BYTES)
        self._argon2 = PasswordHasher(time_cost, memory_kib, lanes, DIGEST_BYTES, SALT_BYTES, type=Type.ID)
        count = threads or _cores()
        self._pool = ThreadPoolExecutor(count, "doorward-hash", initializer=_step_back)
        self._places = threading.BoundedSemaphore(count + queue)
        # First in the queue, so it is there before any thread asks for it, and no caller pays for making it.
        self._decoy: Future[str] = self._pool.submit(self._hash, secrets.token_urlsafe())

    @property
    def cost(self) -> Cost:
        """Today's; see `ports.Hasher`."""
        return Cost(self._today.memory_kib, self._today.time_cost, self._today.lanes)

    async def hash(self, password: str) -> str:
        """The PHC string of `password` (already in NFC). Raises Unavailable when the queue is full."""
        return await self._run(partial(self._hash, password))

    async def verify(self, digest: str | None, password: str) -> Verified:
        """Check `password`; see `ports.Hasher`. Raises Unavailable when the queue is full."""
        return await self._run(partial(self._verify, digest, password))

    async def derive(self, secret: str, salt: bytes, cost: Cost) -> bytes:
        """32 bytes of Argon2id; see `ports.Hasher`. Raises Unavailable when the queue is full."""
        return await self._run(partial(_derive, secret, salt, cost))

    def recognises(self, digest: str) -> bool:
        """Tell whether `verify` can check this digest at a bearable cost; an importer refuses the others."""
        parameters = _parameters(digest)
        return parse(digest) is not None if parameters is None else parameters.is_bearable

    def close(self) -> None:
        """Let go of the threads; hashes that have not begun are cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Unavailable(retry_after_seconds=2, reason="hash queue is full")
        try:
            future = self._pool.submit(work)
        except RuntimeError:  # closed
            self._places.release()
            raise Unavailable(retry_after_seconds=2, reason="hash pool is closed") from None
        # On the future of the pool, so that a caller who went away gives no place back before the thread is free.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def _hash(self, password: str) -> str:
        return self._argon2.hash(_bytes(password))

    def _verify(self, digest: str | None, password: str) -> Verified:
        secret = _bytes(password)
        parameters = None if digest is None else _parameters(digest)
        if digest is not None and parameters is not None:
            is_right, is_outdated = self._matches(digest, secret), not parameters.at_least(self._today)
        else:
            foreign = None if digest is None else parse(digest)
            is_right, is_outdated = foreign is not None and foreign.matches(secret), True
        if is_outdated and not is_right:
            # No digest, or one of another cost: one of today's is paid as well, as by every wrong password (C16).
            # A right password pays it when it is hashed anew. A digest of another system costs its own time on top,
            # so until its first sign-in an imported user can be told from nobody (docs/threat-model.md).
            self._matches(self._decoy.result(), secret)
        return Verified(is_right, is_right and is_outdated)

    def _matches(self, digest: str, secret: bytes) -> bool:
        try:
            return self._argon2.verify(digest, secret)
        except VerificationError:
            return False


def _derive(secret: str, salt: bytes, cost: Cost) -> bytes:
    return hash_secret_raw(_bytes(secret), salt, cost.time_cost, cost.memory_kib, cost.lanes, DIGEST_BYTES, Type.ID)


def _parameters(digest: str) -> _Parameters | None:
    """Read an Argon2 digest; None when it is none."""
    found = _PHC.fullmatch(digest)
    if found is None:
        return None
    # Base64 without padding: four characters for three bytes.
    salt_bytes, digest_bytes = len(found[6]) * 3 // 4, len(found[7]) * 3 // 4
    return _Parameters(found[1], int(found[2]), int(found[3]), int(found[4]), int(found[5]), salt_bytes, digest_bytes)


def _bytes(password: str) -> bytes:
    # Half of a surrogate pair has no UTF-8 form; such text is only ever wrong, and no reason to fail.
    return password.encode("utf-8", "surrogatepass")


def _cores() -> int:
    # On Linux the cores this process may use, which in a container are fewer than the machine has.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _step_back() -> None:
    # Linux alone gives a thread a niceness of its own; elsewhere the native id is no process id.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
