"""Attacks over HTTP meet the application of the HTTP tests."""

from tests.http.conftest import inbox, log_lines, mail_settings, mail_world, settings, visitor, world

__all__ = ["inbox", "log_lines", "mail_settings", "mail_world", "settings", "visitor", "world"]
