"""One line an event, in one shape, without secrets, whoever writes it."""

import asyncio
import io
import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from doorward import log
from doorward.kernel.errors import InvalidCredentials
from tests.support.logs import restored_logging

CANARY = "correct-horse-battery-canary"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    with restored_logging():
        yield


class Lines(io.StringIO):
    """A stream that remembers what was logged."""

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Lines:
    stream = Lines()
    log.configure(form="json", stream=stream)
    return stream


def logger() -> Any:
    return structlog.get_logger("doorward.test")


@pytest.mark.asvs("16.2.1")
@pytest.mark.asvs("16.2.2")
@pytest.mark.asvs("16.2.4")
def test_a_line_is_one_json_object_with_time_level_and_name(lines: Lines) -> None:
    logger().warning("sys_startup", port=8000, address="127.0.0.1")
    (line,) = lines.json()
    assert line.pop("datetime").endswith("+00:00")
    assert line == {
        "level": "warning",
        "event": "sys_startup",
        "logger": "doorward.test",
        "port": 8000,
        "address": "127.0.0.1",
    }


def test_the_standard_library_writes_the_same_shape(lines: Lines) -> None:
    logging.getLogger("uvicorn.error").error("Invalid %s request", "HTTP")
    (line,) = lines.json()
    assert (line["event"], line["level"], line["logger"]) == ("Invalid HTTP request", "error", "uvicorn.error")


@pytest.mark.asvs("16.4.1")
@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "evil", ["\n", "\r\n", "\x1b[2J", "\x7f", "\x9b", "\u2028", "\u202e", "\x00", "\ud800", "\x85"]
)
def test_nothing_can_begin_a_line_or_steer_a_terminal(form: log.Format, evil: str) -> None:
    stream = Lines()
    log.configure(form=form, stream=stream)
    logger().info(f"a{evil}b", **{"uid": f"x{evil}y", f"k{evil}": 1, "more": {f"z{evil}": [evil]}})
    logging.getLogger("uvicorn.error").warning("got %s", f"x{evil}y")
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


@pytest.mark.asvs("16.2.5")
@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_are_never_written(form: log.Format) -> None:
    stream = Lines()
    log.configure(form=form, stream=stream)
    logger().info(
        "sent",
        password=CANARY,
        headers={"Cookie": CANARY, "Authorization": f"Bearer {CANARY}", "X": [{"refresh_token": CANARY}]},
        code=CANARY,
        query=f"?token={CANARY}",
        raw=CANARY.encode(),
        thing=Holder(CANARY),
    )
    logging.getLogger("uvicorn.access").info("GET /x?token=%s", CANARY)
    assert stream.getvalue().count("\n") == 1
    assert CANARY not in stream.getvalue()


@dataclass
class Holder:
    """Shows its secret to whoever asks for its repr."""

    secret: str


@pytest.mark.asvs("16.3.4")
@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_told_without_the_input_it_quotes(form: log.Format) -> None:
    stream = Lines()
    log.configure(form=form, stream=stream)
    try:
        int(CANARY)
    except ValueError as error:
        wrapped = RuntimeError(CANARY)
        wrapped.__cause__ = error
        logger().error("unforeseen", exc_info=wrapped)
        logger().exception("again")
        logging.getLogger("asyncio").exception("Task failed\nfuture: <Task exception=ValueError('%s')>", CANARY)
    text = stream.getvalue()
    assert CANARY not in text
    assert "builtins.RuntimeError" in text
    assert text.count("test_an_exception_is_told") == 3


def test_the_text_of_an_exception_is_shown_at_level_debug() -> None:
    stream = Lines()
    log.configure(form="json", level="debug", stream=stream)
    logger().error("unforeseen", exc_info=ValueError("invalid literal: 'x'"))
    assert stream.json()[0]["exception"]["message"] == "invalid literal: 'x'"


def test_a_problem_tells_its_private_reason(lines: Lines) -> None:
    logger().error("refused", exc_info=InvalidCredentials(reason="disabled"))
    assert lines.json()[0]["exception"]["message"] == "The name or the password is not right (disabled)"


def test_every_member_of_a_group_is_told(lines: Lines) -> None:
    logger().error("many", exc_info=ExceptionGroup(CANARY, [ValueError(CANARY), OSError(13, "Permission denied")]))
    members = lines.json()[0]["exception"]["members"]
    assert [member["type"] for member in members] == ["builtins.ValueError", "builtins.PermissionError"]
    assert CANARY not in lines.getvalue()


async def test_a_task_that_nobody_awaits_is_told_without_its_text(lines: Lines) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError(CANARY))
    del future
    (line,) = lines.json()
    assert line["event"] == "Future exception was never retrieved"
    assert CANARY not in lines.getvalue()


def test_a_dying_thread_is_told_in_one_line(lines: Lines) -> None:
    thread = threading.Thread(target=int, args=(CANARY,))
    thread.start()
    thread.join()
    (line,) = lines.json()
    assert line["exception"]["type"] == "builtins.ValueError"
    assert CANARY not in lines.getvalue()


def test_an_error_that_cannot_be_raised_is_told_in_one_line(lines: Lines) -> None:
    class Falls:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    falls = Falls()
    del falls
    assert lines.json()[0]["exception"]["type"] == "builtins.ValueError"
    assert CANARY not in lines.getvalue()


def test_a_warning_becomes_a_line(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert lines.json()[0]["logger"] == "py.warnings"


def test_a_record_that_cannot_be_formatted_prints_nothing_raw(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").error("%d", CANARY)
    assert CANARY not in lines.getvalue() + capsys.readouterr().err


def test_levels_silence_what_is_below_but_never_the_audit() -> None:
    stream = Lines()
    log.configure(form="json", level="error", stream=stream)
    logger().info("quiet")
    structlog.get_logger("doorward.audit").info("session_created")
    assert [line["event"] for line in stream.json()] == ["session_created"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        log.configure(level="loud", stream=Lines())


def test_a_terminal_gets_text_and_a_file_gets_json() -> None:
    screen, typed = os.openpty()
    file = Lines()
    with os.fdopen(typed, "w") as terminal, os.fdopen(screen) as shown:
        for stream in (terminal, file):
            log.configure(stream=stream)
            logger().info("hello", to="you")
        assert shown.readline().endswith(" info     hello to=you\n")
    assert file.json()[0]["event"] == "hello"


def test_long_and_deep_values_are_cut(lines: Lines) -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep
    logger().info("big", text="-" * 100_000, deep=deep, number=float("nan"))
    (line,) = lines.json()
    assert len(line["text"]) < 2100
    assert len(lines.getvalue()) < 3000
    assert line["number"] == "nan"


def test_bound_context_stands_in_every_line(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logger().info("ours")
        logging.getLogger("uvicorn.error").error("theirs")
    assert [line["request_id"] for line in lines.json()] == ["r1", "r1"]
