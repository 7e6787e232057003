"""Coming back without a password. Nobody learns whether there is an account; nobody is signed in by it.

The room promises that asking costs and tells the same whoever is known; that a link sets one password, once, within an
hour, and only while its address is still the owner's; that a recovery code does the same once and ends its set; and
that a new password ends every session and every other link.
A second factor stays what it is: whoever has a new password still has to show it at the sign-in that follows.
"""

from doorward.recovery.routes import RecoveryRoutes
from doorward.recovery.service import Recovery

__all__ = ["Recovery", "RecoveryRoutes"]
