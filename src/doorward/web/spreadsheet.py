"""Comma-separated values that people open in a spreadsheet (RFC 4180)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
# What makes a spreadsheet take a cell for a formula, the wide forms that are typed in East Asia among them. Some pass
# over spaces before it, and after a tab or a line break what follows may stand in a cell of its own.
_SIGNS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BREAKS: Final = ("\t", "\r", "\n")
BEGINNING: Final = "\ufeff".encode()  # of a file; without it Excel takes UTF-8 for the code page of the country


def csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of texts as UTF-8, every cell in quotes and none of them a formula: one would run at whoever opens it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _inert(cell: str) -> str:
    """The cell with an apostrophe before what would make it a formula; spreadsheets then take it for text."""
    return f"'{cell}" if cell.startswith(_BREAKS) or cell.lstrip().startswith(_SIGNS) else cell
