"""The log: one line an event on stderr, JSON for machines or text for a terminal (ASVS 16.2, C60).

Everything goes through the one formatter made here, structlog and the standard library's logging (uvicorn, asyncio,
warnings, dying threads) alike, so that nothing can go round the redaction. A line is ASCII: whatever could end it or
steer a terminal is escaped. The text of an exception is left out below level "debug", because it tends to quote its
input (`int("…")` does, and so do database drivers); its type and the places it passed remain.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import PurePath
from traceback import extract_tb
from types import TracebackType
from typing import Any, Literal, TextIO, TypeAlias

import structlog

from doorward.kernel.errors import Problem
from doorward.kernel.secret import REDACTED, is_secret, scrub

Format: TypeAlias = Literal["auto", "json", "text"]
EventDict: TypeAlias = MutableMapping[str, Any]

MAX_TEXT = 2000
MAX_DEPTH = 6


def configure(*, form: Format = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (stderr) from now on. "auto": text on a terminal, else JSON.

    Audit events are written whatever the level. Raises ValueError for an unknown level.
    """
    stream = stream or sys.stderr
    text = form == "text" or (form == "auto" and stream.isatty())
    verbose = level.lower() == "debug"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(text=text, verbose=verbose))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    _route_others(verbose=verbose)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # the standard loggers do the filtering
    )


def _route_others(*, verbose: bool) -> None:
    logging.raiseExceptions = False  # else a broken record is printed raw, arguments and all
    logging.captureWarnings(capture=True)
    logging.getLogger("doorward.audit").setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Our greeting and the audit event sys_startup say the same; an access log would hold tokens that stand in paths.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if verbose else logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell what they ask and hear, tokens and all
    threading.excepthook = _log_dying_thread
    sys.unraisablehook = _log_unraisable


def _log_dying_thread(dying: threading.ExceptHookArgs) -> None:
    logging.getLogger("doorward").error("a thread died", exc_info=dying.exc_value)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    logging.getLogger("doorward").error("an error could not be raised", exc_info=unraisable.exc_value)


def _formatter(*, text: bool, verbose: bool) -> logging.Formatter:
    def explain(_logger: object, _name: str, event: EventDict) -> EventDict:
        return _with_exception(event, verbose=verbose)

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        processors=[_with_head, explain, _without_secrets, _as_text if text else _as_json],
    )


def _with_head(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Put when, how loud, what and from where in front, and take the standard library's record away."""
    record: logging.LogRecord = event.pop("_record")
    ours = event.pop("_from_structlog")
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    head = {
        "datetime": event.pop("datetime", moment),
        "level": record.levelname.lower(),
        "event": event.pop("event") if ours else _message(record.name, str(event.pop("event"))),
        "logger": record.name,
    }
    return {**head, **event}


def _message(logger: str, message: str) -> str:
    # asyncio puts the repr of futures, and with it the text of their exceptions, into further lines.
    return message.split("\n", 1)[0] if logger == "asyncio" else message.rstrip("\n")


def _with_exception(event: EventDict, *, verbose: bool) -> EventDict:
    event.pop("stack_info", None)
    given = event.pop("exc_info", None)
    error = _exception_of(given)
    return event if error is None else {**event, "exception": _described(error, verbose=verbose, depth=0)}


def _exception_of(given: object) -> BaseException | None:
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        return error
    return sys.exception() if error else None


def _described(error: BaseException, *, verbose: bool, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    text = _text_of(error, verbose=verbose)
    if text:
        found["message"] = text
    found["frames"] = _frames(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < MAX_DEPTH:
        found["cause"] = _described(cause, verbose=verbose, depth=depth + 1)
    if isinstance(error, BaseExceptionGroup) and depth < MAX_DEPTH:
        found["members"] = [_described(one, verbose=verbose, depth=depth + 1) for one in error.exceptions]
    return found


def _text_of(error: BaseException, *, verbose: bool) -> str:
    if isinstance(error, Problem):
        return f"{error.message} ({error.reason})"
    # An OSError names an address or a file, which is what the operator needs.
    return str(error) if verbose or isinstance(error, OSError) else ""


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in extract_tb(trace)]


def _without_secrets(_logger: object, _name: str, event: EventDict) -> EventDict:
    return _clean_items(event, 0)


def _clean(value: object, depth: int) -> object:
    """Make a value safe to show: secrets out, only plain kinds of values, bounded in depth and length."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if isfinite(value) else str(value)
        case str() | PurePath():
            return _bounded(scrub(str(value)))
        case Mapping() if depth < MAX_DEPTH:
            return _clean_items(value, depth + 1)
        case list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
            return [_clean(item, depth + 1) for item in value]
    # Never the repr: it may show what the object holds.
    return f"<{type(value).__name__}>"


def _clean_items(items: Mapping[Any, Any], depth: int) -> dict[str, object]:
    named = ((str(name), value) for name, value in items.items())
    return {_bounded(scrub(name)): REDACTED if is_secret(name) else _clean(value, depth) for name, value in named}


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "[cut]"


def _as_json(_logger: object, _name: str, event: EventDict) -> str:
    line = json.dumps(event, ensure_ascii=True, separators=(",", ":"))
    return line.replace("\x7f", "\\u007f")  # the one control character JSON leaves alone


def _as_text(_logger: object, _name: str, event: EventDict) -> str:
    moment, level, what = (str(event.pop(name)) for name in ("datetime", "level", "event"))
    event.pop("logger")
    exception = event.pop("exception", None)
    facts = " ".join(f"{_visible(name)}={_visible(_plain(value))}" for name, value in event.items())
    line = f"{_visible(moment)} {level:<8} {_visible(what)} {facts}".rstrip()
    return line if exception is None else line + "".join(f"\n    {_visible(part)}" for part in _story(exception))


def _story(exception: Mapping[str, Any]) -> list[str]:
    told = [f"{exception['type']}: {exception.get('message', '(its text is shown at level debug)')}"]
    told += [f"  {frame}" for frame in exception["frames"]]
    further = [*exception.get("members", []), *([exception["cause"]] if "cause" in exception else [])]
    return told + [f"  because of {line}" for one in further for line in _story(one)]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _visible(text: str) -> str:
    """Write control, bidirectional and other invisible characters as escapes: they could forge lines or hide text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
