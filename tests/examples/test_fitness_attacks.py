"""What nobody can do to the fitness example (docs/write-up.md): other people's notes, uploads, coins, webhooks, tokens.

OWASP ASVS 8.2.2 (objects of others), 5.2 (uploads), 15.3.3 (mass assignment), 3.4.2 (CORS), 10.3 (tokens).
"""

import base64
import hashlib
import hmac
import io
import json
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from PIL import Image, PngImagePlugin

from fitness.demo import Place
from tests.examples.test_fitness_api import coins_of, drawn
from tests.support.fitness import Member, add_user, settings_of
from tests.support.hosted import PASSWORD

pytestmark = pytest.mark.slow
FOREIGN = [
    ("GET", "", None), ("PUT", "", {"text": "mine now"}), ("DELETE", "", None),
    ("GET", "/picture", None), ("PUT", "/picture", None), ("DELETE", "/picture", None),
    ("HEAD", "", None), ("HEAD", "/picture", None), ("PATCH", "", {"text": "x"}), ("POST", "", {"text": "x"}),
    ("POST", "/picture", None),
]  # fmt: skip


def kept(place: Place) -> set[Path]:
    return set((place.folder / "pictures").iterdir())


# Other people's notes ------------------------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.2", "8.3.1")
def test_another_persons_note_is_no_note(ada: Member, bob: Member) -> None:
    note_id = ada.write("For me alone", picture=drawn())
    for method, rest, body in FOREIGN:

        def answer(of: str, method: str = method, rest: str = rest, body: Any = body) -> tuple[int, bytes]:
            got = bob.call(method, f"/notes/{of}{rest}", body, drawn() if "picture" in rest else None)
            return got.status_code, got.content

        foreign = answer(note_id)
        assert foreign[0] == (405 if method in {"PATCH", "POST"} else 404), method
        assert foreign == answer("0" * 32), "nothing tells it from one that is not there"
    note = ada.call("GET", f"/notes/{note_id}").json()
    assert (note["text"], note["picture"]) == ("For me alone", True)
    assert ada.call("GET", f"/notes/{note_id}/picture").status_code == 200


def test_a_list_holds_ones_own_notes_alone_whatever_it_is_asked_to_begin_after(ada: Member, bob: Member) -> None:
    note_id = ada.write("For me alone")
    bob.write("Bob's")
    assert [one["text"] for one in bob.call("GET", "/notes").json()["data"]] == ["Bob's"]
    assert bob.call("GET", f"/notes?before={note_id}").json()["data"] == []
    assert bob.call("GET", "/notes?before=' OR 1=1 --").json()["data"] == []


@pytest.mark.asvs("8.2.1")
def test_nobody_gets_anything_without_a_token(ada: Member, place: Place) -> None:
    note_id = ada.write(picture=drawn())
    for method, path in [
        ("GET", "/me"), ("PATCH", "/me"), ("GET", "/leaderboard"), ("GET", "/exercises"), ("POST", "/exercises"),
        ("GET", "/notes"), ("POST", "/notes"),
        *((method, f"/notes/{note_id}{rest}") for method, rest, _ in FOREIGN if method not in {"PATCH", "POST"}),
    ]:  # fmt: skip
        answer = httpx.request(method, f"{place.api}{path}", json={"text": "x"})
        assert (answer.status_code, answer.headers["www-authenticate"][:4]) == (401, "DPoP"), (method, path)


def test_no_browser_signs_in_at_the_api(place: Place) -> None:
    asked = httpx.get(f"{place.api}/me", headers={"accept": "text/html"})
    assert asked.status_code == 401, "nobody is sent to sign in"
    assert httpx.get(f"{place.api}/auth/sign-in").status_code == 404
    assert "set-cookie" not in asked.headers


# Tokens --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("10.3.5")
def test_a_stolen_token_is_worth_nothing(ada: Member, place: Place) -> None:
    thief = ECKey.generate_key("P-256", private=True)
    url = f"{place.api}/notes"
    mine = ada.proof(url, "GET", ada.token)
    right = {"authorization": f"DPoP {ada.token}", "dpop": mine}
    assert httpx.get(url, headers=right).status_code == 200
    other_method = {**right, "dpop": ada.proof(url, "POST", ada.token)}
    other_place = {**right, "dpop": ada.proof(f"{place.api}/me", "GET", ada.token)}
    ada.key = thief
    other_key = {**right, "dpop": ada.proof(url, "GET", ada.token)}
    bearer = {"authorization": f"Bearer {ada.token}"}
    for wrong in (right, other_method, other_place, other_key, bearer, {"authorization": f"DPoP {ada.token}"}):
        assert httpx.get(url, headers=wrong).status_code == 401, wrong


