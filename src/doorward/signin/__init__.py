"""Signing in: with a password, a passkey, or a link and a code by e-mail, and what comes after the first of them.

Only this flow decides what comes next. No session begins here but through `Sessions.finish`.
"""

from doorward.signin.by_email import SignInByEmail
from doorward.signin.cool_off import CoolOff
from doorward.signin.cool_off_routes import CoolOffRoutes
from doorward.signin.email_routes import EmailSignInRoutes
from doorward.signin.outcome_routes import Begun
from doorward.signin.routes import SignInRoutes
from doorward.signin.second_step import SecondStep
from doorward.signin.service import SignIn
from doorward.signin.step_api import StepApi
from doorward.signin.step_routes import StepRoutes

__all__ = [
    "Begun",
    "CoolOff",
    "CoolOffRoutes",
    "EmailSignInRoutes",
    "SecondStep",
    "SignIn",
    "SignInByEmail",
    "SignInRoutes",
    "StepApi",
    "StepRoutes",
]
