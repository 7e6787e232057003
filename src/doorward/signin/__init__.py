"""Signing in: with a password, or with a link and a code by e-mail. Only this flow decides what comes after it."""

from doorward.signin.by_email import SignInByEmail
from doorward.signin.email_routes import EmailSignInRoutes
from doorward.signin.routes import SignInRoutes
from doorward.signin.service import SignIn

__all__ = ["EmailSignInRoutes", "SignIn", "SignInByEmail", "SignInRoutes"]
