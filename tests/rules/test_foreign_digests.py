"""Digests of other systems: read exactly, verified as the other system would, refused when they cost too much."""

import base64
import hashlib
from collections.abc import Iterator

import bcrypt
import pytest
from argon2 import PasswordHasher, Type
from werkzeug.security import generate_password_hash

from doorward.adapters.argon2 import Argon2Hasher

PASSWORDS = ["123quiet0", "  spaced pass  ", "p\u00e4ssw\u00f6rd 16 \u2713", "nul\0nul", "x" * 200, "\N{CAT FACE}" * 40]


@pytest.fixture(scope="module")
def hasher() -> Iterator[Argon2Hasher]:
    made = Argon2Hasher(memory_kib=8, time_cost=1, threads=2)
    yield made
    made.close()


def django(password: str, algorithm: str = "sha256", iterations: int = 1000) -> str:
    found = hashlib.pbkdf2_hmac(algorithm, password.encode(), b"seasalt", iterations)
    return f"pbkdf2_{algorithm}${iterations}$seasalt${base64.b64encode(found).decode()}"


METHODS = ["pbkdf2:sha256:1000", "pbkdf2:sha1:1000", "pbkdf2:sha512:1000", "pbkdf2:sha256:50000", "scrypt:1024:8:1"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("method", METHODS)
async def test_a_digest_made_by_werkzeug_opens_for_its_password_only(
    hasher: Argon2Hasher, method: str, password: str
) -> None:
    digest = generate_password_hash(password, method=method)
    assert hasher.recognises(digest)
    found = await hasher.verify(digest, password)
    assert found.right
    assert found.outdated
    assert not (await hasher.verify(digest, password + " ")).right
    assert not (await hasher.verify(digest, password[:-1])).right


async def test_werkzeugs_default_is_affordable(hasher: Argon2Hasher) -> None:
    digest = generate_password_hash("123quiet0")
    assert hasher.recognises(digest)
    assert (await hasher.verify(digest, "123quiet0")).right


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_digest_of_django_opens_for_its_password_only(hasher: Argon2Hasher, algorithm: str) -> None:
    digest = django("123quiet0", algorithm)
    assert hasher.recognises(digest)
    assert (await hasher.verify(digest, "123quiet0")).right
    assert not (await hasher.verify(digest, "123quiet1")).right


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
async def test_a_digest_of_bcrypt_opens_for_its_password_only(hasher: Argon2Hasher, prefix: bytes) -> None:
    digest = bcrypt.hashpw(b"123quiet0", bcrypt.gensalt(4)).replace(b"$2b$", b"$" + prefix + b"$").decode()
    assert hasher.recognises(digest)
    assert (await hasher.verify(digest, "123quiet0")).right
    assert not (await hasher.verify(digest, "123quiet1")).right


async def test_bcrypt_reads_72_bytes_as_the_system_did_that_it_comes_from(hasher: Argon2Hasher) -> None:
    digest = bcrypt.hashpw(b"y" * 72, bcrypt.gensalt(4)).decode()
    assert (await hasher.verify(digest, "y" * 200)).right
    assert not (await hasher.verify(digest, "y" * 71)).right


async def test_argon2_from_elsewhere_is_verified_and_replaced_when_it_is_weaker(hasher: Argon2Hasher) -> None:
    for type_, time_cost, outdated in [(Type.I, 2, True), (Type.D, 1, True), (Type.ID, 1, False), (Type.ID, 3, False)]:
        digest = PasswordHasher(time_cost, 64, 1, type=type_).hash("123quiet0")
        assert hasher.recognises(digest)
        found = await hasher.verify(digest, "123quiet0")
        assert (found.right, found.outdated) == (True, outdated)
        assert not (await hasher.verify(digest, "123quiet1")).right


WHOLE = "a" * 64


@pytest.mark.parametrize(
    "digest",
    [
        "pbkdf2:sha256:4000001$salt$" + WHOLE,
        "pbkdf2:sha256:999999999$salt$" + WHOLE,
        "pbkdf2:sha256:99999999999999999999$salt$" + WHOLE,
        "pbkdf2_sha256$2147483647$salt$" + base64.b64encode(bytes(32)).decode(),
        "scrypt:1048576:8:1$salt$" + "a" * 128,
        "scrypt:32768:8:99999$salt$" + "a" * 128,
        "scrypt:4194304:1:1$salt$" + "a" * 128,
        "$2b$15$" + "a" * 53,
        "$2b$31$" + "a" * 53,
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
        "$argon2id$v=19$m=65536,t=4294967295,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
        "$argon2id$v=19$m=65536,t=1,p=255$c2FsdHNhbHRzYWx0$" + "a" * 43,
    ],
)
def test_an_absurd_cost_is_refused_before_anything_is_computed(hasher: Argon2Hasher, digest: str) -> None:
    assert not hasher.recognises(digest)


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "hunter2hunter2",
        "md5$abc$900150983cd24fb0d6963f7d28e17f72",
        "sha256$abc$" + WHOLE,
        "pbkdf2:sha256:1000$salt$" + WHOLE[:-1],
        "pbkdf2:sha256:1000$salt$" + WHOLE[:-2],
        "pbkdf2:sha256:1000$salt$" + WHOLE + "aa",
        "pbkdf2:sha256:1000$salt$" + "A" * 64,
        "pbkdf2:sha256$salt$" + WHOLE,
        "pbkdf2:md5:1000$salt$" + "a" * 40,
        "pbkdf2:sha256:0$salt$" + WHOLE,
        "pbkdf2:sha256:1000$$" + WHOLE,
        "pbkdf2:sha256:1000$salt$" + WHOLE + "\n",
        "pbkdf2:sha256:\u0661000$salt$" + WHOLE,
        "pbkdf2_sha256$1000$salt$" + "a" * 43 + "==",
        "scrypt:1000:8:1$salt$" + "a" * 128,
        "scrypt:1:8:1$salt$" + "a" * 128,
        "scrypt:65536:1:1$salt$" + "a" * 128,  # RFC 7914: N is below 2^(128 * r / 8)
        "scrypt:1048576:1:1$salt$" + "a" * 128,
        "$2b$03$" + "a" * 53,
        "$2x$05$" + "a" * 53,
        "$2b$05$" + "a" * 52,
        "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$abc",
        "$argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
    ],
)
async def test_what_is_no_known_digest_is_refused_and_opens_for_nobody(hasher: Argon2Hasher, digest: str) -> None:
    assert not hasher.recognises(digest)
    assert not (await hasher.verify(digest, digest)).right
