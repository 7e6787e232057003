"""A thief of the database finds digests and MACs only: nothing in it opens anything (C19, C32; ASVS 11.4, 13.3.1)."""

import base64
import hashlib
from collections.abc import Mapping

import pytest

from doorward.sql import Row
from tests.http.conftest import PASSWORD, Visitor, World
from tests.support.attack import dump

NEW = "another quite different phrase"
WRONG = "a wrong password somebody typed"


def forms_of(secret: str) -> set[bytes]:
    """A secret as it could lie somewhere: as it is, as hex, as base64, as the bytes that base64url stands for."""
    plain = secret.encode()
    found = {
        plain,
        plain.hex().encode(),
        base64.b64encode(plain).rstrip(b"="),
        base64.urlsafe_b64encode(plain).rstrip(b"="),
    }
    if len(secret) == 43:
        found.add(base64.urlsafe_b64decode(secret + "="))
    return found


def bytes_of(tables: Mapping[str, list[Row]]) -> bytes:
    """Everything, bytes as they are and texts in UTF-8."""
    values = (value for rows in tables.values() for row in rows for value in row if value is not None)
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


async def live(world: World, visitor: Visitor) -> dict[str, str]:
    """Use everything that has a secret; the secrets by name."""
    await visitor.sign_up("ada")
    program = world.visitor()
    bearer = await program.post("/api/sessions", {"identifier": "ada", "password": PASSWORD, "transport": "bearer"})
    jwt = (await program.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})).json()["data"]["jwt"]
    await world.visitor().sign_in("ada", WRONG)
    await world.visitor().sign_in(WRONG, WRONG)
    first = str(visitor.http.cookies["doorward"])
    await visitor.submit("/account/password", {"current_password": PASSWORD, "new_password": NEW})
    last = await visitor.sign_in("ada", NEW)
    body = {"identifier": "ada", "password": NEW, "transport": "bearer"}
    later = (await program.post("/api/sessions", body)).json()["token"]
    link = await world.services.setup.new_link()
    cookies = visitor.http.cookies
    key = next(iter(world.services.keys._keys.values())).jwk.as_dict(private=True)["d"]  # noqa: SLF001  ours
    return {
        "password": PASSWORD,
        "new password": NEW,
        "wrong password": WRONG,
        "first session": first,
        "session": str(cookies["doorward"]),
        "device": str(cookies["doorward-device"]),
        "visit": str(cookies["doorward-visit"]),
        "ended bearer token": bearer.json()["token"],
        "bearer token": later,
        "bearer token without its prefix": later.removeprefix("dws_"),
        "signature of a JWT": jwt.split(".")[2],
        "CSRF token": last.json()["csrf_token"],
        "setup link": link.removeprefix("/setup/"),
        "signing key": str(key),
    }


@pytest.mark.asvs("13.3.1")
@pytest.mark.asvs("11.4.2")
async def test_no_secret_lies_in_any_table(world: World) -> None:
    secrets = await live(world, world.visitor())
    tables = await dump(world.services.db)
    everything = bytes_of(tables)

    assert [name for name, secret in secrets.items() if any(form in everything for form in forms_of(secret))] == []
    for name in ("session", "device", "setup link", "bearer token"):
        assert hashlib.sha256(secrets[name].encode()).digest() in everything, name
    assert all(row[1].startswith("$argon2id$") for row in tables["password"])
    written = {name for name, rows in tables.items() if rows}
    assert {"users", "password", "session", "known_device", "setup_link", "signing_key", "audit_event"} <= written


@pytest.mark.asvs("13.3.1")
async def test_the_key_that_opens_what_is_sealed_lies_elsewhere(world: World) -> None:
    await live(world, world.visitor())
    everything = bytes_of(await dump(world.services.db))
    key_file = next(iter((world.app._data.sealing_key,)))  # noqa: SLF001  ours
    content = key_file.read_bytes()

    assert key_file.stat().st_mode & 0o077 == 0
    assert not [part for part in content.split() if len(part) >= 32 and part in everything]


async def test_a_copied_row_opens_nothing(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    (row,) = (await dump(world.services.db))["session"]
    copied = [value if isinstance(value, str) else value.hex() for value in row if isinstance(value, str | bytes)]
    copied += [base64.urlsafe_b64encode(value).decode().rstrip("=") for value in row if isinstance(value, bytes)]
    for value in copied:
        if value.isascii() and value and ";" not in value:
            for headers in ({"cookie": f"doorward={value}"}, {"authorization": f"Bearer {value}"}):
                assert (await world.visitor().get("/api/sessions/current", headers=headers)).status_code == 401
