"""Moving users in from another system, their passwords with them.

A record is imported whole or refused with every reason. Passwords stay in the digest they came in until their owner
signs in. `legacy_id` names each record for ever, so importing a file again adds only what is missing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import islice
from typing import Final, Literal, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome
from doorward.events import Tell, tell_nobody
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.ids import new_id
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.text import flaw, uid_key
from doorward.ports import Clock, Database
from doorward.sql import Work
from doorward.users import store
from doorward.users.fields import CORE
from doorward.users.forms import read_text
from doorward.users.model import NewUser
from doorward.users.schema import Schema
from doorward.users.sources import DIGEST, Leftover, Record, Source

Fate: TypeAlias = Literal["imported", "present", "taken"]

BATCH: Final = 500  # records in one transaction
_LEGACY_ID_LONGEST: Final = 200
_SHOWN_LONGEST: Final = 80
_KNOWN_DIGESTS: Final = ("$", "pbkdf2", "scrypt", "bcrypt", "argon2")
_TAKEN: Final = FieldError("uid", "taken", "Somebody else has this username, or one that looks like it")


@dataclass(frozen=True, slots=True)
class Refused:
    """One line of the report: what was not imported, and every reason."""

    legacy_id: str
    uid: str
    errors: tuple[FieldError, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of the records. `undeclared`: names in the source that no declared field has; left out."""

    imported: int = 0
    present: int = 0  # imported before
    refused: int = 0
    leftover: int = 0  # no users at all
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ready:
    """A record in which nothing is wrong, though its handle may be taken."""

    new: NewUser
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports records.

    `recognises`: whether a password digest can be verified at a bearable cost. `set_password`: stores one for a user.
    """

    db: Database
    clock: Clock
    audit: AuditTrail
    schema: Schema
    recognises: Callable[[str], bool]
    set_password: Callable[[str, str], Work[None]]
    tell: Tell = tell_nobody

    async def import_users(self, source: Source, report: Callable[[Refused], None], *, dry_run: bool = False) -> Totals:
        """Read `source` to its end, 500 records a transaction, and tell `report` of all that is not imported.

        `dry_run` writes nothing and tells what would happen. Raises Malformed when the source cannot be read on, and
        Unavailable; what was imported until then stays.
        """
        counts: Counter[str] = Counter()
        undeclared: dict[str, None] = {}
        seen: set[str] = set()
        while batch := list(islice(source, BATCH)):
            undeclared |= dict.fromkeys(self._undeclared(batch))
            checked = [self._check(item) for item in batch]
            ready = [one for one in checked if isinstance(one, _Ready)]
            fates = await (self._foresee(ready, seen) if dry_run else self._write(ready))
            counts += _tell(batch, checked, fates, report)
        return Totals(**counts, undeclared=tuple(undeclared))

    # Checking -----------------------------------------------------------------------------------------------------

    def _undeclared(self, batch: Iterable[Record | Leftover]) -> Iterator[str]:
        records = (item for item in batch if isinstance(item, Record))
        return (name for record in records for name in record.body if not self._knows(name))

    def _knows(self, name: str) -> bool:
        return name in CORE or name in self.schema.declarations

    def _check(self, item: Record | Leftover) -> _Ready | Refused:
        if isinstance(item, Leftover):
            return Refused(item.legacy_id, "", (FieldError("", "leftover", item.why),))
        errors: list[FieldError] = []
        new: NewUser | None = None
        try:
            new = self.schema.validate_import(self._values(item), today=self._today())
        except Invalid as invalid:
            errors += invalid.errors
        errors += [*self._record_errors(item), *self._digest_errors(item.digest)]
        if errors or new is None or item.digest is None:
            return _refuse(item, errors)
        return _Ready(replace(new, legacy_id=item.legacy_id), item.digest)

    def _values(self, record: Record) -> dict[str, object]:
        """The body without what is not declared, and texts as the values they mean."""
        declared = self.schema.declarations
        return {
            name: read_text(declared[name].type, value) if record.text and name in declared else value
            for name, value in record.body.items()
            if self._knows(name)
        }

    def _record_errors(self, record: Record) -> Iterator[FieldError]:
        if record.fault:
            yield FieldError("", "malformed", record.fault)
        if len(record.legacy_id) > _LEGACY_ID_LONGEST or flaw(record.legacy_id) is not None:
            yield FieldError("id", "malformed", "The id is too long or contains control characters")

    def _digest_errors(self, digest: str | None) -> Iterator[FieldError]:
        if digest is None:
            yield FieldError(DIGEST, "required", "There is no password digest")
        elif not (digest.isascii() and self.recognises(digest)):
            yield _digest_error(digest)

    def _today(self) -> date:
        return datetime.fromtimestamp(self.clock.now() // SECOND, UTC).date()

    # Writing ------------------------------------------------------------------------------------------------------

    async def _write(self, batch: Sequence[_Ready]) -> list[Fate]:
        now = self.clock.now()

        def work() -> Work[list[Fate]]:
            fates: list[Fate] = []
            for number, ready in enumerate(batch):
                fates.append((yield from self._add(ready, now + number)))
            return fates

        return await self.db.write(work)

    def _add(self, ready: _Ready, at: Instant) -> Work[Fate]:
        """Add one user. `at` differs by microseconds, so that their order by creation is that of the source."""
        if (yield from _is_present(ready)):
            return "present"
        user_id = new_id(at)
        if not (yield from store.insert_user(user_id, ready.new, (), at)):
            return "taken"
        yield from self.set_password(user_id, ready.digest)
        payload = {"legacy_id": ready.new.legacy_id}
        yield from self.tell("user.created", user_id, payload, at)
        yield from self.audit.record(
            Event.USER_CREATED, Outcome.SUCCESS, LOCAL_OPERATOR, user_id=user_id, payload=payload
        )
        return "imported"

    async def _foresee(self, batch: Sequence[_Ready], seen: set[str]) -> list[Fate]:
        """What `_write` would do. `seen`: what earlier records of the source would have taken."""
        found = await self.db.search(_look_up(batch))
        return [_foretell(ready, fate, seen) for ready, fate in zip(batch, found, strict=True)]


def _look_up(batch: Sequence[_Ready]) -> Work[list[Fate]]:
    fates: list[Fate] = []
    for ready in batch:
        if (yield from _is_present(ready)):
            fates.append("present")
        else:
            is_taken = (yield from store.find_owner_of_uid(ready.new.uid)) is not None
            fates.append("taken" if is_taken else "imported")
    return fates


def _foretell(ready: _Ready, fate: Fate, seen: set[str]) -> Fate:
    record, handle = f"record {ready.new.legacy_id}", f"handle {uid_key(ready.new.uid)}"
    if record in seen:
        return "present"
    if fate == "imported" and handle in seen:
        return "taken"
    if fate == "imported":
        seen |= {record, handle}
    return fate


def _is_present(ready: _Ready) -> Work[bool]:
    legacy_id = ready.new.legacy_id
    return legacy_id is not None and (yield from store.find_by_legacy_id(legacy_id)) is not None


def _tell(
    batch: Sequence[Record | Leftover],
    checked: Sequence[_Ready | Refused],
    fates: Iterable[Fate],
    report: Callable[[Refused], None],
) -> Counter[str]:
    """Report what is not imported, in the order of the source, and count."""
    counts: Counter[str] = Counter()
    following = iter(fates)
    for item, one in zip(batch, checked, strict=True):
        refused = one if isinstance(one, Refused) else None
        fate: str = next(following) if refused is None else "refused"
        if isinstance(item, Leftover):
            fate = "leftover"
        elif fate == "taken":
            fate, refused = "refused", _refuse(item, [_TAKEN])
        counts[fate] += 1
        if refused is not None:
            report(refused)
    return counts


def _refuse(record: Record, errors: Iterable[FieldError]) -> Refused:
    return Refused(_printable(record.legacy_id), _printable(record.body.get("uid")), tuple(errors))


def _printable(value: object) -> str:
    """Text for a terminal, which what stands in a foreign file must not steer."""
    text = "" if value is None else str(value)[:_SHOWN_LONGEST]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _digest_error(digest: str) -> FieldError:
    """Why a digest is refused; what it is stays unsaid, for it may be a password."""
    if digest.startswith(_KNOWN_DIGESTS):
        return FieldError(DIGEST, "broken_digest", "The password digest is cut off, malformed or too costly to verify")
    if "$" in digest:
        return FieldError(DIGEST, "unknown_digest", "The password digest is of an unknown kind")
    return FieldError(DIGEST, "not_a_digest", "The password is no digest; passwords in plain text are not imported")
