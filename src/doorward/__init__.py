"""Doorward: sign-up and sign-in for Python teams, in one command."""

__version__ = "0.1.0"
