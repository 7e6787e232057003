"""What proves who someone is: passwords, second factors, passkeys.

The room promises that a try is counted, durably and atomically, before anything is hashed or compared; that the same
work is done and the same answer given whether or not there is such a user; that a password is kept as Argon2id only,
but for digests that came from elsewhere, until their first right password; that every other secret is sealed; and that
an answer counts once, however many try it at the same moment.
"""

from doorward.authenticators.binding import AppOffer, Binding, Proven, read_label
from doorward.authenticators.challenges import Challenges
from doorward.authenticators.exporting import export_authenticators
from doorward.authenticators.factor_store import has_factor as has_factor_column
from doorward.authenticators.factors import Claimant, Factors, Shown, Standing
from doorward.authenticators.first_passkey import FirstPasskey, FirstPasskeys, Newcomer, read_first_passkey
from doorward.authenticators.forms import code_field, new_password_field, password_field, qr_of
from doorward.authenticators.kind import Bound
from doorward.authenticators.kinds import all_kinds
from doorward.authenticators.model import COMPROMISED, ChangeWanted, KnownDevice
from doorward.authenticators.notices import SecurityNotices
from doorward.authenticators.password import PasswordPolicy
from doorward.authenticators.policy import PASSKEY, RECOVERY, TOTP, FactorPolicy, has_factor, recovery_codes_left
from doorward.authenticators.relying_party import RelyingParty
from doorward.authenticators.service import REAUTHENTICATE, SIGN_IN, Correct, PasswordService, UndoSince
from doorward.authenticators.tries import Tries

__all__ = [
    "COMPROMISED",
    "PASSKEY",
    "REAUTHENTICATE",
    "RECOVERY",
    "SIGN_IN",
    "TOTP",
    "AppOffer",
    "Binding",
    "Bound",
    "Challenges",
    "ChangeWanted",
    "Claimant",
    "Correct",
    "FactorPolicy",
    "Factors",
    "FirstPasskey",
    "FirstPasskeys",
    "KnownDevice",
    "Newcomer",
    "PasswordPolicy",
    "PasswordService",
    "Proven",
    "RelyingParty",
    "SecurityNotices",
    "Shown",
    "Standing",
    "Tries",
    "UndoSince",
    "all_kinds",
    "code_field",
    "export_authenticators",
    "has_factor",
    "has_factor_column",
    "new_password_field",
    "password_field",
    "qr_of",
    "read_first_passkey",
    "read_label",
    "recovery_codes_left",
]
