"""Signing up. Nothing is written before every field has been found good."""

from doorward.signup.routes import USER_BODY_LIMIT, SignUpRoutes
from doorward.signup.service import SignUp

__all__ = ["USER_BODY_LIMIT", "SignUp", "SignUpRoutes"]
