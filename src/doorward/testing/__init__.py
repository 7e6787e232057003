"""Small real stand-ins for the tests of those who build on Doorward; nothing here records calls."""

from doorward.testing.clock import MovableClock

__all__ = ["MovableClock"]
