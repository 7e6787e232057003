"""Rules about the text of the sources."""

import ast
import csv
import re
from collections.abc import Iterator

from doorward.sql import SEALED
from tests.support.sources import PACKAGE, ROOT, modules, own_texts

# Where somebody's own machine shows: home directories, and the places where checkouts and wheels lie.
MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:home|root|Users|work|opt|mnt)/[\w.-]+")
MAY_NAME_PATHS = ("tests/data/", "tests/house/test_sources.py")

EXCUSE = re.compile(r"#\s*(?:noqa|type: ignore)\b")
EXPLAINED = re.compile(r"#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])\s+(?:#\s*)?\w.{2,}")

INLINE = (
    re.compile(r"<script(?![^>]*\ssrc=)", re.IGNORECASE),
    re.compile(r"<style\b", re.IGNORECASE),
    re.compile(r"\sstyle\s*=", re.IGNORECASE),
    re.compile(r"\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    re.compile(r"javascript:", re.IGNORECASE),
)
ELSEWHERE = re.compile(r"\b(?:src|href|action)\s*=\s*[\"'](?:https?:)?//", re.IGNORECASE)


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    named = [
        f"{name}: {found.group()}"
        for name, text in own_texts()
        if not name.startswith(MAY_NAME_PATHS)
        for found in MACHINE_PATH.finditer(text)
    ]
    assert not named


def test_every_opt_out_of_a_check_gives_its_reason() -> None:
    assert not list(_unexplained())


def _unexplained() -> Iterator[str]:
    """Opt-outs without a reason; in a run of lines the first speaks for all."""
    for name, text in own_texts():
        excused = False
        for number, line in enumerate(text.splitlines(), start=1):
            if name.endswith(".py") and EXCUSE.search(line) and name != "tests/house/test_sources.py":
                if not excused and not EXPLAINED.search(line):
                    yield f"{name}:{number}"
                excused = True
            else:
                excused = False


def test_pages_hold_nothing_inline_and_load_nothing_from_elsewhere() -> None:
    pages = [path for path in PACKAGE.rglob("*.html") if "pages" in path.parts]
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group().strip()}"
        for path in pages
        for pattern in (*INLINE, ELSEWHERE)
        for found in pattern.finditer(path.read_text())
    ]
    assert not wrong


def test_pages_mark_nothing_as_safe() -> None:
    """Autoescaping is the rule; `|safe` would be the hole in it."""
    assert not [path.name for path in PACKAGE.rglob("*.html") if re.search(r"\|\s*safe\b", path.read_text())]


def test_whatever_is_sealed_is_sealed_for_its_row() -> None:
    """The sealing key can be rotated only because the schema alone says what a value was sealed for."""
    purposes = {
        ast.unparse(call.args[1])
        for path, tree in modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _seals(call) and path.parts[0] != "sealing"  # which does so for any row
    }
    tables = {purpose.removeprefix("purpose_of(").split(",")[0].strip("'") for purpose in purposes}
    assert len(tables) >= 3
    assert tables <= SEALED.keys(), "use sql.purpose_of, and name the table"


def _seals(call: ast.Call) -> bool:
    """Whether this is sealer.seal(secret, purpose)."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "seal" and len(call.args) == 2


def test_the_requirements_that_tests_answer_exist() -> None:
    with (ROOT / "tests/data/asvs.csv").open() as table:
        known = {row["requirement"] for row in csv.DictReader(table)}
    marked = {
        found
        for name, text in own_texts()
        if name.startswith("tests/") and name.endswith(".py")
        for marker in re.findall(r"mark\.asvs\(([^)]*)\)", text)
        for found in re.findall(r"\"([^\"]+)\"", marker)
    }
    assert marked <= known
