"""Proofs of possession at an app (RFC 9449 §4.3, §7; C58)."""

import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doorward_client import InvalidProof, InvalidToken, Settings, Unavailable
from doorward_client.dpop import ProofsInMemory
from doorward_client.sessions import SessionsInSQLite
from doorward_client.testing import Issuer, MovableClock, User
from doorward_client.testing.issuer import Client
from tests.support.client_calls import Asked, guarding, proof, request

URL = "http://127.0.0.1:9/coins"


@dataclass
class Holder:
    """Who holds a token and the key that it is bound to."""

    key: ECKey
    token: str
    clock: MovableClock

    def prove(self, **changed: Any) -> str:
        return proof(changed.pop("key", self.key), self.clock, self.token, **{"url": URL, **changed})


@pytest.fixture(params=["threads", "tasks"])
def guard(request: pytest.FixtureRequest, settings: Settings, doorward_clock: MovableClock) -> Iterator[Asked]:
    with guarding(request.param, settings, doorward_clock.as_clock(real_monotonic=True)) as guard:
        yield guard


@pytest.fixture
def holder(doorward_issuer: Issuer, app: Client, ada: User, doorward_clock: MovableClock) -> Holder:
    key = ECKey.generate_key("P-256", private=True)
    token = doorward_issuer.access_token(ada, app, cnf={"jkt": key.thumbprint()})
    return Holder(key, token, doorward_clock)


def send(guard: Asked, token: str, proof: str, method: str = "GET", path: str = "/coins") -> str:
    return guard.identify(request(method, path, authorization=f"DPoP {token}", dpop=proof)).sub


def refuse(guard: Asked, token: str, proof: str, **more: str) -> None:
    with pytest.raises(InvalidProof):
        send(guard, token, proof, **more)


MAKERS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ECKey.generate_key("P-256", private=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", private=True),
    "RS256": lambda: RSAKey.generate_key(2048, private=True),
}


@pytest.mark.parametrize("alg", MAKERS)
def test_who_holds_the_key_gets_in(
    guard: Asked, doorward_issuer: Issuer, app: Client, ada: User, doorward_clock: MovableClock, alg: str
) -> None:
    key = MAKERS[alg]()
    token = doorward_issuer.access_token(ada, app, cnf={"jkt": key.thumbprint()})
    assert send(guard, token, proof(key, doorward_clock, token, url=URL)) == ada.sub
    assert send(guard, token, proof(key, doorward_clock, token, url=URL)) == ada.sub


def test_a_proof_counts_once(guard: Asked, holder: Holder) -> None:
    mine = holder.prove()
    send(guard, holder.token, mine)
    refuse(guard, holder.token, mine)
    holder.clock.advance(59)
    refuse(guard, holder.token, mine)
    refuse(guard, holder.token, holder.prove(jti="x", iat=int(holder.clock.now()) - 61))


@pytest.mark.parametrize(
    "changed",
    [
        {"htm": "POST"},
        {"htm": "get"},
        {"htm": None},
        {"htu": "http://127.0.0.1:9/other"},
        {"htu": "http://127.0.0.1/coins"},
        {"htu": "https://127.0.0.1:9/coins"},
        {"htu": "/coins"},
        {"htu": None},
        {"htu": "http://[/"},
        {"ath": None},
        {"ath": "x"},
        {"ath": 1},
        {"jti": None},
        {"jti": ""},
        {"jti": 1},
        {"jti": "x" * 129},
        {"jti": "\ud800"},
        {"iat": None},
        {"iat": "now"},
        {"iat": 0},
        {"iat": True},
        {"iat": 1e400},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"alg": "none"}},
        {"header": {"alg": "HS256"}},
        {"header": {"jwk": None}},
        {"header": {"jwk": {}}},
        {"header": {"kid": "k"}},
        {"header": {"crit": ["x"], "x": 1}},
        {"header": {"jku": "https://evil.example"}},
    ],
    ids=str,
)
def test_a_proof_that_does_not_fit_is_refused(guard: Asked, holder: Holder, changed: dict[str, Any]) -> None:
    refuse(guard, holder.token, holder.prove(**changed))


@pytest.mark.parametrize("htu", [f"{URL}?a=1", f"{URL}#x", "HTTP://127.0.0.1:9/coins"])
def test_query_fragment_and_case_of_the_scheme_do_not_count(guard: Asked, holder: Holder, htu: str) -> None:
    assert send(guard, holder.token, holder.prove(htu=htu))


