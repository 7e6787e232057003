"""Events put together as people see them: one line for what one request did, and for a failure that repeats itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from doorward.account.activity import Entry, Happening, entries
from doorward.account.activity_words import words_of

WRONG = {"action": "sign-in", "reason": "wrong password"}
NOTHING: Mapping[str, Any] = {}


def row(
    at: int, event: str, payload: Mapping[str, Any] = NOTHING, request_id: str | None = None, **other: Any
) -> Happening:
    happening = Happening(
        id=f"id-{at}", at=at, event=event, outcome="failure" if event.endswith("fail") else "success",
        words=words_of(event, payload, "owner"), device="A program", address="192.0.2.1", place=None, is_here=False,
        request_id=f"request-{at}" if request_id is None else request_id,
    )  # fmt: skip
    return replace(happening, **other)


def shown(lines: Sequence[Entry]) -> list[tuple[str, int, list[tuple[str, int]]]]:
    return [
        (line.chief.words.text, line.count, [(words.text, count) for words, count in line.beside]) for line in lines
    ]


def test_a_sign_in_is_one_line() -> None:
    lines = entries([row(2, "authn_login_success", {"amr": ["pwd"]}, "r"), row(1, "session_created", NOTHING, "r")])
    assert shown(lines) == [("You signed in with your password", 1, [])]


def test_a_sign_in_in_place_of_an_older_one_is_one_line() -> None:
    ended = row(1, "session_logout", {"why": "another session began in its place"}, "r")
    lines = entries([row(2, "authn_login_success", {"amr": ["pwd"]}, "r"), ended])
    assert shown(lines) == [("You signed in with your password", 1, [])]
    assert len(entries([ended])) == 1, "somebody else signed in where one was signed in"


def test_a_changed_password_stands_above_the_devices_that_it_signs_out() -> None:
    ended = [row(at, "session_logout", {"why": "ended with the others"}, "r") for at in (3, 2, 1)]
    lines = entries([row(5, "authn_password_change", NOTHING, "r"), row(4, "session_renewed", NOTHING, "r"), *ended])
    assert shown(lines) == [("Your password was changed", 1, [("A device was signed out", 3)])]
    assert lines[0].chief.id == "id-5"


def test_what_weighs_most_is_told_first_whatever_came_last() -> None:
    rows = [row(3, "session_created", NOTHING, "r"), row(2, "user_updated", {"email": "proven"}, "r"),
            row(1, "user_created", NOTHING, "r")]  # fmt: skip
    assert shown(entries(rows)) == [("You created your account", 1, [("Your e-mail address was confirmed", 1)])]


def test_a_session_that_began_by_itself_is_told() -> None:
    """No path in may go unseen, whatever else it forgets to record."""
    assert shown(entries([row(1, "session_created")])) == [("A device was signed in", 1, [])]


def first_step(at: int, **other: Any) -> Happening:
    return row(at, "authn_token_created", {"purpose": "next step"}, **other)


def test_two_steps_of_one_sender_are_one_sign_in() -> None:
    for event, text in (("authn_login_success", "You signed in"), ("session_renewed", "You confirmed that it was you")):
        assert shown(entries([row(3, event), first_step(2)])) == [(text, 1, [])]


def test_a_first_step_that_nobody_followed_up_is_told() -> None:
    """Whoever took it knows the password."""
    told = "The first step of signing in succeeded, and a second was asked for"
    signed_in = row(9, "authn_login_success")
    for rows in (
        [first_step(1)],
        [signed_in, first_step(1, address="192.0.2.2")],
        [signed_in, first_step(1, device="Firefox on Debian")],
        [signed_in, row(5, "authn_login_fail", {"action": "factor"}), first_step(1)],
        [row(9, "user_updated"), first_step(1)],
    ):
        assert shown(entries(rows))[-1] == (told, 1, [])
    lines = entries([signed_in, first_step(8), first_step(7)])
    assert [line.chief.at for line in lines] == [9, 7], "one of them was not the owner's, or came to nothing"


def test_what_no_request_did_stands_alone() -> None:
    rows = [row(at, "authz_change", {"to": ["support"]}, "") for at in (2, 1)]
    assert len(entries(rows)) == 2


def test_the_same_failure_in_a_row_is_one_line_with_its_first_and_last_time() -> None:
    (line,) = entries([row(at, "authn_login_fail", WRONG) for at in range(12, 0, -1)])
    assert (line.count, line.since, line.chief.at, line.chief.id) == (12, 1, 12, "id-12")


def test_failures_that_differ_in_anything_that_is_shown_stay_apart() -> None:
    first = row(9, "authn_login_fail", WRONG)
    for other in (
        row(8, "authn_login_fail", {"action": "factor"}),
        row(8, "authn_login_fail", WRONG, address="192.0.2.2"),
        row(8, "authn_login_fail", WRONG, device="Firefox on Debian"),
        row(8, "authn_login_fail", WRONG, is_here=True),
    ):
        assert len(entries([first, other])) == 2
    between = row(8, "authn_login_success", {"amr": ["pwd"]})
    assert len(entries([first, between, row(7, "authn_login_fail", WRONG)])) == 3


def test_successes_are_never_summed_up() -> None:
    assert len(entries([row(at, "authn_login_success", {"amr": ["pwd"]}) for at in (3, 2, 1)])) == 3


def test_a_failure_that_locked_the_name_keeps_its_line() -> None:
    locked = [row(5, "authn_login_lock", NOTHING, "r"), row(4, "authn_login_fail", WRONG, "r")]
    lines = entries([*locked, row(3, "authn_login_fail", WRONG)])
    assert [line.count for line in lines] == [1, 1]


@given(st.lists(st.tuples(st.sampled_from(["authn_login_fail", "authn_login_success", "session_logout"]),
                          st.sampled_from(["a", "b", ""]))))  # fmt: skip
def test_no_event_that_is_not_implied_gets_lost(events: Sequence[tuple[str, str]]) -> None:
    rows = [row(100 - at, event, NOTHING, request) for at, (event, request) in enumerate(events)]
    lines = entries(rows)
    assert sum(line.count + sum(count for _, count in line.beside) for line in lines) == len(rows)
    assert [line.chief.at for line in lines] == sorted((line.chief.at for line in lines), reverse=True)
