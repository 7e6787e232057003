"""The sealing key is replaced while others read and write: nothing is lost, nothing is left under the old one (C19)."""

import asyncio
import io
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import LargeBinary, Text, delete, select, update
from sqlalchemy import bindparam as p

from doorward import log
from doorward.adapters.database_limiter import DatabaseLimiter
from doorward.adapters.keyring import ENVIRONMENT_KEY, SealingKey, SealingKeyRefused, read_file
from doorward.adapters.sealing import KeyFileSealer, open_sealer_of
from doorward.audit import AuditReader, AuditTrail, Event, Outcome
from doorward.audit.store import list_events
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import RateLimited, Unavailable
from doorward.kernel.limits import load_limits
from doorward.ports import Database
from doorward.sealing import Begun, Forgotten, Prepared, Rotated, SealingKeys, StillNeeded
from doorward.sql import SEALED, Row, Statement, Work, metadata, purpose_of
from doorward.sql.tables import challenge, confirmation, message, setting
from doorward.testing import MovableClock
from tests.support.databases import open_database
from tests.support.logs import restored_logging
from tests.support.sealed import add, fill, opened, sealed_values

T = TypeVar("T")
MANY = 250  # more than two batches
_SETTINGS = Statement(select(setting.c.key, setting.c.value).where(setting.c.key.like("sealing.%")))
_FORGET = Statement(delete(setting).where(setting.c.key == p("name")))
_CHANGE = Statement(update(message).where(message.c.id == p("which")).values(values_sealed=p("sealed")))


def room(database: Database, sealer: KeyFileSealer, clock: MovableClock) -> SealingKeys:
    """The service as a command has it, but that it waits for nobody."""
    return SealingKeys(database, sealer, sealer, AuditTrail(sealer, clock), late_seconds=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sealing.key"


@pytest.fixture
async def sealer(database: Database, path: Path) -> KeyFileSealer:
    """The sealer of the database, as a running server has it."""
    return await open_sealer_of(database, path, {})


@pytest.fixture
async def keys(database: Database, sealer: KeyFileSealer, path: Path, clock: MovableClock) -> SealingKeys:
    """What a command has that is run beside it."""
    assert sealer.key_id
    return room(database, await open_sealer_of(database, path, {}), clock)


async def rotate(keys: SealingKeys, *, alone: bool = True) -> Rotated:
    begun = await keys.begin(alone=alone)
    assert isinstance(begun, Begun)
    done = await keys.seal_anew(begun)
    assert isinstance(done, Rotated)
    return done


def settings() -> Work[dict[str, str]]:
    return {row[0]: row[1] for row in (yield _SETTINGS())}


def replace(path: Path, text: str | None = None, mode: int = 0o600) -> None:
    """What an operator does by hand."""
    path.write_text(path.read_text() if text is None else text)
    path.chmod(mode)


async def under(database: Database) -> set[str]:
    """The keys that something is sealed under."""
    return {sealed[1:9].hex() for sealed in (await sealed_values(database)).values()}


async def events(database: Database) -> dict[str, tuple[str, str, dict[str, object]]]:
    """What the audit holds of sealing keys, by step. A clock that stands still puts rows in no order."""
    rows = [(row.event, row.outcome, json.loads(row.payload or "{}")) for row in await database.search(list_events())]
    found = {str(row[2].pop("step")): row for row in rows if row[2].pop("object") == "sealing key"}
    assert len(found) == len(rows)
    return found


# The schema


def test_no_sealed_column_is_forgotten() -> None:
    """One that is sealed for its row's primary key, and named so, is sealed anew with the others."""
    named = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns
             if "sealed" in column.name}  # fmt: skip
    assert named == {(table, column.name) for table, column in SEALED.items()}
    for table, column in SEALED.items():
        assert column.name.endswith("_sealed")
        assert isinstance(column.type, LargeBinary)
        (key,) = metadata.tables[table].primary_key.columns
        assert isinstance(key.type, Text)


