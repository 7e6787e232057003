"""What the API of the fitness example does for those who are signed in, on real servers."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from PIL import Image

from fitness.demo import Place
from fitness.store import MOST_COINS_A_DAY
from tests.support.fitness import Member, settings_of
from tests.support.hostile import hostile_strings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def drawn(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture."""
    file = io.BytesIO()
    Image.new("RGB", size, (200, 80, 40)).save(file, kind)
    return file.getvalue()


def coins_of(place: Place, user_id: str) -> int:
    """How many coins Doorward has for somebody."""
    key = {"X-API-Key": settings_of(place)["api_key"]}
    coins: int = httpx.get(f"{place.issuer}/api/users/{user_id}", headers=key).json()["coins"]
    return coins


def board(member: Member) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = member.call("GET", "/leaderboard").json()["data"]
    return found


def test_a_note_is_written_read_changed_and_deleted(ada: Member) -> None:
    made = ada.call("POST", "/notes", {"text": "Ten lengths"})
    assert made.status_code == 201
    note = made.json()
    assert (note["text"], note["picture"]) == ("Ten lengths", False)
    path = f"/notes/{note['id']}"
    assert ada.call("GET", path).json() == note
    changed = ada.call("PUT", path, {"text": "Twelve lengths"})
    assert changed.json()["text"] == "Twelve lengths"
    assert [one["text"] for one in ada.call("GET", "/notes").json()["data"]] == ["Twelve lengths"]
    assert ada.call("DELETE", path).status_code == 204
    assert ada.call("GET", path).status_code == 404
    assert ada.call("GET", "/notes").json() == {"data": [], "before": None}


def test_notes_come_in_pages_the_newest_first(ada: Member) -> None:
    written = [ada.write(f"note {number}") for number in range(23)]
    first = ada.call("GET", "/notes").json()
    rest = ada.call("GET", f"/notes?before={first['before']}").json()
    assert [one["text"] for one in first["data"]][:2] == ["note 22", "note 21"]
    assert sorted(one["id"] for one in first["data"] + rest["data"]) == sorted(written)
    assert rest["before"] is None


def test_a_picture_comes_back_as_a_picture_and_is_kept_in_no_cache(ada: Member) -> None:
    note_id = ada.write(picture=drawn("JPEG", (3200, 200)))
    assert ada.call("GET", f"/notes/{note_id}").json()["picture"] is True
    shown = ada.call("GET", f"/notes/{note_id}/picture")
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(shown.content)).size == (1600, 100), "it was made smaller"
    assert ada.call("DELETE", f"/notes/{note_id}/picture").status_code == 204
    assert ada.call("GET", f"/notes/{note_id}/picture").status_code == 404
    assert ada.call("GET", f"/notes/{note_id}").status_code == 200


def test_no_file_is_left_of_a_picture_that_was_replaced_or_deleted(ada: Member, place: Place) -> None:
    before = set((place.folder / "pictures").iterdir())
    note_id = ada.write(picture=drawn())
    assert ada.call("PUT", f"/notes/{note_id}/picture", content=drawn("WEBP")).status_code == 200
    [file] = set((place.folder / "pictures").iterdir()) - before
    assert file.suffix == ".webp"
    ada.call("DELETE", f"/notes/{note_id}")
    assert set((place.folder / "pictures").iterdir()) == before


def test_a_profile_is_changed_one_field_at_a_time(ada: Member, place: Place) -> None:
    """The write-up's `if 'exercise' and 'tracking' in body` looked for one of them alone."""
    assert ada.call("PATCH", "/me", {"tracking": {"steps": 9000}}).json()["tracking"] == {"steps": 9000}
    me = ada.call("PATCH", "/me", {"exercise": ["run", "yoga"]}).json()
    assert (me["tracking"], me["exercise"]) == ({"steps": 9000}, ["run", "yoga"])
    assert set(me) == {"id", "uid", "name", "tracking", "exercise", "coins"}
    stored = place.doorward_json("user", "show", ada.uid)
    assert stored["exercise"] == ["run", "yoga"], "it is Doorward's"


