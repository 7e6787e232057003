"""Recovery codes: ten of 80 bits, read off paper in any way that can be meant, each used once, none kept."""

import hmac
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.adapters.argon2 import Argon2Hasher
from doorward.authenticators.kind import Derivation, Passed, Refused, Secret, State
from doorward.authenticators.kinds.recovery_code import (
    ALPHABET,
    KIND,
    fresh,
    left,
    new_codes,
    new_salt,
    normalise,
    secret_of,
)
from doorward.ports import Cost
from tests.support.hostile import hostile_strings

CODE = "01ab-cdef-ghjk-vwz9"
NORMAL = "01abcdefghjkvwz9"
COST = Cost(memory_kib=19_456, time_cost=2, lanes=1)
NOW = 0


def malformed(answer: str) -> bool:
    with pytest.raises(Refused) as refused:
        normalise(answer)
    return refused.value.reason == "malformed"


# Making --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.3", "6.5.4")
def test_a_set_is_ten_codes_of_eighty_bits_in_groups_of_four() -> None:
    codes = [code for _ in range(20) for code in new_codes()]
    assert len(codes) == len(set(codes)) == 200
    assert len(ALPHABET) == len(set(ALPHABET)) == 2**5
    for code in codes:
        groups = code.split("-")
        assert [len(group) for group in groups] == [4, 4, 4, 4]
        assert set("".join(groups)) <= set(ALPHABET)
        assert normalise(code) == "".join(groups)


def test_every_character_comes_at_every_place() -> None:
    codes = [normalise(code) for _ in range(100) for code in new_codes()]
    for place in range(16):
        seen = Counter(code[place] for code in codes)
        assert seen.keys() == set(ALPHABET)
        assert max(seen.values()) < 90  # 31 expected


def test_a_salt_has_128_bits_of_its_own() -> None:
    salts = {new_salt() for _ in range(50)}
    assert len(salts) == 50
    assert {len(salt) for salt in salts} == {16}


# Reading -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        NORMAL,
        CODE.upper(),
        CODE.replace("-", " "),
        f"  {CODE}\r\n",
        "01 Ab - cDeF - ghJK - vwz9",
        CODE.replace("-", "\u2013"),
        CODE.replace("-", "\u2011"),
        f"\u2066{CODE}\u2069",
        CODE.replace("0", "o"),
        CODE.replace("0", "O"),
        CODE.replace("1", "i"),
        CODE.replace("1", "I"),
        CODE.replace("1", "l"),
        CODE.replace("1", "L"),
        CODE.replace("v", "u"),
        CODE.replace("v", "U"),
        " ".join(NORMAL),
    ],
)
def test_a_code_is_read_however_it_was_copied(typed: str) -> None:
    assert normalise(typed) == NORMAL


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " - - - ",
        NORMAL[:-1],
        NORMAL + "0",
        NORMAL * 2,
        NORMAL[:-1] + "_",
        NORMAL[:-1] + "\u00b2",
        NORMAL[:-1] + "\u0430",
        NORMAL[:-1] + "\uff19",
        NORMAL[:-1] + "\u0130",
        NORMAL[:-1] + "\u212a",
        NORMAL[:-1] + "\ud800",
        NORMAL[:-1] + "\x00",
        "a" * 10_000,
        "-" * 10_000,
    ],
)
def test_what_is_no_code_in_any_reading_is_malformed(typed: str) -> None:
    assert malformed(typed)


@pytest.mark.parametrize(
    "text", [text for text in hostile_strings() if text != "shitake mushrooms"]
)  # which reads as one
def test_no_hostile_text_is_read_as_a_code(text: str) -> None:
    assert malformed(text)


@given(st.text(ALPHABET + ALPHABET.upper() + "iIlLoOuU", min_size=16, max_size=16), st.data())
def test_a_reading_is_one_of_the_alphabet_and_stays(text: str, data: st.DataObject) -> None:
    normal = normalise("".join(character + data.draw(st.sampled_from(["", " ", "-"])) for character in text))
    assert set(normal) <= set(ALPHABET)
    assert normalise(normal) == normalise(text) == normal


# Using ---------------------------------------------------------------------------------------------------------------

DIGESTS = [bytes([number]) * 32 for number in range(10)]
SECRET = secret_of(b"salt" * 4, COST, DIGESTS)


def verify(digest: bytes, state: State, secret: Secret = SECRET) -> Passed:
    return KIND.verify(secret, state, digest.hex(), NOW)


def refusal(answer: str, state: State) -> str:
    with pytest.raises(Refused) as refused:
        KIND.verify(SECRET, state, answer, NOW)
    return refused.value.reason


