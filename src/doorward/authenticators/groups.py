"""Codes and keys that people read off and type: shown in groups of four, taken with any gaps or none."""

import re
from typing import Final

# Spaces of every width, hyphens of every length, and the marks without a shape that copying from a page brings along.
_GAPS: Final = re.compile("[\\s\\-\u00ad\u200b-\u2015\u202a-\u202e\u2060-\u2069\u2212\ufeff]")


def in_fours(text: str, between: str) -> str:
    """Put `between` after every fourth character but the last."""
    return between.join(text[at : at + 4] for at in range(0, len(text), 4))


def without_gaps(text: str) -> str:
    """Take out what stands between characters, wherever it stands; change nothing else."""
    return _GAPS.sub("", text)
