"""The tables of the fitness example, on SQLite and on PostgreSQL: the same by one setting."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fitness import store as module
from fitness.store import MOST_COINS_A_DAY, MOST_NOTES, MOST_PICTURE_BYTES, Full, Gone, Store, new_note
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow
ADA, BOB = "01a20712-7790-763d-a0ec-255673e928b7", "01a20712-7790-763d-991b-dd3e0bd8ca7a"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'fitness.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        name = f"fitness_{abs(hash(request.node.nodeid)):x}"
        server.create(name)
        url = server.url(name).replace("postgresql://", "postgresql+pg8000://")
    opened = Store(url)
    yield opened
    opened.close()


def test_notes_are_kept_word_for_word(store: Store) -> None:
    text = "<b>not bold</b> – ünïcode 🏊 \r\n\t' \" \\ %s"
    note = store.add_note(ADA, text)
    found = store.note(ADA, note.id)
    assert found is not None
    assert found.text == text
    assert store.change_note(ADA, note.id, "short") is not None
    assert [one.text for one in store.notes(ADA, None, 10)] == ["short"]


def test_every_question_names_the_owner(store: Store) -> None:
    note = store.add_note(ADA, "Ada's")
    assert store.note(BOB, note.id) is None
    assert store.change_note(BOB, note.id, "Bob's") is None
    assert store.set_picture(BOB, note.id, "x.png", 5) == (False, None)
    assert store.delete_note(BOB, note.id) == (False, None)
    assert store.notes(BOB, None, 10) == []
    assert store.notes(ADA, None, 10) == [note]


def test_notes_of_the_same_instant_lose_none_between_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now_ms", lambda: 1_795_414_980_000)
    written = {store.add_note(ADA, str(number)).id for number in range(7)}
    read, before = [], None
    while page := store.notes(ADA, before, 3):
        read += [note.id for note in page]
        before = page[-1].id
    assert len(read) == 7
    assert set(read) == written


def test_no_day_earns_more_than_its_coins_however_many_are_at_it(store: Store) -> None:
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: store.log_exercise(BOB, "run", 1), range(12)))  # connections are made
        store.log_exercise(ADA, "run", 1)
        logged = [*store.exercises(ADA, 1), *pool.map(lambda _: store.log_exercise(ADA, "run", 1), range(120))]
    assert sum(one.coins for one in logged) == MOST_COINS_A_DAY
    assert store.coins_today(ADA) == MOST_COINS_A_DAY
    assert store.coins_today(BOB) == 12, "the days of others are their own"


def test_the_next_day_earns_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 20_780 * module.DAY_MS
    monkeypatch.setattr(module, "now_ms", lambda: day + 5)
    assert [store.log_exercise(ADA, "run", 50).coins for _ in range(3)] == [50, 10, 0]
    monkeypatch.setattr(module, "now_ms", lambda: day + module.DAY_MS)
    assert store.log_exercise(ADA, "run", 50).coins == 50


def test_coins_are_owed_until_they_are_paid(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 20_780 * module.DAY_MS
    monkeypatch.setattr(module, "now_ms", lambda: now)
    paid, owed = store.log_exercise(ADA, "run", 5), store.log_exercise(BOB, "run", 6)
    store.paid(paid.id)
    assert store.unpaid() == [], "whoever logged it is about to pay it"
    monkeypatch.setattr(module, "now_ms", lambda: now + 2 * module.MINUTE_MS)
    assert store.unpaid() == [owed]
    monkeypatch.setattr(module, "now_ms", lambda: now + module.DAY_MS)
    assert store.unpaid() == [], "Doorward no longer knows whether it was paid"


def test_pictures_fill_no_more_than_their_room(store: Store) -> None:
    one, two = store.add_note(ADA, "1"), store.add_note(ADA, "2")
    assert store.set_picture(ADA, one.id, "a.png", MOST_PICTURE_BYTES - 10) == (True, None)
    with pytest.raises(Full):
        store.set_picture(ADA, two.id, "b.png", 11)
    assert store.set_picture(ADA, one.id, "c.png", MOST_PICTURE_BYTES) == (True, "a.png"), "it takes the old one's room"
    assert store.delete_note(ADA, one.id) == (True, "c.png")
    assert store.set_picture(ADA, two.id, "d.png", MOST_PICTURE_BYTES) == (True, None)


def test_notes_have_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_NOTES == 500
    monkeypatch.setattr(module, "MOST_NOTES", 3)
    for _ in range(3):
        store.add_note(ADA, "x")
    with pytest.raises(Full):
        store.add_note(ADA, "x")


def test_whoever_is_erased_leaves_nothing_and_writes_nothing(store: Store) -> None:
    note, theirs = store.add_note(ADA, "1"), store.add_note(BOB, "2")
    store.set_picture(ADA, note.id, "a.png", 5)
    store.set_picture(BOB, theirs.id, "b.png", 5)
    store.log_exercise(ADA, "run", 5)
    assert store.erase(ADA) == ["a.png"]
    assert (store.notes(ADA, None, 10), store.exercises(ADA, 10)) == ([], [])
    assert store.pictures() == {"b.png"}
    for late in (lambda: store.add_note(ADA, "3"), lambda: store.log_exercise(ADA, "run", 5)):
        with pytest.raises(Gone):
            late()
    assert store.erase(ADA) == [], "the same goodbye may come twice"


def test_a_place_is_remembered(store: Store) -> None:
    assert store.cursor("events") is None
    store.set_cursor("events", "41")
    store.set_cursor("events", "42")
    assert store.cursor("events") == "42"


def test_an_imported_note_comes_once(store: Store) -> None:
    assert store.import_note(ADA, new_note("old", 1, "a.png"), "flask-portfolio:7", 5)
    assert not store.import_note(ADA, new_note("old", 1, "b.png"), "flask-portfolio:7", 5)
    assert store.is_imported("flask-portfolio:7")
    assert len(store.notes(ADA, None, 10)) == 1
