"""What makes a whole password easy to guess (NIST SP 800-63B §3.1.1.2; ASVS 6.2.4, 6.2.11). Pure functions of text.

Every matcher speaks of the whole: a password is refused when all of it is a pattern, never for a part of it. What a
guesser tries for free is looked through first: case, signs between words, digits around them, l33t, saying it twice.
The work grows with the length of the password and with nothing else.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

Weakness: TypeAlias = Literal["repeats", "key_row", "too_common", "well_known_phrase", "too_personal"]

SHORT_UNIT = 8  # what is said over and over is as long a secret as what is said once
_SHORTEST_RUN = 3  # neighbouring keys: two of them are chance
_SHORTEST_WORD = 3
_LONGEST_WORD = 64
_CONTEXT_LONGEST = 320  # code points: no handle, name or address is longer, and a longer text is refused for itself
_WORDS = 2  # listed ones in a row; three of them are a pass-phrase of its own

# Keyboards: rows as they lie, what Shift makes of the digits' row, and how far each row is moved to the right.
_ROWS: Mapping[str, tuple[str, ...]] = {
    "qwerty": ("`1234567890-=", " qwertyuiop[]\\", " asdfghjkl;'", " zxcvbnm,./"),
    "qwertz": ("^1234567890ß", " qwertzuiopü+", " asdfghjklöä#", " yxcvbnm,.-"),
    "azerty": ("²1234567890)=", " azertyuiop^$", " qsdfghjklmù*", " wxcvbn,;:!"),
    "йцукен": ("ё1234567890-=", " йцукенгшщзхъ", " фывапролджэ", " ячсмитьбю."),
}
_SHIFTED = {"qwerty": ("!@#$%^&*()_+", "1234567890-="), "qwertz": ('!"§$%&/()=', "1234567890")}
_PADS = ("123", "456", "789", "147", "258", "369", "159", "357", "0147", "0258")
_NOTHING = (True, 0, False)
_LEET = ("@4310$5!7+89", ("aaeiossittbg", "aaelossittbg"))  # 1 is i or l
_ORDINAL = re.compile(r"(?<![a-z0-9])([0-9]{1,2})(?:st|nd|rd|th)")
_D, _M, _Y = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])", r"(?:19|20)\d\d"
_DAY = re.compile(f"{_Y}{_M}{_D}|{_D}{_M}{_Y}|{_M}{_D}{_Y}")
_YEAR = re.compile(r"19[3-9]\d|20[0-4]\d")
# What people put around the one word that they like.
_BEFORE = (
    "ilove", "iloveyou", "ilovemy", "iluv", "ihate", "ihatemy", "iam", "iamthe", "im", "imthe", "imnot", "mynameis",
    "mypasswordis", "mypassword", "thisis", "thisismy", "thepasswordis", "password", "passwordis", "passwordfor",
    "my", "the", "our", "a", "we", "welove", "welcometo", "hello", "hellomynameis", "i", "letme", "letsgo", "go",
    "goto", "forever", "love", "lovemy", "loves", "super", "little", "big", "best", "mr", "miss", "king", "queen",
    "viva", "forza", "jaime", "jetaime", "ichliebe", "ichbin", "mein", "meinpasswort", "mon", "ma", "mi", "meu",
    "teamo", "amo", "new", "old", "secret", "login", "user", "test", "not", "notmy", "please", "happy", "merry",
    "god", "jesus",
)  # fmt: skip
_AFTER = (
    "forever", "forlife", "isthebest", "isbest", "isawesome", "iscool", "ismylife", "ismylove", "ismyname",
    "ismypassword", "ispassword", "isking", "rocks", "rules", "rulez", "sucks", "lover", "fan", "fans", "girl", "boy",
    "man", "baby", "babe", "love", "loves", "loveyou", "lovesme", "lovesyou", "iloveyou", "please", "now", "again",
    "go", "club", "team", "fc", "united", "city", "and", "andme", "andi", "s", "es", "a", "d", "x", "z", "xx", "xxx",
    "yeah", "ever", "u", "you", "me", "password", "pass", "pw", "login", "online", "com", "net", "somuch", "verymuch",
    "too", "no", "the", "is",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """What is guessed first, as `squeeze` leaves it; `phrases` are those of several words."""

    words: frozenset[str]
    phrases: frozenset[str] = frozenset()

    def __contains__(self, text: str) -> bool:
        """Whether `text` is one of them."""
        return text in self.words or text in self.phrases


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read a password: its letters in a row, and what else is in it."""

    letters: str
    rest: str

    @property
    def rest_is_nothing(self) -> bool:
        """Whether digits and signs add little: fewer of them than letters, or a pattern themselves."""
        return len(self.rest) <= len(self.letters) or _is_pattern(self.rest)