@pytest.mark.asvs("9.2.3", "10.3.1")
def test_what_was_made_for_others_opens_nothing(ada: Member, place: Place) -> None:
    key = settings_of(place)["api_key"]
    program = httpx.post(
        f"{place.issuer}/api/sessions",
        json={"identifier": ada.uid, "password": PASSWORD, "transport": "bearer"},
        timeout=30,
    ).json()["token"]
    signed = httpx.post(
        f"{place.issuer}/api/users/authenticate", json={"uid": ada.uid, "password": PASSWORD}, timeout=30
    ).json()["data"]["jwt"]  # fmt: skip
    for headers in (
        {"x-api-key": key}, {"authorization": f"Bearer {key}"}, {"authorization": f"Bearer {program}"},
        {"authorization": f"Bearer {signed}"}, {"authorization": f"DPoP {signed}"},
    ):  # fmt: skip
        assert httpx.get(f"{place.api}/me", headers=headers).status_code == 401


@pytest.mark.asvs("3.4.2", "3.5.2")
def test_scripts_of_the_front_end_alone_may_call(place: Place) -> None:
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,dpop"}
    ours = httpx.options(f"{place.api}/notes", headers={"Origin": place.web, **asked})
    assert ours.headers["access-control-allow-origin"] == place.web
    assert "access-control-allow-credentials" not in ours.headers
    for origin in ("https://evil.example", "null", place.issuer, place.api, f"{place.web}.evil.example"):
        theirs = httpx.options(f"{place.api}/notes", headers={"Origin": origin, **asked})
        assert not [name for name in theirs.headers if name.startswith("access-control")], origin


# Coins ---------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("15.3.3", "2.3.1")
def test_nobody_makes_themselves_rich(ada: Member, place: Place) -> None:
    before = coins_of(place, ada.sub)
    for method, path, body in [
        ("PATCH", "/me", {"coins": 9999}), ("PATCH", "/me", {"exercise": ["run"], "coins": {"increment": 9}}),
        ("POST", "/exercises", {"kind": "run", "minutes": 1, "coins": 500}), ("POST", "/exercises", {"kind": "run"}),
        *(("POST", "/exercises", {"kind": "run", "minutes": how_many}) for how_many in (10**9, -5, 0, 1.5, True)),
        ("POST", "/exercises", {"kind": "gold", "minutes": 5}), ("POST", "/notes", {"text": "x", "coins": 5}),
    ]:  # fmt: skip
        assert ada.call(method, path, body).status_code == 400, body
    session = ada.person.program(f"{place.issuer}/api/sessions/current").json()
    csrf = {"x-csrf-token": session["csrf_token"]}
    at_doorward = ada.person.http.patch(f"{place.issuer}/api/users/me", json={"coins": 9999}, headers=csrf)
    assert at_doorward.status_code == 400
    key = {**ada.headers("PATCH", "/me"), "x-user-id": "someone"}
    assert httpx.patch(f"{place.issuer}/api/users/{ada.sub}", json={"coins": 1}, headers=key).status_code == 401
    assert coins_of(place, ada.sub) == before


# Uploads -------------------------------------------------------------------------------------------------------------


def svg() -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (4, 4)).save(file, "GIF")
    return file.getvalue()


