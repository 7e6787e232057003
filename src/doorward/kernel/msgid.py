"""Sentences that pages translate."""


def msgid(text: str) -> str:
    """Mark `text` for translation where it stands alone, so that `scripts/messages.py` finds it; change nothing."""
    return text
