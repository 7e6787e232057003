"""Signing in with a password. Only this flow decides what comes after it."""

from doorward.signin.routes import SignInRoutes
from doorward.signin.service import SignIn

__all__ = ["SignIn", "SignInRoutes"]