@pytest.mark.parametrize("seconds", [61, -61])
def test_a_proof_from_another_time_is_refused(guard: Asked, holder: Holder, seconds: int) -> None:
    refuse(guard, holder.token, holder.prove(iat=int(holder.clock.now()) + seconds))
    assert send(guard, holder.token, holder.prove(iat=int(holder.clock.now()) + seconds * 60 // 61))


def test_a_proof_of_another_key_is_refused(guard: Asked, holder: Holder) -> None:
    thief = ECKey.generate_key("P-256", private=True)
    refuse(guard, holder.token, holder.prove(key=thief))
    refuse(guard, holder.token, holder.prove(key=thief, header={"jwk": holder.key.as_dict(private=False)}))
    refuse(guard, holder.token, holder.prove(header={"jwk": holder.key.as_dict(private=True)}))


def test_a_proof_for_another_token_is_refused(
    guard: Asked, holder: Holder, doorward_issuer: Issuer, app: Client, ada: User
) -> None:
    other = doorward_issuer.access_token(ada, app, cnf={"jkt": holder.key.thumbprint()})
    refuse(guard, other, holder.prove())
    refuse(guard, holder.token, "")
    refuse(guard, holder.token, f"{holder.prove()}, {holder.prove()}")


@pytest.mark.asvs("10.3.5")
def test_a_stolen_bound_token_is_worth_nothing(guard: Asked, holder: Holder) -> None:
    with pytest.raises(InvalidToken):
        guard.identify(request(authorization=f"Bearer {holder.token}"))
    with pytest.raises(InvalidProof):
        guard.identify(request(authorization=f"DPoP {holder.token}"))
    send(guard, holder.token, holder.prove())
    with pytest.raises(InvalidToken):
        guard.verify(holder.token)  # there is no place for a proof


def test_the_scheme_must_be_that_of_the_token(guard: Asked, doorward_issuer: Issuer, app: Client, ada: User) -> None:
    plain = doorward_issuer.access_token(ada, app)
    with pytest.raises(InvalidToken):
        send(guard, plain, "x")


@pytest.mark.asvs("10.3.5")
def test_an_app_may_take_bound_tokens_only(
    doorward_issuer: Issuer, app: Client, ada: User, holder: Holder, doorward_clock: MovableClock
) -> None:
    strict = Settings(doorward_issuer.url, app.client_id, app.secret, app_url="http://127.0.0.1:9", require_dpop=True)
    with guarding("threads", strict, doorward_clock.as_clock(real_monotonic=True)) as guard:
        plain = doorward_issuer.access_token(ada, app)
        for _ in range(2):
            with pytest.raises(InvalidToken):
                guard.identify(request(authorization=f"Bearer {plain}"))
            with pytest.raises(InvalidToken):
                guard.verify(plain)
        with pytest.raises(InvalidToken):
            guard.identify(request(x_api_key=doorward_issuer.api_key(ada, "read")))
        assert send(guard, holder.token, holder.prove()) == ada.sub


def test_proofs_are_remembered_as_long_as_they_are_good_and_no_more_than_fit() -> None:
    seen = ProofsInMemory(size=2)
    assert seen.first_time("a", 0, 61)
    assert seen.first_time("b", 1, 62)
    with pytest.raises(Unavailable):
        seen.first_time("c", 2, 63)  # rather than forget one that may come again
    assert not seen.first_time("b", 61, 122)
    assert seen.first_time("a", 61, 122)


def _shown_here(path: Path) -> list[bool]:
    store = SessionsInSQLite(path)
    return [store.first_time(f"proof {number}", 0, 61) for number in range(100)]


def test_a_proof_counts_at_one_of_the_processes_that_share_a_file(tmp_path: Path) -> None:
    SessionsInSQLite(tmp_path / "s.db").close()
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        met = list(processes.map(_shown_here, [tmp_path / "s.db"] * 4))
    assert [sum(found) for found in zip(*met, strict=True)] == [1] * 100


def test_a_file_forgets_proofs_that_are_too_old_to_count(tmp_path: Path) -> None:
    store = SessionsInSQLite(tmp_path / "s.db")
    assert store.first_time("a", 0, 61.5)
    assert not store.first_time("a", 61, 122)
    assert store.first_time("b", 62, 123)
    (count,) = sqlite3.connect(tmp_path / "s.db").execute("SELECT count(*) FROM proof").fetchone()
    assert count == 1
    store.close()


@pytest.mark.asvs("10.3.5")
def test_a_proof_that_one_guard_has_seen_counts_at_no_other_of_the_same_store(
    settings: Settings, doorward_clock: MovableClock, holder: Holder, tmp_path: Path
) -> None:
    clock = doorward_clock.as_clock(real_monotonic=True)
    one, other = SessionsInSQLite(tmp_path / "s.db"), SessionsInSQLite(tmp_path / "s.db")
    proof = holder.prove()
    with guarding("threads", settings, clock, one) as first, guarding("threads", settings, clock, other) as second:
        send(first, holder.token, proof)
        refuse(second, holder.token, proof)
        send(second, holder.token, holder.prove())
    one.close()
    other.close()
