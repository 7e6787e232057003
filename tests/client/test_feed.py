"""The revocation feed: within two seconds, and closed when it is silent."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from doorward_client import Clock, Guard, InvalidToken, Settings, Unavailable
from doorward_client.revocations import Grant, Lines, Revocations
from doorward_client.testing import Issuer, MovableClock, User
from doorward_client.testing.issuer import Client
from tests.support.client_calls import Asked, guarding
from tests.support.waiting import wait_until

HEARTBEAT = b'{"seq":%d,"heartbeat":true}'
GRANT = Grant(sub="u1", issued_at=5_000, sid="s1", fid="f1", jti="t1")


# The core ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def state(doorward_clock: MovableClock) -> Revocations:
    revocations = Revocations(doorward_clock.as_clock())
    revocations.connected()
    return revocations


def fresh(state: Revocations) -> bool:
    return state.fresh


def end(state: Revocations, kind: str, name: str, at: int = 0, seq: int = 1) -> None:
    state.read(b'{"seq":%d,"kind":"%s","id":"%s","at":%d}' % (seq, kind.encode(), name.encode(), at))


@pytest.mark.parametrize(("kind", "name"), [("session", "s1"), ("family", "f1"), ("token", "t1")])
def test_what_is_named_has_ended_and_nothing_else(state: Revocations, kind: str, name: str) -> None:
    end(state, kind, "other")
    for other in {"session", "family", "token"} - {kind}:
        end(state, other, name)
    assert not state.revoked(GRANT)
    end(state, kind, name)
    assert state.revoked(GRANT)


def test_of_a_user_ends_what_was_issued_before(state: Revocations) -> None:
    end(state, "user", "u1", at=5_000)
    assert not state.revoked(GRANT)
    end(state, "user", "u1", at=5_001)
    end(state, "user", "u1", at=4_000)  # sent again, out of order
    assert state.revoked(GRANT)


def test_it_counts_as_fresh_only_when_what_was_missed_has_come(
    state: Revocations, doorward_clock: MovableClock
) -> None:
    state.read(HEARTBEAT % 7)
    assert not fresh(state)
    assert state.last == 0  # the greeting names what is still to come
    end(state, "session", "s1", seq=7)
    assert not fresh(state)
    state.read(HEARTBEAT % 7)
    assert fresh(state)
    assert state.last == 7
    state.connected()  # again: what it knows counts for the rest of its two seconds
    doorward_clock.advance(1.9)
    state.read(HEARTBEAT % 8)
    assert fresh(state)
    doorward_clock.advance(0.1)
    assert not fresh(state)
    assert state.last == 7


def test_it_is_read_on_from_the_last_number_and_begun_without_one(state: Revocations) -> None:
    state.connected()
    assert state.place == {"after": ""}, "with 0 the server would tell of everything that ever ended"
    for _ in range(2):
        state.read(b'{"seq": 7, "heartbeat": true}')
    assert state.place == {"after": "7"}


def test_two_seconds_of_silence_make_it_stale(state: Revocations, doorward_clock: MovableClock) -> None:
    state.read(HEARTBEAT % 0)
    state.read(HEARTBEAT % 0)
    doorward_clock.advance(1.99)
    assert fresh(state)
    doorward_clock.advance(0.01)
    assert not fresh(state)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"x", b'{"seq":-1,"heartbeat":true}', b'{"seq":"1","heartbeat":true}', b'{"seq":1}',
             b'{"seq":1,"kind":"session","id":"s"}', b'{"seq":1,"kind":"session","id":1,"at":1}',
             b'{"seq":1,"seq":2,"heartbeat":true}', b'{"seq":1,"kind":1,"id":"s","at":1}'],
)  # fmt: skip
def test_a_line_that_is_not_understood_is_no_sign_of_life(state: Revocations, line: bytes) -> None:
    state.read(HEARTBEAT % 0)
    with pytest.raises(ValueError, match=r"."):
        state.read(line)
    assert not fresh(state)


def test_a_kind_of_the_future_is_passed_over(state: Revocations) -> None:
    end(state, "planet", "s1")
    assert not state.revoked(GRANT)


def test_what_no_living_token_can_rest_on_is_forgotten(state: Revocations, doorward_clock: MovableClock) -> None:
    end(state, "session", "s1")
    doorward_clock.advance(899)
    end(state, "session", "s2")
    assert state.revoked(GRANT)
    doorward_clock.advance(200)
    end(state, "session", "s3")
    assert not state.revoked(GRANT)


def test_lines_are_cut_wherever_chunks_end() -> None:
    lines = Lines()
    assert lines.feed(b'{"a"') == []
    assert lines.feed(b':1}\n\n{"b":2}\n{') == [b'{"a":1}', b'{"b":2}']
    assert lines.feed(b"}\r\n") == [b"{}\r"]
    with pytest.raises(ValueError, match="end"):
        lines.feed(b"x" * 5000)


# A guard that follows it ---------------------------------------------------------------------------------------------


@dataclass
class Silence:
    """A monotonic clock that a test can put forward, so that nobody waits until a feed is stale."""

    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def silence() -> Silence:
    return Silence()


@pytest.fixture(params=["threads", "tasks"])
def guard(
    request: pytest.FixtureRequest, settings: Settings, doorward_clock: MovableClock, silence: Silence
) -> Iterator[Asked]:
    with guarding(request.param, settings, Clock(doorward_clock.now, silence.monotonic)) as guard:
        yield guard


@pytest.fixture
def token(doorward_issuer: Issuer, app: Client, ada: User) -> str:
    return doorward_issuer.access_token(ada, app, sid="s1")


def introspected(issuer: Issuer) -> int:
    return issuer.asked.count("/oauth/introspect")


def following(guard: Asked, token: str) -> None:
    guard.verify(token)
    wait_until(lambda: guard.core.revocations.fresh)


def break_off(issuer: Issuer) -> None:
    """End the feed; when this returns, everything that was sent has been read."""
    before = issuer.asked.count("/oauth/revocations")
    issuer.broken.add("/oauth/revocations")
    wait_until(lambda: issuer.asked.count("/oauth/revocations") > before)


def refused(guard: Asked, token: str) -> bool:
    try:
        guard.verify(token)
    except InvalidToken:
        return True
    return False


def test_while_the_feed_is_fresh_nobody_is_asked(guard: Asked, doorward_issuer: Issuer, token: str) -> None:
    following(guard, token)
    before = introspected(doorward_issuer)
    for _ in range(100):
        guard.verify(token)
    assert introspected(doorward_issuer) == before


@pytest.mark.asvs("7.4.1")
def test_a_revoked_session_is_out_at_once(guard: Asked, doorward_issuer: Issuer, token: str) -> None:
    following(guard, token)
    doorward_issuer.revoke("session", "s1")
    assert wait_until(lambda: refused(guard, token)) < 2


def test_what_was_revoked_before_we_began_is_known(guard: Asked, doorward_issuer: Issuer, token: str) -> None:
    doorward_issuer.revoke("session", "s1")
    with pytest.raises(InvalidToken):
        guard.verify(token)
    wait_until(lambda: guard.core.revocations.fresh)
    with pytest.raises(InvalidToken):
        guard.verify(token)


@pytest.mark.asvs("7.4.1")
def test_a_stale_feed_makes_us_ask_about_each_token_at_most_every_second_and_a_half(
    guard: Asked, doorward_issuer: Issuer, token: str, silence: Silence
) -> None:
    following(guard, token)
    break_off(doorward_issuer)
    silence.seconds += 2
    before = introspected(doorward_issuer)
    for _ in range(10):
        guard.verify(token)
    assert introspected(doorward_issuer) == before + 1
    doorward_issuer.revoke("session", "s1")
    silence.seconds += 1.4
    guard.verify(token)
    assert introspected(doorward_issuer) == before + 1
    silence.seconds += 0.1  # the rest of the two seconds is for the question and for the server
    with pytest.raises(InvalidToken):
        guard.verify(token)
    assert introspected(doorward_issuer) == before + 2


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_a_connection_on_which_nothing_comes_is_given_up_after_two_seconds(
    settings: Settings, doorward_issuer: Issuer, token: str, doorward_clock: MovableClock, kind: str
) -> None:
    with guarding(kind, settings, doorward_clock.as_clock(real_monotonic=True)) as guard:
        following(guard, token)
        connected = doorward_issuer.asked.count("/oauth/revocations")
        doorward_issuer.feed_silent = True
        assert wait_until(lambda: not guard.core.revocations.fresh) < 2.5
        wait_until(lambda: doorward_issuer.asked.count("/oauth/revocations") > connected)
        doorward_issuer.feed_silent = False
        wait_until(lambda: guard.core.revocations.fresh)


@pytest.mark.asvs("16.5.3")
def test_when_nobody_can_say_whether_it_was_revoked_nothing_is_let_through(
    guard: Asked, doorward_issuer: Issuer, token: str, silence: Silence
) -> None:
    following(guard, token)
    break_off(doorward_issuer)
    doorward_issuer.broken.add("/oauth/introspect")
    silence.seconds += 2
    with pytest.raises(Unavailable):
        guard.verify(token)
    doorward_issuer.broken.clear()
    guard.verify(token)
    wait_until(lambda: guard.core.revocations.fresh)


def test_a_feed_that_breaks_off_is_read_on_from_where_it_was(guard: Asked, doorward_issuer: Issuer, token: str) -> None:
    following(guard, token)
    for _ in range(3):
        break_off(doorward_issuer)
        doorward_issuer.revoke("token", "another")
        doorward_issuer.broken.clear()
        wait_until(lambda: guard.core.revocations.last == len(doorward_issuer.ended))
    doorward_issuer.revoke("session", "s1")
    assert wait_until(lambda: refused(guard, token)) < 2


def test_a_wrong_secret_lets_nobody_in(doorward_issuer: Issuer, token: str, doorward_clock: MovableClock) -> None:
    wrong = Settings(doorward_issuer.url, "app", "dwc_wrong")
    with guarding("threads", wrong, doorward_clock.as_clock()) as guard, pytest.raises(Unavailable):
        guard.verify(token)


def test_an_app_may_live_with_tokens_that_expire(
    doorward_issuer: Issuer, token: str, doorward_clock: MovableClock
) -> None:
    """For a resource server without a secret; it has to say so."""
    alone = Settings(doorward_issuer.url, "app", revocation="expiry")
    with guarding("threads", alone, doorward_clock.as_clock()) as guard:
        doorward_issuer.revoke("session", "s1")
        assert guard.verify(token).sid == "s1"
        assert introspected(doorward_issuer) == 0
        doorward_clock.advance(600)
        with pytest.raises(InvalidToken):
            guard.verify(token)


def test_an_app_may_ask_about_every_token(
    settings: Settings, doorward_issuer: Issuer, token: str, doorward_clock: MovableClock
) -> None:
    asking = Settings(settings.issuer, settings.client_id, settings.client_secret, revocation="introspection")
    with guarding("threads", asking, doorward_clock.as_clock()) as guard:
        guard.verify(token)
        doorward_issuer.revoke("session", "s1")
        doorward_clock.advance(2)
        with pytest.raises(InvalidToken):
            guard.verify(token)
    assert "/oauth/revocations" not in doorward_issuer.asked


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that is what is tried here
def test_a_forked_process_follows_the_feed_itself(settings: Settings, doorward_issuer: Issuer, token: str) -> None:
    with Issuer() as _, Guard(settings, clock=Clock(doorward_issuer.clock.now)) as guard:
        guard.verify(token)
        wait_until(lambda: guard.core.revocations.fresh)
        child = os.fork()
        if child == 0:
            right = False
            try:
                before = threading.active_count(), guard.core.revocations.fresh
                guard.verify(token)
                right = before == (1, False) and threading.active_count() == 2
            finally:
                os._exit(0 if right else 1)  # whatever happened: no second run of the tests goes on from here
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
