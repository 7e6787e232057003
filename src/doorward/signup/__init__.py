"""Signing up. Nothing is written before every field has been found good."""

from doorward.signup.by_email import SignUpByEmail
from doorward.signup.by_passkey import SignUpByPasskey
from doorward.signup.challenge import Challenges
from doorward.signup.guard import SignUpGuard
from doorward.signup.invitation_routes import InvitationRoutes
from doorward.signup.invitations import Invitations
from doorward.signup.passkey_routes import PasskeySignUpRoutes
from doorward.signup.routes import SignUpRoutes
from doorward.signup.rules import RegistrationRules
from doorward.signup.service import SignUp

__all__ = [
    "Challenges",
    "InvitationRoutes",
    "Invitations",
    "PasskeySignUpRoutes",
    "RegistrationRules",
    "SignUp",
    "SignUpByEmail",
    "SignUpByPasskey",
    "SignUpGuard",
    "SignUpRoutes",
]
