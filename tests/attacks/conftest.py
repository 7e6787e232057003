"""Attacks over HTTP meet the application of the HTTP tests."""

from tests.http.conftest import settings, visitor, world

__all__ = ["settings", "visitor", "world"]
