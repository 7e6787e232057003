"""Signing up. Nothing is written before every field has been found good."""

from doorward.signup.routes import SignUpRoutes
from doorward.signup.service import SignUp

__all__ = ["SignUp", "SignUpRoutes"]
