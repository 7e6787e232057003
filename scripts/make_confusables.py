"""Make src/doorward/kernel/confusables.txt from Unicode's confusables.txt (UTS #39), given as the only argument.

Kept are the characters that survive NFKC and case folding, since `kernel.text.uid_key` folds first; each goes with the
folded prototype it ends at. Every stored uid_key depends on this table: a new release of it needs a migration.
"""

import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src/doorward/kernel/confusables.txt"
HEADER = """\
# Look-alike characters after NFKC and case folding: a prototype; the characters that look like it.
# Made by scripts/make_confusables.py from Unicode Security Mechanisms for UTS #39, confusables.txt {version},
# © Unicode, Inc., under the Unicode Licence (see NOTICE).
"""


def main(source: Path) -> None:
    """Write the table."""
    text = source.read_text("utf-8-sig")
    table = read_mappings(text)
    groups: dict[str, list[str]] = defaultdict(list)
    for character in sorted(table):
        prototype = resolve(character, table)
        if fold(character) == character != prototype and unicodedata.category(character)[0] in "LMNPS":
            groups[prototype].append(character)
    version = re.search(r"Version: (\S+)", text)
    lines = [f"{encode(prototype)} ; {encode(sources)}" for prototype, sources in sorted(groups.items())]
    TARGET.write_text(HEADER.format(version=version and version[1]) + "\n".join(lines) + "\n", "utf-8")


def read_mappings(text: str) -> dict[str, str]:
    """Read the lines "source ; target ; type"."""
    rows = (line.split("#")[0].split(";") for line in text.splitlines())
    return {decode(row[0]): decode(row[1]) for row in rows if len(row) > 1}


def decode(hexadecimal: str) -> str:
    """Turn code points in hexadecimal into text."""
    return "".join(chr(int(point, 16)) for point in hexadecimal.split())


def encode(text: Iterable[str]) -> str:
    """Turn text into code points in hexadecimal."""
    return " ".join(f"{ord(character):04X}" for character in text)


def fold(text: str) -> str:
    """Fold as uid_key does."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def resolve(text: str, table: Mapping[str, str]) -> str:
    """Follow the table to its end: "0" leads to "O", which folds to "o"."""
    following = fold("".join(table.get(character, character) for character in text))
    return following if following == text else resolve(following, table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
