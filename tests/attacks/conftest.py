"""Attacks over HTTP meet the application of the HTTP tests."""

from tests.http.conftest import log_lines, settings, visitor, world

__all__ = ["log_lines", "settings", "visitor", "world"]