def test_a_profile_that_is_none_is_refused_with_a_sentence(ada: Member) -> None:
    wrong: tuple[object, ...] = (
        {}, {"tracking": []}, {"tracking": {"steps": -1}}, {"tracking": {"steps": True}}, {"tracking": {"steps": "9"}},
        {"tracking": {"weight": 9}}, {"exercise": ["chess"]}, {"exercise": ["run", "run"]}, {"exercise": "run"},
        {"exercise": [["run"]]}, [], "x", 7,
    )  # fmt: skip
    for sent in wrong:
        answer = ada.call("PATCH", "/me", sent)
        assert answer.status_code == 400, sent
        assert answer.json()["message"]


def test_an_exercise_earns_coins_that_doorward_adds(ada: Member, place: Place) -> None:
    done = ada.call("POST", "/exercises", {"kind": "run", "minutes": 25})
    assert (done.status_code, done.json()["coins"]) == (201, 25)
    assert coins_of(place, ada.sub) == 25
    assert ada.call("GET", "/me").json()["coins"] == 25
    assert [one["minutes"] for one in ada.call("GET", "/exercises").json()["data"]] == [25]


@pytest.mark.asvs("2.3.2", "2.4.1", "15.4.2")
def test_however_much_is_logged_at_once_no_day_earns_more_than_its_coins(ada: Member, place: Place) -> None:
    def log(_: int) -> tuple[int, bool]:
        headers, swim = ada.headers("POST", "/exercises"), {"kind": "swim", "minutes": 13}
        answer = httpx.post(f"{place.api}/exercises", json=swim, headers=headers, timeout=60)
        return answer.status_code, answer.json()["paid"]

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(log, range(20))) == {(201, True)}
    assert coins_of(place, ada.sub) == MOST_COINS_A_DAY
    earned = [one["coins"] for one in ada.call("GET", "/exercises").json()["data"]]
    assert sorted(earned, reverse=True)[:5] == [13, 13, 13, 13, 8]


def test_the_leaderboard_shows_names_and_coins_and_nothing_else(ada: Member) -> None:
    ada.call("POST", "/exercises", {"kind": "run", "minutes": 60})
    rows = board(ada)
    assert [(row["rank"], row["name"]) for row in rows[:3]] == [
        (1, "Juno Park"), (2, "Noor Haddad"), (2, "Théo Marchand"),
    ]  # fmt: skip
    assert {name for row in rows for name in row} == {"rank", "uid", "name", "coins", "own"}
    assert [row["coins"] for row in rows if row["own"]] == [60]
    assert "fitness-app" not in {row["uid"] for row in rows}, "the account of the API is nobody"
    assert "@" not in json.dumps(rows)


def test_whoever_signs_out_everywhere_is_out_of_the_api_at_once(ada: Member, place: Place) -> None:
    session = ada.person.program(f"{place.issuer}/api/sessions/current").json()
    ended = ada.person.http.delete(f"{place.issuer}/api/sessions", headers={"x-csrf-token": session["csrf_token"]})
    assert ended.status_code == 204
    # Two seconds, and the answer under way: an API that has only just begun may still be asking about each token.
    assert wait_until(lambda: ada.call("GET", "/me").status_code == 401) < 2.5


def test_the_api_may_follow_what_has_ended(place: Place) -> None:
    told = json.loads(place.settings.read_text(encoding="utf-8"))
    credentials = (told["client_id"], told["client_secret"])
    with httpx.stream("POST", f"{place.issuer}/oauth/revocations", data={"after": ""}, auth=credentials) as answer:
        assert answer.status_code == 200
        assert "heartbeat" in next(answer.iter_lines())


@pytest.mark.asvs("1.1.2", "1.2.1")
def test_text_is_stored_as_it_was_sent(ada: Member) -> None:
    kept = 0
    for text in hostile_strings():
        answer = ada.call("POST", "/notes", {"text": text}) if text.isascii() or _is_text(text) else None
        if answer is None or answer.status_code == 400:
            continue  # nothing but spaces, or no text at all
        assert answer.status_code == 201, (text, answer.text)
        assert answer.json()["text"] == text
        ada.call("DELETE", f"/notes/{answer.json()['id']}")
        kept += 1
    assert kept > 100


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


@pytest.mark.parametrize("escaped", [r"\ud800", r"\u0000"])
def test_what_no_database_keeps_as_text_is_refused(ada: Member, escaped: str) -> None:
    headers = {**ada.headers("POST", "/notes"), "content-type": "application/json"}
    answer = ada.http.post(f"{ada.place.api}/notes", content=f'{{"text": "a{escaped}b"}}', headers=headers)
    assert answer.status_code == 400
