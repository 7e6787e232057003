"""Signing up. Nothing is written before every field has been found good."""

from doorward.signup.by_email import SignUpByEmail
from doorward.signup.routes import SignUpRoutes
from doorward.signup.service import SignUp

__all__ = ["SignUp", "SignUpByEmail", "SignUpRoutes"]
