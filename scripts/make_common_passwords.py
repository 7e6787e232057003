"""Writes src/doorward/authenticators/common_passwords.txt from scripts/common-passwords.txt, always the same way.

Run it after a change of either: `.venv/bin/python scripts/make_common_passwords.py`; a test compares the result.

Entries are in small letters. Words and phrases stand as they are. To them come what people make long passwords of:
words said twice or three times, words with a row of digits behind, and sentences with a place for somebody. What a
matcher of quality.py finds anyway is listed all the same when it is among what is tried first: lists are easy to check.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SHORTEST = 15  # what the shipped policy lets through to the list (ASVS 6.2.4)
MATERIAL = Path(__file__).with_name("common-passwords.txt")
TARGET = Path(__file__).parents[1] / "src/doorward/authenticators/common_passwords.txt"
HEADER = """\
# What is guessed first, one a line, in small letters; an entry of several words is a phrase. A password is refused when
# the whole of it is one of these, however it is written, also repeated or with digits and signs around it (quality.py).
#
# Made by scripts/make_common_passwords.py from words and sayings that were written down for Doorward, by patterns that
# the literature describes; no list of leaked passwords was copied. Copyright and licence: those of Doorward (LICENSE).
"""
ROWS = ("123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890")
FAVOURITES = (
    "password", "admin", "administrator", "welcome", "letmein", "changeme", "iloveyou", "secret", "master", "login",
    "qwerty", "monkey", "dragon", "princess", "sunshine", "football", "baseball", "basketball", "superman", "batman",
    "starwars", "liverpool", "chelsea", "arsenal", "barcelona", "michael", "jessica", "jennifer", "charlie", "jordan",
    "daniel", "ashley", "nicole", "chocolate", "butterfly", "computer", "internet", "freedom", "shadow", "whatever",
    "hello", "love", "test", "guest", "root", "user", "summer", "winter", "spring", "autumn", "flower", "angel",
    "babygirl", "soccer", "killer", "trustno", "pokemon",
)  # fmt: skip
SENTENCES = (
    "i love {}",
    "i hate {}",
    "i love you {}",
    "i miss you {}",
    "{} is the best",
    "{} loves me",
    "my name is {}",
)
OF_KIN = ("i love my {}", "i hate my {}", "i miss my {}", "my {} is the best", "my {} loves me", "my lovely {}")


def read_material(text: str) -> Mapping[str, Sequence[str]]:
    """The sections of the material: lines of the last two, words of the others."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = []
        elif line and not line.startswith("#"):
            found[section].extend([line] if section in {"patterns", "phrases"} else line.split())
    return found


def entries(material: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Every entry, some of them more than once."""
    for section in ("words", "names", "places", "teams", "famous", "kin", "phrases"):
        yield from material[section]
    for pattern in material["patterns"]:  # of numbers such as pi, as much as people type
        yield from (pattern[:length] for length in (*range(SHORTEST, 21), len(pattern)))
    for word in FAVOURITES:
        yield from (word * times for times in (2, 3) if len(word) * times >= SHORTEST)
        yield from _long(word + row for row in ROWS)
    for name in (*material["names"], *material["famous"], *material["teams"]):
        yield from _long(sentence.format(name) for sentence in SENTENCES[:1])
    for name in material["names"]:
        yield from _long(sentence.format(name) for sentence in SENTENCES[1:])
    for kin in material["kin"]:
        yield from _long(sentence.format(kin) for sentence in OF_KIN)


def _long(texts: Iterator[str]) -> Iterator[str]:
    return (text for text in texts if len(text.replace(" ", "")) >= SHORTEST)


def made(text: str) -> str:
    """The whole file."""
    chosen: dict[str, str] = {}
    for entry in entries(read_material(text)):
        # Of two spellings of one entry the one with spaces stays: it is known to be a phrase.
        key = entry.casefold().replace(" ", "")
        if key not in chosen or " " in entry:
            chosen[key] = entry.casefold()
    return HEADER + "".join(f"{entry}\n" for entry in sorted(chosen.values()))


if __name__ == "__main__":
    TARGET.write_text(made(MATERIAL.read_text("utf-8")), "utf-8")