def squeeze(text: str) -> str:
    """Small letters without accents, and digits; no signs, no spaces."""
    return _alnum(_plain(text))


def find_weakness(normal: str, listed: Listed, context: Collection[str]) -> Weakness | None:
    """Why all of a password in NFC is easy to guess, if it is.

    `context`: words that others can guess for its owner, each as `squeeze` leaves it (see `context_words`).
    """
    plain = _plain(normal)
    squeezed = _alnum(plain)
    if not _are_separators(plain):
        squeezed = plain
    if _is_repetition(plain) or _is_repetition(squeezed):
        return "repeats"
    folded = normal.casefold()  # with the accents: they are keys
    if _is_walk(folded) or (squeezed != plain and _is_walk(_alnum(folded))) or _is_interleaved(squeezed):
        return "key_row"
    if _is_pattern(squeezed):
        return "too_common"
    for text in (squeezed, unit(squeezed), squeezed[::-1]):
        if text in context:
            return "too_personal"
        if text in listed:
            return "well_known_phrase" if text in listed.phrases else "too_common"
    return next(filter(None, (_judge(reading, listed, context) for reading in dict.fromkeys(_readings(plain)))), None)


def context_words(texts: Sequence[str]) -> frozenset[str]:
    """What a guesser makes of a handle, a name, an address, a site: the whole, its words, local part and domain."""
    found: set[str] = set()
    for text in (text for text in texts if len(text) <= _CONTEXT_LONGEST):
        parts = [text, *text.partition("@")[::2], *re.split(r"[\W_]+", text)]
        for part in map(squeeze, parts):
            found |= {part, _letters(part)}
    return frozenset(word for word in found if len(word) >= _SHORTEST_WORD)


def unit(text: str) -> str:
    """The shortest beginning that, repeated, gives the text (the last time perhaps cut): "abcabcab" gives "abc"."""
    borders = [0] * len(text)  # Knuth, Morris, Pratt: how much of the beginning ends here
    length = 0
    for index in range(1, len(text)):
        while length and text[index] != text[length]:
            length = borders[length - 1]
        length += text[index] == text[length]
        borders[index] = length
    return text[: len(text) - (borders[-1] if text else 0)]


# Readings ------------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Small letters, accents taken off."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    decomposed = unicodedata.normalize("NFD", folded)
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")


