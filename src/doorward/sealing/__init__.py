"""The key that seals secrets at rest is replaced while servers run (C19; docs/adr/0010-keyring.md).

The room promises that nothing is sealed under a key before the command that makes it has kept it; that a rotation that
was interrupted anywhere goes on when it is asked for again; and that no key is dropped under which something is sealed.
"""

from doorward.sealing.model import Begun, Forgotten, KeyUse, Prepared, Rotated, Standing, StillNeeded
from doorward.sealing.service import FOLLOW_SECONDS, SealingKeys

__all__ = [
    "FOLLOW_SECONDS",
    "Begun",
    "Forgotten",
    "KeyUse",
    "Prepared",
    "Rotated",
    "SealingKeys",
    "Standing",
    "StillNeeded",
]
