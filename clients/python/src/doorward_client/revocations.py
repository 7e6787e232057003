"""What the issuer has ended: the state that a revocation feed keeps, whoever reads the feed and however."""

from dataclasses import dataclass, field

from doorward_client.clock import Clock
from doorward_client.strict_json import read_object

STALE_SECONDS = 2.0
KEPT_SECONDS = 900.0  # longer than any token lives, with room for clocks that differ
MAX_LINE_BYTES = 4096
KINDS = ("session", "user", "family", "token")


@dataclass(slots=True)
class Grant:
    """What of a token a revocation may name. Times in milliseconds since the epoch."""

    sub: str
    issued_at: int
    sid: str | None
    fid: str | None
    jti: str


@dataclass
class Revocations:
    """Everything ended lately. `version` grows with each, so that who has checked a token need not check it again."""

    clock: Clock
    last: int = 0
    version: int = 0
    fresh_until: float = 0.0
    _ended: dict[str, dict[str, tuple[int, float]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _caught_up: bool = False
    _greeted: bool = False
    _purge_at: float = 0.0

    def connected(self) -> None:
        """A new stream begins: what ended meanwhile comes between its first heartbeat and its second."""
        self._greeted = self._caught_up = False

    def forget_freshness(self) -> None:
        """Nobody reads for us any more, as in the child of a fork."""
        self.fresh_until = 0.0

    @property
    def place(self) -> dict[str, str]:
        """Where to go on reading. Without a number the server tells what can still matter, not all that ever ended."""
        return {"after": str(self.last or "")}

    @property
    def fresh(self) -> bool:
        """Whether the last word of the issuer is at most two seconds old."""
        return self.clock.monotonic() < self.fresh_until

    def read(self, line: bytes) -> None:
        """Take one line of the feed. Raises ValueError when it is none; the stream is then worth nothing."""
        said = read_object(line)
        seq = said.get("seq")
        if type(seq) is not int or seq < 0:
            raise ValueError("seq")
        if said.get("heartbeat") is True:
            self._caught_up, self._greeted = self._greeted, True
            seq = seq if self._caught_up else 0  # the greeting names what is still to come
        else:
            self._end(said.get("kind"), said.get("id"), said.get("at"))
        self.last = max(self.last, seq)  # they may come out of order; the server sends again what was near the last
        if self._caught_up:
            self.fresh_until = self.clock.monotonic() + STALE_SECONDS

    def revoked(self, grant: Grant) -> bool:
        """Whether any of what a token rests on has ended."""
        ended = self._ended
        if grant.sid in ended["session"] or grant.fid in ended["family"] or grant.jti in ended["token"]:
            return True
        user = ended["user"].get(grant.sub)
        return user is not None and grant.issued_at < user[0]

    def _end(self, kind: object, name: object, at: object) -> None:
        if not isinstance(kind, str) or not isinstance(name, str) or type(at) is not int:
            raise ValueError("kind, id or at")
        now = self.clock.monotonic()
        if kind in self._ended:  # a kind of the future is about what we do not know
            before = self._ended[kind].get(name, (0, 0.0))[0]
            self._ended[kind][name] = (max(before, at), now + KEPT_SECONDS)
            self.version += 1
        if now >= self._purge_at:
            self._purge_at = now + KEPT_SECONDS / 10
            for names in self._ended.values():
                for old in [name for name, (_, until) in names.items() if until <= now]:
                    del names[old]


@dataclass
class Lines:
    """Cuts a stream of bytes into lines."""

    _rest: bytes = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Every line that this chunk completes. Raises ValueError when one grows beyond all measure."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ValueError("a line without end")
        return [line for line in lines if line.strip()]
