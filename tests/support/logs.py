"""Letting a test configure the log of the whole process, and putting everything back."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

LOGGERS = ("", "doorward.audit", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore")


@contextmanager
def restored_logging() -> Iterator[None]:
    """Whatever `log.configure` changes within the block is as before after it."""
    hooks = threading.excepthook, sys.unraisablehook, logging.raiseExceptions
    before = [(logger, logger.handlers[:], logger.level) for logger in map(logging.getLogger, LOGGERS)]
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook, logging.raiseExceptions = hooks
        logging.captureWarnings(capture=False)
        logging.getLogger("uvicorn.access").disabled = False
        structlog.reset_defaults()
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)