def _alnum(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _are_separators(plain: str) -> bool:
    """Whether the signs in it only part its words: of one or two kinds, or few."""
    signs = [character for character in plain if not character.isalnum()]
    return len(set(signs)) <= 2 or 4 * len(signs) <= len(plain)  # noqa: PLR2004  as in "a - b - c"


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _readings(plain: str) -> Iterator[_Reading]:
    """As it stands; then with l33t undone, between the digits around it and in all of it."""
    plain = _ORDINAL.sub(r"\1", plain)
    letters = _letters(plain)
    rest = "".join(character for character in plain if not character.isalpha())
    yield _Reading(letters, rest)
    if not letters or 3 * len(letters) < len(plain):
        return  # digits with a few letters: these are no l33t
    first, last = plain.find(letters[0]), plain.rfind(letters[-1]) + 1
    signs, meanings = _LEET
    for text, outside in ((plain[first:last], plain[:first] + plain[last:]), (plain, "")):
        for meaning in meanings:
            undone = text.translate(str.maketrans(signs, meaning))
            yield _Reading(_letters(undone), "".join(c for c in undone if not c.isalpha()) + outside)


def _judge(reading: _Reading, listed: Listed, context: Collection[str]) -> Weakness | None:
    letters = reading.letters
    if not letters or not reading.rest_is_nothing:
        return None
    if _is_repetition(letters):
        return "repeats"
    if _is_walk(letters) and (2 * len(reading.rest) <= len(letters) or _is_pattern(reading.rest)):
        return "key_row"
    for text in dict.fromkeys((letters, unit(letters), letters[::-1])):
        if (found := _covered(text, listed, context)) is not None:
            return found
    return None


def _covered(text: str, listed: Listed, context: Collection[str]) -> Weakness | None:
    """Whether it is all listed words (no more than two), words of the context, and what people put around them."""
    if text in listed.phrases:
        return "well_known_phrase"
    # For each place reached: nothing but what is put around, the fewest listed words, help of words of the context.
    reached = {0: _NOTHING} | {len(start): _NOTHING for start in _BEFORE if text.startswith(start)}
    for start in range(len(text)):
        if start in reached:
            for end, step in _pieces(text, start, reached[start], listed, context):
                reached[end] = min(step, reached.get(end, step))
    ends = {len(text)} | {len(text) - len(end) for end in _AFTER if text.endswith(end)}
    _, words, personal = min((reached[end] for end in ends if end in reached), default=_NOTHING)
    if not words and not personal:
        return None
    return "too_personal" if personal else "too_common"


def _pieces(
    text: str, start: int, so_far: tuple[bool, int, bool], listed: Listed, context: Collection[str]
) -> Iterator[tuple[int, tuple[bool, int, bool]]]:
    _, words, personal = so_far
    for end in range(start + _SHORTEST_WORD, min(len(text), start + _LONGEST_WORD) + 1):
        piece = text[start:end]
        if piece in context:
            yield end, (False, words, True)
        elif words < _WORDS and piece in listed:
            yield end, (False, words + 1, personal)


# Repetitions ---------------------------------------------------------------------------------------------------------


def _is_repetition(text: str) -> bool:
    """abcabcabc, aaabbb…: a short part said at least twice, or a few characters each kept pressed."""
    if 2 * len(found := unit(text)) <= len(text) and len(found) <= SHORT_UNIT and text:
        return True
    runs = [run[0] for run in re.finditer(r"(.)\1+", text, re.DOTALL)]
    return sum(map(len, runs)) == len(text) > 0 and len(runs) <= SHORT_UNIT / 2


# Rows of keys --------------------------------------------------------------------------------------------------------


def _places(rows: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    return {key: (row, column) for row, keys in enumerate(rows) for column, key in enumerate(keys) if key != " "}


_KEYBOARDS = tuple(
    (_places(rows), str.maketrans(*_SHIFTED[name]) if name in _SHIFTED else {}) for name, rows in _ROWS.items()
)
# Keys that touch: beside each other, and half a key to the left and right in the row below.
_TOUCHING = frozenset({(0, 1), (0, -1), (1, 0), (1, -1), (-1, 0), (-1, 1), (0, 0)})


def _is_walk(text: str) -> bool:
    """Whether all of it is rows, columns or to and fro on one keyboard, an alphabet, or digits in a row."""
    if not text:
        return False
    if text.isalpha() and _is_in_runs(_straight_on([ord(letter) for letter in text])):
        return True
    if not any(character.isalpha() for character in text) and text.isalnum():
        return False  # digits touch each other too often: see _is_pattern
    for places, shifted in _KEYBOARDS:
        keys = [places[key] for key in text.translate(shifted) if key in places]
        if len(keys) == len(text) and _is_in_runs([(d - b, c - a) in _TOUCHING for (b, a), (d, c) in pairwise(keys)]):
            return True
    return False


def _straight_on(codes: Sequence[int]) -> list[bool]:
    """For each step of an alphabet whether it goes on as the one before: up, down or on the spot."""
    steps = [b - a for a, b in pairwise(codes)]
    return [abs(step) <= 1 and step in (steps[i - 1 : i] or steps[i + 1 : i + 2]) for i, step in enumerate(steps)]


def _is_in_runs(steps: Sequence[bool]) -> bool:
    """Whether steps that hold make runs of enough characters each, from end to end; one short run may be cut off."""
    runs, length = [], 1
    for holds in steps:
        if holds:
            length += 1
        else:
            runs.append(length)
            length = 1
    runs.append(length)
    return all(run >= _SHORTEST_RUN for run in runs[:-1]) and len(runs) <= (len(steps) + 1) / _SHORTEST_RUN


def _is_interleaved(text: str) -> bool:
    """1q2w3e4r…, a1b2c3…: two rows, key by key in turn."""
    return len(text) >= 2 * _SHORTEST_RUN and all(
        _is_walk(part) or _is_pattern(part) or _is_repetition(part) for part in (text[::2], text[1::2])
    )


# Digits and signs ----------------------------------------------------------------------------------------------------


def _is_pattern(text: str) -> bool:
    """Whether digits and signs are days, years, counting, lines on a number pad, or one sign over and over."""
    digits = "".join(str(unicodedata.decimal(character)) for character in text if character.isdecimal())
    others = "".join(character for character in text if not character.isdecimal())
    if any(character.isalpha() for character in others):
        return False
    if len(set(others)) > 2 and not _is_walk(others):  # noqa: PLR2004  two signs in turn are nothing
        return False
    return len(digits) <= _SHORTEST_RUN or _is_repetition(digits) or _counts(digits) or _is_of_lines(digits)


def _counts(digits: str) -> bool:
    """1 2 3 … 10 11 12, 10 20 30, 2 4 6, 1999 2000 2001: whole numbers with one step between them."""
    longest = len(digits) // 3  # two numbers say what the others are
    for first in range(1, min(4, longest) + 1):
        for second in range(first, min(5, first + 2, longest + 1) + 1):
            start, following = int(digits[:first]), int(digits[first : first + second])
            if _continues(digits, start, following - start):
                return True
    return False


def _continues(digits: str, number: int, step: int) -> bool:
    text, length = "", len(digits)
    while len(text) < length and number >= 0:
        text += str(number)
        number += step
        if not digits.startswith(text[:length]):
            return False
    return text[:length] == digits


def _is_of_lines(digits: str) -> bool:
    """Pieces that are each a day, a year, a line on the pad, or up, down or still."""
    reached = {0}
    for start in range(len(digits)):
        if start not in reached:
            continue
        reached |= {found.end() for pattern in (_DAY, _YEAR) if (found := pattern.match(digits, start))}
        if digits[start : start + 3] in _LINES:
            reached |= {start + 3}
        reached |= _straight(digits, start)
    return len(digits) in reached


_LINES = frozenset(
    line[i : i + 3][::way] for line in _PADS for way in (1, -1) for i in range(len(line) - 2)
)  # fmt: skip


def _straight(digits: str, start: int) -> set[int]:
    """Where the run of digits that go up, down or stay, and begin at `start`, may end."""
    ends: set[int] = set()
    for step in (-1, 0, 1):
        end = start + 1
        while end < len(digits) and (int(digits[end]) - int(digits[end - 1])) % 10 == step % 10:
            end += 1
        if end - start >= _SHORTEST_RUN:
            ends |= {end, end - 1} if end - start > _SHORTEST_RUN else {end}
    return ends
