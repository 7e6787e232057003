"""What people sent, checked. Whatever is wrong is a 400 that says so in words for who typed it."""

from collections.abc import Mapping
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

KINDS = ("bike", "run", "squat", "swim", "walk", "yoga")
LONGEST_TEXT = 10_000  # characters
MOST_MINUTES = 300
_MEASURES: Mapping[str, tuple[str, float]] = {"steps": ("Steps", 100_000), "sleep_h": ("Sleep", 24)}


def fields(*names: str) -> dict[str, Any]:
    """The JSON object of this request. Raises BadRequest for a name that is not among `names`, such as `coins`."""
    try:
        sent = request.get_json()
    except RecursionError as error:  # [[[[[[…
        raise BadRequest("That is nested too deep") from error
    if not isinstance(sent, dict):
        raise BadRequest("Send a JSON object")
    unknown = sorted(set(sent) - set(names))
    if unknown:
        raise BadRequest(f"These cannot be set here: {', '.join(unknown)[:200]}")
    return sent


def note_text() -> str:
    """The text of a note, exactly as it was sent: no tag is taken out and nothing is escaped. That is for who shows it.

    Raises BadRequest when there is none, too much, or what no database keeps as text.
    """
    text = fields("text").get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRequest("Write something first")
    if len(text) > LONGEST_TEXT:
        raise BadRequest(f"A note has at most {LONGEST_TEXT} characters")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadRequest("There is a character in it that is none")
    return text


def exercise() -> tuple[str, int]:
    """A kind of exercise and minutes. Raises BadRequest."""
    sent = fields("kind", "minutes")
    kind, minutes = sent.get("kind"), sent.get("minutes")
    if kind not in KINDS:
        raise BadRequest(f"Choose one of: {', '.join(KINDS)}")
    if type(minutes) is not int or not 1 <= minutes <= MOST_MINUTES:  # True is an int to isinstance
        raise BadRequest(f"Minutes are a whole number from 1 to {MOST_MINUTES}")
    return str(kind), minutes


def profile() -> dict[str, Any]:
    """What of a profile is to change: either of the two, or both. Raises BadRequest."""
    sent = fields("tracking", "exercise")
    if not sent:
        raise BadRequest("Nothing to change was sent")
    if "tracking" in sent:
        _check_tracking(sent["tracking"])
    if "exercise" in sent:
        chosen = sent["exercise"]
        if not isinstance(chosen, list) or any(kind not in KINDS for kind in chosen) or len(set(chosen)) < len(chosen):
            raise BadRequest(f"Exercises are a list of: {', '.join(KINDS)}")
    return sent


def _check_tracking(sent: Any) -> None:  # noqa: ANN401  JSON
    if not isinstance(sent, dict) or set(sent) - set(_MEASURES):
        raise BadRequest(f"Tracking is an object of: {', '.join(_MEASURES)}")
    for name, (label, most) in _MEASURES.items():
        value = sent.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise BadRequest(f"{label}: a number from 0 to {most:,.0f}")