def test_nothing_can_be_sealed_for_a_table_that_no_rotation_would_find() -> None:
    with pytest.raises(KeyError):
        purpose_of("users", "u1")


# Rotating


@pytest.mark.asvs("11.2.2")
@pytest.mark.asvs("13.3.4")
async def test_everything_is_sealed_under_the_new_key_and_still_opens(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    await fill(database, sealer, rows=3)
    for _ in range(MANY - 3):
        await add(database, sealer, SEALED["message"])
    before, secrets = await sealed_values(database), await opened(database, sealer)
    done = await rotate(keys)
    after = await sealed_values(database)
    assert done.values == {**dict.fromkeys(SEALED, 3), "message": MANY}
    assert (done.former, done.unopened) == (sealer.key_id, ())
    assert await under(database) == {done.key_id}
    assert not set(before.values()) & set(after.values())
    assert await opened(database, sealer) == await opened(database, keys.sealer) == secrets
    assert [(one.id, one.standing) for one in await keys.keys()] == [(done.former, "opens"), (done.key_id, "seals")]
    assert [one.values for one in await keys.keys()] == [0, MANY + 3 * (len(SEALED) - 1)]


async def test_what_keeps_nothing_stays_empty(database: Database, sealer: KeyFileSealer, keys: SealingKeys) -> None:
    await fill(database, sealer)
    empty = Statement(update(confirmation).values(payload_sealed=p("nothing")))
    await database.write(lambda: run(empty, nothing=b""))
    await database.write(lambda: run(Statement(update(message).values(values_sealed=p("nothing"))), nothing=None))
    done = await rotate(keys)
    assert done.values == dict.fromkeys(SEALED.keys() - {"message", "confirmation"}, 1)
    assert done.unopened == ()


def run(statement: Statement, **params: str | bytes | None) -> Work[list[Row]]:
    return list((yield statement(**params)))


async def test_nothing_but_the_sealed_value_changes(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    """A version that went up would make a use of the authenticator at that moment fail."""
    await fill(database, sealer)

    async def rest() -> dict[str, list[Row]]:
        return {
            table: await database.search(
                run(Statement(select(*(one for one in metadata.tables[table].columns if one is not column))))
            )
            for table, column in SEALED.items()
        }

    before = await rest()
    await rotate(keys)
    assert await rest() == before


async def test_every_step_is_audited_by_the_ids_of_the_keys(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    await fill(database, sealer)
    done = await rotate(keys)
    await keys.forget_old()
    way = {"key": done.key_id, "former": done.former}
    assert await events(database) == {
        "prepared": ("sensitive_create", "success", {"key": done.key_id}),
        "activated": ("sensitive_update", "success", way),
        "sealed anew": ("sensitive_update", "success", {**way, "unopened": 0, "values": dict.fromkeys(SEALED, 1)}),
        "forgotten": ("sensitive_delete", "success", {"keys": [done.former]}),
    }


async def test_without_being_alone_a_key_is_only_prepared_at_first(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    await fill(database, sealer)
    prepared = await keys.begin(alone=False)
    assert prepared == Prepared(keys.ring.key_ids[-1], made=True)
    assert keys.sealer.key_id == sealer.key_id
    assert await keys.prepare() == Prepared(prepared.key_id, made=False)
    assert [one.standing for one in await keys.keys()] == ["seals", "prepared"]
    assert (await rotate(keys, alone=False)).key_id == prepared.key_id
    assert len(keys.ring.key_ids) == 2


async def test_a_key_put_into_the_environment_by_hand_is_the_one_that_is_prepared(
    database: Database, clock: MovableClock, tmp_path: Path
) -> None:
    old, new = SealingKey.new(), SealingKey.new()
    first = await open_sealer_of(database, tmp_path / "none", {ENVIRONMENT_KEY: old.text})
    await fill(database, first)
    with pytest.raises(SealingKeyRefused, match="no command can change"):
        await room(database, first, clock).begin(alone=True)
    assert first.key_id == old.id
    both = {ENVIRONMENT_KEY: f"{old.text} {new.text}"}
    keys = room(database, await open_sealer_of(database, tmp_path / "none", both), clock)
    assert keys.sealer.key_id == old.id
    assert (await rotate(keys)).key_id == new.id
    with pytest.raises(SealingKeyRefused, match="Take the others out by hand"):
        await keys.forget_old()
    alone = await open_sealer_of(database, tmp_path / "none", {ENVIRONMENT_KEY: new.text})
    assert await opened(database, alone) == await opened(database, keys.sealer)


# Servers that run


async def test_a_server_opens_what_is_under_a_key_that_it_has_not_heard_of(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, clock: MovableClock
) -> None:
    server = room(database, sealer, clock)
    begun = await keys.begin(alone=True)
    ours, purpose = keys.sealer.seal(b"secret", "test"), "test"
    assert sealer.key_id != begun.key_id
    assert sealer.open(ours, purpose) == b"secret"
    assert sealer.key_id != begun.key_id  # it learns from the database which key seals
    await server.follow()
    assert sealer.key_id == begun.key_id
    assert keys.sealer.open(sealer.seal(b"secret", purpose), purpose) == b"secret"


async def test_a_file_that_others_can_read_is_told_once_and_changes_nothing(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    server = room(database, sealer, clock)
    begun = await keys.begin(alone=True)
    replace(path, mode=0o644)
    sealed = keys.sealer.seal(b"secret", "test")
    with restored_logging():
        log.configure(form="json", stream=(lines := io.StringIO()))
        for _ in range(3):
            await server.follow()
    assert lines.getvalue().count("sealing_key_refused") == 1
    assert "chmod 600" in lines.getvalue()
    with pytest.raises(ValueError, match="another key"):
        sealer.open(sealed, "test")
    replace(path, mode=0o600)
    await server.follow()
    assert sealer.key_id == begun.key_id
    await server.check()


async def test_a_key_that_is_known_seals_whatever_has_become_of_the_file(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    server = room(database, sealer, clock)
    await keys.prepare()
    await server.follow()
    begun = await keys.begin(alone=False)
    replace(path, mode=0o644)
    await server.follow()
    assert sealer.key_id == begun.key_id != keys.ring.key_ids[0]
    await server.check()


async def test_a_file_without_the_key_that_seals_is_not_taken_over(
    database: Database, sealer: KeyFileSealer, path: Path, clock: MovableClock
) -> None:
    server, sealed = room(database, sealer, clock), sealer.seal(b"secret", "test")
    replace(path, SealingKey.new().text)
    await server.follow()
    with pytest.raises(ValueError, match="another key"):
        sealer.open(b"\x01" + b"unknown!" + sealed[9:], "test")
    assert sealer.open(sealed, "test") == b"secret"
    await server.check()


async def test_a_machine_without_the_new_key_is_not_ready_until_it_has_it(
    database: Database, keys: SealingKeys, tmp_path: Path, path: Path, clock: MovableClock
) -> None:
    copy = tmp_path / "copy.key"
    shutil.copy(path, copy)
    elsewhere = await open_sealer_of(database, copy, {})
    server = room(database, elsewhere, clock)
    done = await rotate(keys)
    await server.check()
    await server.follow()
    assert elsewhere.key_id == done.former
    with pytest.raises(Unavailable):
        await server.check()
    shutil.copy(path, copy)
    await server.follow()
    await server.check()
    assert elsewhere.key_id == done.key_id


class Meddled:
    """A real database; after each search somebody else does something, knowing what was found."""

    def __init__(self, database: Database, meddle: Callable[[object], Awaitable[None]]) -> None:
        self.read, self.write, self.alter = database.read, database.write, database.alter
        self.listen, self.close, self.dialect = database.listen, database.close, database.dialect
        self._search, self._meddle = database.search, meddle

    async def search(self, work: Work[T]) -> T:
        found = await self._search(work)
        await self._meddle(found)
        return found


async def test_a_row_that_changes_meanwhile_keeps_its_change_and_is_tried_again(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    """`sealer` stands for a server that seals under the old key for a while."""
    which = await add(database, sealer, SEALED["message"])
    changes = iter(range(3))

    async def meddle(found: object) -> None:
        if found and (number := next(changes, None)) is not None:
            text = sealer.seal(b"change %d" % number, purpose_of("message", which))
            await database.write(lambda: run(_CHANGE, which=which, sealed=text))

    keys.db = Meddled(database, meddle)
    done = await rotate(keys)
    assert await opened(database, keys.sealer) == {purpose_of("message", which): b"change 2"}
    assert await under(database) == {done.key_id}


async def test_a_row_that_goes_meanwhile_stays_gone(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    await add(database, sealer, SEALED["challenge"])

    async def meddle(_found: object) -> None:
        await database.write(lambda: run(Statement(delete(challenge))))

    keys.db = Meddled(database, meddle)
    assert (await rotate(keys)).values == {}
    assert await sealed_values(database) == {}


async def test_a_server_that_keeps_using_the_old_key_keeps_the_rotation_open(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys
) -> None:
    async def meddle(_found: object) -> None:
        await add(database, sealer, SEALED["message"])

    await add(database, sealer, SEALED["message"])
    keys.db = Meddled(database, meddle)
    begun = await keys.begin(alone=True)
    assert isinstance(begun, Begun)
    left = await keys.seal_anew(begun)
    assert isinstance(left, StillNeeded)
    assert left.values > 0
    keys.db = database
    assert isinstance(await keys.forget_old(), StillNeeded)
    assert await keys.begin(alone=True) == Begun(begun.key_id, begun.former, resumed=True)


# Interrupted


async def test_a_key_that_was_made_before_an_interruption_is_used(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    await fill(database, sealer)
    made = read_file(path).with_new_key().keys[-1].id
    later = room(database, await open_sealer_of(database, path, {}), clock)
    assert (await rotate(later)).key_id == made
    assert len(later.ring.key_ids) == 2
    assert await under(database) == {made}
    assert await opened(database, keys.sealer)


async def test_an_interrupted_rotation_goes_on_without_another_key(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    await fill(database, sealer)
    begun = await keys.begin(alone=True)
    later = room(database, await open_sealer_of(database, path, {}), clock)
    assert await later.forget_old() == StillNeeded(len(SEALED))
    again = await later.begin(alone=False)
    assert again == Begun(begun.key_id, sealer.key_id, resumed=True)
    assert isinstance(await later.seal_anew(again), Rotated)
    assert await under(database) == {begun.key_id}
    assert len(later.ring.key_ids) == 2
    assert set(await events(database)) == {"prepared", "activated", "sealed anew"}


async def test_no_key_goes_before_a_rotation_is_finished(database: Database, keys: SealingKeys) -> None:
    """Nothing may be under the old one, and something on its way."""
    begun = await keys.begin(alone=True)
    assert isinstance(begun, Begun)
    assert await sealed_values(database) == {}
    assert await keys.forget_old() == StillNeeded(0)
    await keys.seal_anew(begun)
    assert await keys.forget_old() == Forgotten([begun.former])


async def test_two_commands_at_once_go_on_with_one_key(
    database: Database, sealer: KeyFileSealer, database_address: str, path: Path, clock: MovableClock
) -> None:
    await fill(database, sealer, rows=5)
    databases = [await open_database(database_address) for _ in range(3)]
    rooms = [room(one, await open_sealer_of(one, path, {}), clock) for one in databases]
    done = await asyncio.gather(*(rotate(one) for one in rooms))
    (sealing,) = {one.sealer.key_id for one in rooms}
    assert await under(database) == {sealing}
    assert {one.key_id for one in done} == {sealing}
    assert await opened(database, sealer)
    for one in databases:
        await one.close()


async def test_of_two_who_would_let_a_key_seal_one_does(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path
) -> None:
    second, third = (key.id for key in read_file(path).with_new_key().with_new_key().keys[1:])
    for one in (sealer, keys.sealer):
        await one.follow(database)
    assert await database.write(lambda: sealer.activate(second))
    assert not await database.write(lambda: keys.ring.activate(third))
    assert (await open_sealer_of(database, path, {})).key_id == second


async def test_a_command_that_was_overtaken_does_not_seal_under_a_key_of_the_past(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    await fill(database, sealer)
    others = room(database, await open_sealer_of(database, path, {}), clock)
    overtaken = False

    async def meddle(_found: object) -> None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            await rotate(others)  # to the end of ours
            await rotate(others)

    keys.db = Meddled(database, meddle)
    await rotate(keys)
    assert await under(database) == {others.sealer.key_id}
    assert len(others.ring.key_ids) == 3


# What does not open


async def test_what_opens_under_no_key_is_left_as_it_is_and_told(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, tmp_path: Path
) -> None:
    await fill(database, sealer)
    broken, stranger = [await add(database, sealer, SEALED["message"]) for _ in range(2)]
    wrong = sealer.seal(b"of another row", "message:another")
    other = KeyFileSealer.open_or_create(tmp_path / "other.key")
    unknown = other.seal(b"secret", purpose_of("message", stranger))
    await database.write(lambda: run(_CHANGE, which=broken, sealed=wrong))
    await database.write(lambda: run(_CHANGE, which=stranger, sealed=unknown))
    done = await rotate(keys)
    assert sorted(done.unopened) == sorted([f"message {broken}", f"message {stranger}"])
    assert done.values == dict.fromkeys(SEALED, 1)
    values = await sealed_values(database)
    assert (values[f"message:{broken}"], values[f"message:{stranger}"]) == (wrong, unknown)
    assert [(one.id, one.standing, one.values) for one in await keys.keys()] == [
        (done.former, "opens", 1),
        (done.key_id, "seals", len(SEALED)),
        (other.key_id, "missing", 1),
    ]
    _, outcome, payload = (await events(database))["sealed anew"]
    assert (outcome, payload["unopened"]) == ("failure", 2)
    assert await keys.forget_old() == StillNeeded(1)
    await database.write(lambda: run(Statement(delete(message).where(message.c.id == p("which"))), which=broken))
    assert await keys.forget_old() == Forgotten([done.former])


# Forgetting


async def test_an_old_key_goes_when_nothing_is_under_it_and_a_prepared_one_stays(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    await fill(database, sealer)
    planted = sealer.seal(b"secret", "test")
    assert await keys.forget_old() == Forgotten([])
    first, second = await rotate(keys), await rotate(keys)
    prepared = await keys.prepare()
    assert await keys.forget_old() == Forgotten([first.former, second.former])
    assert [key.id for key in read_file(path).keys] == [second.key_id, prepared.key_id]
    assert await opened(database, await open_sealer_of(database, path, {}))
    server = room(database, sealer, clock)
    assert sealer.open(planted, "test") == b"secret"
    await server.follow()
    with pytest.raises(ValueError, match="another key"):
        sealer.open(planted, "test")


async def test_an_old_key_stays_while_something_is_under_it(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path
) -> None:
    await rotate(keys)
    await add(database, sealer, SEALED["message"])  # by a machine that has not heard
    assert await keys.forget_old() == StillNeeded(1)
    assert len(read_file(path).keys) == 2
    await rotate(keys)
    assert isinstance(await keys.forget_old(), Forgotten)
    assert list(await opened(database, keys.sealer))


# MACs


@pytest.mark.asvs("16.4.2")
async def test_audit_rows_from_before_and_after_verify_and_name_one_key(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    async def note(trail: AuditTrail) -> None:
        await database.write(
            lambda: trail.record(Event.SYS_STARTUP, Outcome.SUCCESS, LOCAL_OPERATOR, payload={"version": "1"})
        )

    await note(AuditTrail(sealer, clock))
    await rotate(keys)
    await note(AuditTrail(sealer, clock))  # has not heard yet
    await keys.forget_old()
    later = AuditTrail(await open_sealer_of(database, path, {}), clock)
    await note(later)
    found = await AuditReader(database, later).verify()
    assert (found.rows, found.changed) == (7, [])
    assert {row.key_id for row in await database.search(list_events())} == {sealer.mac_key_id}


@pytest.mark.asvs("6.3.1")
async def test_counts_of_limits_survive_a_rotation(
    database: Database, sealer: KeyFileSealer, keys: SealingKeys, path: Path, clock: MovableClock
) -> None:
    limits = load_limits({"code": {"per_recipient": "2/1d"}})

    async def guess(of: KeyFileSealer) -> None:
        async with await DatabaseLimiter(database, clock, of, limits).admit("code", "192.0.2.1", {"recipient": "ada"}):
            pass

    for _ in range(2):
        await guess(sealer)
    await rotate(keys)
    await keys.forget_old()
    for of in (sealer, await open_sealer_of(database, path, {})):
        with pytest.raises(RateLimited):
            await guess(of)


async def test_the_mac_key_is_another_than_the_sealing_key_and_lies_sealed(
    database: Database, sealer: KeyFileSealer, path: Path
) -> None:
    """Who has seen only the key file can make no MAC."""
    assert sealer.mac(b"m", "test") != KeyFileSealer.open_file(path).mac(b"m", "test")
    assert sealer.mac_key_id != sealer.key_id
    known = await database.search(settings())
    assert set(known) == {"sealing.key_id", "sealing.mac_key"}


async def test_starts_at_once_agree_on_one_mac_key(database_address: str, path: Path) -> None:
    databases = [await open_database(database_address) for _ in range(5)]
    sealers = await asyncio.gather(*(open_sealer_of(one, path, {}) for one in (*databases, *databases)))
    assert len({one.mac(b"m", "test") for one in sealers}) == 1
    for one in databases:
        await one.close()


async def test_a_database_from_before_there_was_a_mac_key_goes_on_with_its_sealing_key(
    database: Database, sealer: KeyFileSealer, path: Path, clock: MovableClock
) -> None:
    """Its audit rows stay right and its counts stay counted, through a rotation, too."""
    await database.write(lambda: run(_FORGET, name="sealing.mac_key"))
    former = KeyFileSealer.open_file(path)  # does everything with one key, as it was then
    upgraded = await open_sealer_of(database, path, {})
    assert upgraded.mac_key_id == former.key_id
    keys = room(database, upgraded, clock)
    await rotate(keys)
    await keys.forget_old()
    for of in (upgraded, await open_sealer_of(database, path, {})):
        assert of.mac(b"m", "test") == former.mac(b"m", "test")
    assert sealer.key_id == former.key_id


async def test_a_mac_key_that_was_tampered_with_stops_the_start(
    database: Database, sealer: KeyFileSealer, path: Path
) -> None:
    known = await database.search(settings())
    broken = known["sealing.mac_key"][:-8] + "AAAAAAA="
    put = Statement(update(setting).where(setting.c.key == "sealing.mac_key").values(value=p("text")))
    await database.write(lambda: run(put, text=broken))
    with pytest.raises(SealingKeyRefused, match="MAC key"):
        await open_sealer_of(database, path, {})
    assert sealer.mac_key_id


async def test_two_who_rotate_one_after_the_other_keep_one_mac_key(
    database: Database, keys: SealingKeys, path: Path
) -> None:
    await rotate(keys)
    first = (await database.search(settings()))["sealing.mac_key"]
    await rotate(keys)
    assert (await database.search(settings()))["sealing.mac_key"] != first
    later = await open_sealer_of(database, path, {})
    assert later.mac(b"m", "test") == keys.sealer.mac(b"m", "test")
