"""Coming back without a password. Nobody learns whether there is an account; nobody is signed in by it.

The room promises that asking costs and tells the same whoever is known; that a link sets one password, once, within an
hour, and only while its address is still the owner's; that a recovery code does the same once and ends its set; and
that a new password ends every session and every other link.
A second factor stays what it is: whoever has a new password still has to show it at the sign-in that follows.

An owner who finds somebody else in their account shuts everybody out with one confirmed click; see `not_me`.
"""

from doorward.recovery.not_me import NotMe
from doorward.recovery.not_me_routes import NotMeRoutes
from doorward.recovery.routes import RecoveryRoutes
from doorward.recovery.service import Recovery

__all__ = ["NotMe", "NotMeRoutes", "Recovery", "RecoveryRoutes"]
