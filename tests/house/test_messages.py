"""Every sentence has its translations: a missing one fails here, not before a visitor's eyes."""

import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from doorward.web.translations import NAMES, SOURCE

ROOT = Path(__file__).parents[2]


def test_every_sentence_is_translated_into_every_language() -> None:
    run = subprocess.run(
        [sys.executable, "scripts/messages.py", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


CATALOGUES = sorted(ROOT.glob("src/doorward/locale/*/LC_MESSAGES/doorward.po"))
ISOLATES, END = "\u2066\u2067\u2068", "\u2069"


def test_every_catalogue_is_a_language_that_visitors_can_choose() -> None:
    assert {path.parts[-3] for path in CATALOGUES} == set(NAMES) - {SOURCE}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_ends_what_it_isolates(path: Path) -> None:
    """UAX #9: an isolate left open would turn round what follows the sentence."""
    with path.open("rb") as file:
        for message in read_po(file):
            depth = 0
            for character in str(message.string):
                depth += (character in ISOLATES) - (character == END)
                assert depth in {0, 1}, message.id
            assert depth == 0, message.id


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_ends_as_its_sentence_does(path: Path) -> None:
    """A colon or full stop that got lost shows where two sentences meet on a page."""
    with path.open("rb") as file:
        for message in read_po(file):
            said, translated = str(message.id), str(message.string)
            if not said or not translated:  # the header, and what the check above tells
                continue
            assert (said[-1:] == ".") == (translated[-1:] == "."), said
            assert translated == translated.strip(), said