def bomb() -> bytes:
    """A few bytes that say they are 40,000 x 40,000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    head = (40_000).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    packed = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


HOSTILE = {
    "an SVG": (svg(), 415),
    "a page": (b"<!doctype html><script>alert(1)</script>", 415),
    "a GIF": (gif(), 415),
    "nothing": (b"", 415),
    "a picture that is a page as well": (drawn() + b"<script>alert(1)</script>", 415),
    "a picture that is an archive as well": (drawn("JPEG") + b"PK\x03\x04 and so on", 415),
    "half a picture": (drawn(size=(300, 300))[:-40], 415),
    "a page that begins like a picture": (b"\x89PNG\r\n\x1a\n<html>", 415),
    "more pixels than anybody needs": (bomb(), 413),
    "six MiB": (bytes(6 << 20), 413),
    "five MiB and a byte": (drawn() + bytes((5 << 20) + 1), 413),
}


@pytest.mark.asvs("5.2.1", "5.2.2", "5.2.6")
def test_what_is_no_picture_is_not_kept(ada: Member, place: Place) -> None:
    note_id, before = ada.write(), kept(place)
    for what, (content, status) in HOSTILE.items():
        answer = ada.call("PUT", f"/notes/{note_id}/picture", content=content)
        assert answer.status_code == status, (what, answer.text)
        assert answer.json()["message"]
    path = f"/notes/{note_id}/picture"
    endless = ada.http.put(
        f"{place.api}{path}", content=(bytes(1 << 20) for _ in range(7)), headers=ada.headers("PUT", path)
    )
    assert endless.status_code == 415, "it did not say its length, was read no further than allowed, and is cut off"
    assert kept(place) == before
    assert ada.call("GET", f"/notes/{note_id}").json()["picture"] is False


@pytest.mark.asvs("14.2.8", "5.3.2")
def test_a_picture_keeps_no_place_no_comment_and_no_name(ada: Member, place: Place) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x9286], exif[0x010F] = "at home, 52.5 N", "<script>alert(1)</script>"
    Image.new("RGB", (30, 30), (1, 2, 3)).save(file, "JPEG", exif=exif, comment=b"secret words")
    before = kept(place)
    note_id = ada.write(picture=file.getvalue())
    shown = ada.call("GET", f"/notes/{note_id}/picture").content
    assert b"script" not in shown
    assert b"secret" not in shown
    info, png = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Comment", "secret words")
    Image.new("RGB", (30, 30)).save(png, "PNG", pnginfo=info)
    assert ada.call("PUT", f"/notes/{note_id}/picture", content=png.getvalue()).status_code == 200
    assert b"secret" not in ada.call("GET", f"/notes/{note_id}/picture").content
    [path] = kept(place) - before
    assert path.suffix == ".png"
    assert len(path.stem) == 32


@pytest.mark.asvs("4.1.4", "1.5.3")
def test_bodies_that_are_too_much_or_no_json_are_refused_without_a_trace(ada: Member) -> None:
    huge = ada.call("POST", "/notes", {"text": "x" * 100_000})
    assert huge.status_code == 413
    long = ada.call("POST", "/notes", {"text": "x" * 10_001})
    assert long.status_code == 400
    for content, kind, status in [
        (b"{", "application/json", 400), (b'"x"', "application/json", 400), (b"[" * 5000, "application/json", 400),
        (b"text=x", "application/x-www-form-urlencoded", 415),
    ]:  # fmt: skip
        headers = {**ada.headers("POST", "/notes"), "content-type": kind}
        answer = ada.http.post(f"{ada.place.api}/notes", content=content, headers=headers)
        assert answer.status_code == status, answer.text
        assert "Traceback" not in answer.text
    assert ada.call("TRACE", "/notes").status_code == 405


# What Doorward tells -------------------------------------------------------------------------------------------------


def signed(secret: str, body: bytes, at: float, number: str = "msg_1") -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = str(int(at))
    digest = hmac.digest(key, f"{number}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": number,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


@pytest.mark.asvs("4.1.5", "11.4.1")
def test_a_forged_or_replayed_goodbye_deletes_nothing(ada: Member, place: Place) -> None:
    note_id = ada.write()
    secret, now = settings_of(place)["webhook_secret"], time.time()
    body = json.dumps({"type": "user.deleted", "timestamp": "2026-11-23T06:23:00Z", "data": {"id": ada.sub}}).encode()
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    right = signed(secret, body, now)
    forged = {
        "with another secret": signed(other, body, now),
        "with no signature": {name: value for name, value in right.items() if name != "webhook-signature"},
        "with no time": {name: value for name, value in right.items() if name != "webhook-timestamp"},
        "with nothing": {},
        "for another id": {**right, "webhook-id": "msg_2"},
        "for another body": signed(secret, body.replace(b"user.deleted", b"user.updated"), now),
        "of old": signed(secret, body, now - 330),
        "of the future": signed(secret, body, now + 330),
        "with a time that is none": {**right, "webhook-timestamp": "1e9"},
        "with another scheme": {**right, "webhook-signature": right["webhook-signature"].replace("v1,", "v1a,")},
    }
    for how, headers in forged.items():
        answer = httpx.post(f"{place.api}/doorward", content=body, headers=headers)
        assert answer.status_code == 401, how
    assert ada.call("GET", f"/notes/{note_id}").status_code == 200
    unrelated = json.dumps({"type": "user.updated", "data": {"id": ada.sub}}).encode()
    taken = httpx.post(f"{place.api}/doorward", content=unrelated, headers=signed(secret, unrelated, now))
    assert taken.status_code == 204
    assert ada.call("GET", f"/notes/{note_id}").status_code == 200


@pytest.mark.asvs("14.2.4", "14.2.7")
def test_whoever_is_deleted_at_doorward_leaves_no_note_and_no_file(ada: Member, bob: Member, place: Place) -> None:
    others = bob.write(picture=drawn())
    before = kept(place)
    ada.write(picture=drawn())
    add_user(place, f"root-{ada.uid}")
    place.doorward("user", "set-role", f"root-{ada.uid}", "admin")
    root = httpx.Client(headers={"authorization": "Bearer " + httpx.post(
        f"{place.issuer}/api/sessions",
        json={"identifier": f"root-{ada.uid}", "password": PASSWORD, "transport": "bearer"}, timeout=30,
    ).json()["token"]})  # fmt: skip
    assert len(kept(place)) == len(before) + 1
    with root:
        assert root.delete(f"{place.issuer}/api/users/{ada.sub}").status_code == 204
    deadline = time.monotonic() + 10
    while kept(place) != before:
        assert time.monotonic() < deadline, "the goodbye has not arrived"
        time.sleep(0.05)
    assert ada.call("POST", "/notes", {"text": "still here"}).status_code == 401
    assert bob.call("GET", f"/notes/{others}/picture").status_code == 200
