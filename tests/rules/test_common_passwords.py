"""D3: the list and the matchers measured, with what people choose and with what chance does. The rates are printed."""

import random
import string
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.authenticators import PasswordPolicy
from doorward.authenticators.quality import find_weakness
from doorward.kernel.errors import Invalid
from scripts.make_common_passwords import MATERIAL, TARGET, made

DATA = Path(__file__).parents[1] / "data"
POLICY = PasswordPolicy(site="Fitness Club of Leeds")
CONTEXT = ("anni", "Annemarie Smithson", "annemarie.smithson@example.org")
CAUGHT, FALSELY_REFUSED = 0.90, 0.001
SAMPLES = 10_000


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def is_refused(password: str) -> bool:
    try:
        POLICY.check(password, context=CONTEXT)
    except Invalid:
        return True
    return False


@pytest.mark.asvs("6.2.4")
def test_more_than_three_thousand_passwords_that_the_minimum_lets_through_are_listed_and_refused() -> None:
    long = [entry for entry in lines(TARGET) if len(entry) >= POLICY.minimum_length]
    assert len(set(long)) >= 3_000
    assert [entry for entry in long if not is_refused(entry)] == []
    assert TARGET.stat().st_size < 200_000


def test_the_list_is_made_of_its_material_and_nothing_else() -> None:
    assert TARGET.read_text("utf-8") == made(MATERIAL.read_text("utf-8"))


@pytest.mark.asvs("6.2.4")
def test_nine_in_ten_long_passwords_that_people_make_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    passwords = lines(DATA / "long-common-passwords.txt")
    assert len(passwords) >= 300
    assert min(map(len, passwords)) >= POLICY.minimum_length
    caught = sum(map(is_refused, passwords)) / len(passwords)
    with capsys.disabled():
        sys.stdout.write(f"\nlong common passwords refused: {caught:.1%} of {len(passwords)}\n")
    assert caught >= CAUGHT


def pass_phrases(chance: random.Random) -> Iterator[str]:
    """Four to six words, joined and written in the ways that people do."""
    words = lines(DATA / "common-words.txt")
    while True:
        chosen = [chance.choice(words) for _ in range(chance.randint(4, 6))]
        cased = chance.choice([
            chosen,
            [word.title() for word in chosen],
            [word.upper() for word in chosen],
            [chosen[0].title(), *chosen[1:]],
        ])  # fmt: skip
        phrase = chance.choice([" ", "", "-", "_", ".", ", "]).join(cased) + chance.choice(["", "", "!", "7", "2026"])
        if len(phrase) >= POLICY.minimum_length:
            yield phrase


def characters(alphabet: str, chance: random.Random) -> Iterator[str]:
    while True:
        yield "".join(chance.choice(alphabet) for _ in range(chance.randint(15, 24)))


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [
        ("pass-phrases of four to six words", pass_phrases),
        ("small letters", lambda chance: characters(string.ascii_lowercase, chance)),
        ("letters and digits", lambda chance: characters(string.ascii_letters + string.digits, chance)),
        ("printable characters", lambda chance: characters(string.printable[:95], chance)),
        ("digits", lambda chance: characters(string.digits, chance)),
        ("hexadecimal digits", lambda chance: characters(string.hexdigits[:16], chance)),
    ],
)
def test_what_chance_makes_is_not_refused(kind: str, drawn: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(drawn)
    made_by_chance = drawn(random.Random(20_260))  # noqa: S311  the same sample every time
    refused = [text for text, _ in zip(made_by_chance, range(SAMPLES), strict=False) if is_refused(text)]
    with capsys.disabled():
        sys.stdout.write(f"\n{kind} refused: {len(refused) / SAMPLES:.2%} of {SAMPLES} {refused[:3]}\n")
    assert len(refused) < FALSELY_REFUSED * SAMPLES


@given(st.text(max_size=300), st.lists(st.text(max_size=40), max_size=4))
def test_no_text_at_all_makes_the_policy_fail(password: str, context: list[str]) -> None:
    with suppress(Invalid):
        assert len(POLICY.check(password, context=context)) >= POLICY.minimum_length


@given(st.text(alphabet="1234567890qwertyasdfzxcvabP@$! ", min_size=15, max_size=60))
def test_nothing_typed_on_a_few_keys_makes_the_policy_fail(password: str) -> None:
    is_refused(password)


@pytest.mark.parametrize(
    "of", ["a", "ab", "lovemonkey", "annismithson", "qwas", "1q2w", "12", "l0v3", "iloveyou3", "4@1"]
)
@pytest.mark.asvs("15.2.2")
def test_the_work_grows_with_the_length_and_not_faster(of: str) -> None:
    """Counted in function calls and line events, not in time: twice the length, about twice the work."""
    short, long = (steps_of((of * 256)[: size - 1] + "~") for size in (128, 256))
    assert long < 2.6 * short
    assert long < 400_000


TraceFunction: TypeAlias = Callable[[FrameType, str, object], Any]


def steps_of(password: str) -> int:
    steps = 0

    def count(_frame: FrameType, _event: str, _argument: object) -> TraceFunction:
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        find_weakness(password, POLICY.common, frozenset({"anni", "smithson", "annismithson", "ann"}))
    finally:
        sys.settrace(before)
    return steps
