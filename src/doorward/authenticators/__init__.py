"""What proves who someone is; today passwords.

The room promises that a try is counted, durably and atomically, before anything is hashed; that the same work is done
and the same answer given whether or not there is such a user; and that a password is kept as Argon2id only, but for
digests that came from elsewhere, until their first right password.
"""

from doorward.authenticators.exporting import export_authenticators
from doorward.authenticators.forms import new_password_field, password_field
from doorward.authenticators.model import COMPROMISED, ChangeWanted, KnownDevice
from doorward.authenticators.notices import PasswordNotices
from doorward.authenticators.password import PasswordPolicy
from doorward.authenticators.service import REAUTHENTICATE, SIGN_IN, Correct, PasswordService

__all__ = [
    "COMPROMISED",
    "REAUTHENTICATE",
    "SIGN_IN",
    "ChangeWanted",
    "Correct",
    "KnownDevice",
    "PasswordNotices",
    "PasswordPolicy",
    "PasswordService",
    "export_authenticators",
    "new_password_field",
    "password_field",
]
