"""A user's own copy of everything that is kept of them: one ZIP of JSON and files (UX-58, C26).

Every room says itself what it keeps of somebody (`Exporting`), and leaves out its secrets and what concerns others.
"""

import asyncio
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final, Protocol, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.kernel.caller import Caller
from doorward.kernel.errors import RateLimited
from doorward.kernel.instant import SECOND, Instant, to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.messages import Kind, export_messages
from doorward.ports import Admission, Clock, Database, Limiter
from doorward.sessions import Session, Sessions
from doorward.sql import Work
from doorward.users import ContactKind, UsersService, list_contacts

EXPORT: Final = "export"  # the table of limits.toml
README: Final = "README.txt"
FILES: Final = "files/"  # begins the names of what people have uploaded
_WHOLE_NAME = re.compile(r"(?:files/(?:[a-z0-9_-]+/)*)?[A-Za-z0-9_-][A-Za-z0-9._-]*")
_FOLDER = re.compile(r"files/(?:[a-z0-9_-]+/)*")
_UID_LONGEST: Final = 40  # characters of a file's name
_SENT_BY: Final[Mapping[ContactKind, Kind]] = {"email": "mail", "phone": "sms"}

Content: TypeAlias = bytes | Mapping[str, Any] | Sequence[Any]
"""A file as it is, or what becomes JSON; where the part's name ends in "/", such contents by the names of files."""
Say: TypeAlias = Callable[[str], str]


class Exporting(Protocol):
    """What a room puts in. A room that is added later is one more of these in `app.exports`."""

    @property
    def name(self) -> str:
        """The name of its file, such as notes.json; or files/ or files/notes/, where it puts in any number of them."""
        ...

    @property
    def about(self) -> str:
        """What is in it, for the reader; a msgid."""
        ...

    def collect(self, user_id: str, now: Instant) -> Work[Content]:
        """What there is of one user. Neither a secret, nor what would prove one, nor anything of somebody else."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One `Exporting` made of a room's function."""

    name: str
    about: str
    collect: Callable[[str, Instant], Work[Any]]


@dataclass(frozen=True, slots=True)
class Archive:
    """A ZIP on its way to its owner."""

    filename: str  # letters, digits, hyphens and a dot
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Export:
    """Hands users what is kept of them. Raises ValueError for parts whose names would meet, or lead elsewhere."""

    db: Database
    clock: Clock
    users: UsersService
    sessions: Sessions
    audit: AuditTrail
    limiter: Limiter
    refusals: Refusals
    site_name: str
    parts: Sequence[Exporting]

    def __post_init__(self) -> None:
        """Look at the names."""
        names = [part.name for part in self.parts]
        wrong = [name for name in names if not (_FOLDER if name.endswith("/") else _WHOLE_NAME).fullmatch(name)]
        if wrong or len({README, *names}) <= len(names):
            raise ValueError(f"these cannot all be in one archive: {names}")

    async def make(self, session: Session, caller: Caller, say: Say) -> Archive:
        """Everything that is kept of the owner of `session`. `say`: translates the sentences of its README.

        It is audited before it is read. On SQLite it is of one moment. Raises ReauthenticationNeeded, RateLimited,
        NotSignedIn (the session has ended meanwhile), NotFound, Unavailable.
        """
        session.require_fresh(self.clock.now())
        async with await self._admit(session, caller):
            await self.db.write(lambda: self._note(session, caller))
            now = self.clock.now()
            found = await self.db.search(self._collect(session.user_id, now))
        readme = self._readme(session, now, say)
        content = await asyncio.to_thread(_packed, readme, found, now)
        return Archive(_filename(session.uid, now), content)

    async def _admit(self, session: Session, caller: Caller) -> Admission:
        try:
            return await self.limiter.admit(EXPORT, caller.address, {"account": session.user_id})
        except RateLimited as refusal:
            await self.refusals.limited(EXPORT, refusal, caller)
            raise

    def _note(self, session: Session, caller: Caller) -> Work[None]:
        yield from self.users.locked(session.user_id)
        yield from self.sessions.require_live(session)
        yield from self.audit.record(
            Event.SENSITIVE_READ, Outcome.SUCCESS, caller, user_id=session.user_id, actor_id=session.user_id,
            session_id=session.id, payload={"what": "export"},
        )  # fmt: skip

    def _collect(self, user_id: str, now: Instant) -> Work[list[tuple[str, Content]]]:
        found: list[tuple[str, Content]] = []
        for part in self.parts:
            content = yield from part.collect(user_id, now)
            found.append((part.name, content))
        return found

    def _readme(self, session: Session, now: Instant, say: Say) -> str:
        who = {"name": session.uid, "site": self.site_name, "when": to_rfc3339(now)}
        about = [f"{part.name}\n    {say(part.about)}" for part in self.parts]
        return "\n\n".join([say(_TITLE) % who, say(_HOW), *about, say(_NOT_IN_IT)]) + "\n"


_TITLE: Final = msgid("Everything that %(site)s keeps of the account %(name)s, as of %(when)s.")
_HOW: Final = msgid(
    "Files that end in .json open in any text editor and can be read by programs. Times are in UTC (RFC 3339)."
)
_NOT_IN_IT: Final = msgid(
    "Not in it: your password and other secrets, which are kept only in forms that nobody can read, what the messages "
    "to you said, and what concerns other people."
)


def export_sent(user_id: str, _now: Instant) -> Work[list[dict[str, Any]]]:
    """What was sent to a user's proven addresses and numbers, since they are proven."""
    contacts = yield from list_contacts(user_id)
    proven = [(_SENT_BY[kind], value, verified) for kind, value, verified, _ in contacts if verified is not None]
    return (yield from export_messages(proven))


def _packed(readme: str, found: Sequence[tuple[str, Content]], now: Instant) -> bytes:
    """The ZIP. The same contents at the same time give the same bytes."""
    at = datetime.fromtimestamp(now // SECOND, UTC)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ((README, readme.encode()), *_files(found)):
            entry = zipfile.ZipInfo(name, at.timetuple()[:6])
            entry.external_attr = 0o600 << 16  # for whoever unpacks it: nobody else's to read
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _files(found: Sequence[tuple[str, Content]]) -> Iterator[tuple[str, bytes]]:
    for name, content in found:
        if not name.endswith("/"):
            yield name, _encoded(content)
        elif isinstance(content, Mapping):
            for inner in sorted(content):
                if not _WHOLE_NAME.fullmatch(inner) or "/" in inner:
                    raise ValueError(f"{name} has a file whose name leads elsewhere")
                yield name + inner, _encoded(content[inner])


def _encoded(content: Content) -> bytes:
    return content if isinstance(content, bytes) else f"{json.dumps(content, ensure_ascii=False, indent=2)}\n".encode()


def _filename(uid: str, now: Instant) -> str:
    plain = re.sub(r"[^A-Za-z0-9]+", "-", uid)[:_UID_LONGEST].strip("-") or "account"
    return f"doorward-{plain}-{datetime.fromtimestamp(now // SECOND, UTC):%Y-%m-%d}.zip"