@pytest.mark.asvs("6.5.1")
def test_each_code_counts_once_in_any_order_until_none_is_left() -> None:
    state = fresh(SECRET)
    assert left(state) == 10
    for used, place in enumerate([9, 0, 5, 1, 8, 2, 7, 3, 6, 4], start=1):
        passed = verify(DIGESTS[place], state)
        assert passed.amr == ("otp",)
        state = passed.state
        assert left(state) == 10 - used
        assert refusal(DIGESTS[place].hex(), state) == "used before"
    assert [refusal(digest.hex(), state) for digest in DIGESTS] == ["used before"] * 10


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "f" * 64,
        DIGESTS[1].hex()[:-1],
        DIGESTS[1].hex() + "0",
        DIGESTS[10 - 1].hex()[:-1] + "a",
        NORMAL,
        "\ud800",
        "\u0661" * 64,
        "0" * 10_000,
    ],
)
def test_what_derives_to_none_of_the_set_is_wrong(answer: str) -> None:
    assert refusal(answer, fresh(SECRET)) == "wrong"


def test_every_digest_is_compared_in_constant_time_wherever_the_right_one_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for digest in (DIGESTS[0], DIGESTS[9]):
        compared.clear()
        verify(digest, fresh(SECRET))
        assert compared == [each.hex().encode() for each in DIGESTS]


# With the hasher -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasher() -> Iterator[Argon2Hasher]:
    made = Argon2Hasher(memory_kib=64, time_cost=1, threads=2)
    yield made
    made.close()


@dataclass(frozen=True)
class CodeSet:
    codes: Sequence[str]
    secret: Secret

    @classmethod
    async def make(cls, hasher: Argon2Hasher) -> "CodeSet":
        codes, salt, cost = new_codes(), new_salt(), hasher.cost
        digests = [await hasher.derive(normalise(code), salt, cost) for code in codes]
        return cls(codes, secret_of(salt, cost, digests))

    async def use(self, hasher: Argon2Hasher, state: State, typed: str) -> State:
        asked = KIND.derivation(self.secret, typed)
        derived = await hasher.derive(asked.text, asked.salt, asked.cost)
        return KIND.verify(self.secret, state, derived.hex(), NOW).state


async def test_a_code_from_paper_opens_once(hasher: Argon2Hasher) -> None:
    made = await CodeSet.make(hasher)
    state = await made.use(hasher, fresh(made.secret), f" {made.codes[4].upper()} ")
    assert 4 not in state["unused"]
    with pytest.raises(Refused, match="used before"):
        await made.use(hasher, state, made.codes[4])
    assert left(await made.use(hasher, state, made.codes[5])) == 8


async def test_codes_of_another_set_open_nothing(hasher: Argon2Hasher) -> None:
    old, new = await CodeSet.make(hasher), await CodeSet.make(hasher)
    for code in old.codes:
        with pytest.raises(Refused, match="wrong"):
            await new.use(hasher, fresh(new.secret), code)


async def test_codes_made_before_a_change_of_parameters_are_still_right(hasher: Argon2Hasher) -> None:
    made = await CodeSet.make(hasher)
    stronger = Argon2Hasher(memory_kib=128, time_cost=3, lanes=2, threads=1)
    assert stronger.cost != hasher.cost
    assert left(await made.use(stronger, fresh(made.secret), made.codes[0])) == 9
    stronger.close()


@pytest.mark.asvs("6.5.2")
async def test_what_is_kept_is_a_slow_salted_digest_of_each_and_what_it_cost(hasher: Argon2Hasher) -> None:
    made = await CodeSet.make(hasher)
    kept = json.dumps(made.secret)
    assert set(made.secret) == {"salt", "digests", "memory_kib", "time_cost", "lanes"}
    assert Cost(made.secret["memory_kib"], made.secret["time_cost"], made.secret["lanes"]) == hasher.cost
    assert len(bytes.fromhex(made.secret["salt"])) >= 4
    assert len(set(made.secret["digests"])) == 10
    for code in made.codes:
        assert normalise(code) not in kept
        assert code not in kept


def test_what_is_derived_is_the_code_that_was_meant_with_the_salt_and_cost_of_its_set() -> None:
    assert KIND.derivation(SECRET, f" {CODE.upper()} ") == Derivation(NORMAL, b"salt" * 4, COST)


def test_nothing_is_derived_of_what_is_no_code() -> None:
    for typed in ("", "hunter2", "a" * 10_000):
        with pytest.raises(Refused, match="malformed"):
            KIND.derivation(SECRET, typed)


def test_what_is_to_be_derived_is_not_shown() -> None:
    shown = repr(KIND.derivation(SECRET, CODE))
    assert NORMAL not in shown
    assert "salt" not in shown
