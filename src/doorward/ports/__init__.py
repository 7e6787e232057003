"""What Doorward needs from outside, as Protocols. `app.py` alone chooses who fulfils them."""

from doorward.ports.clock import Clock
from doorward.ports.db import Database
from doorward.ports.hasher import Cost, Hasher, Verified
from doorward.ports.keyring import Keyring
from doorward.ports.limiter import NOTHING, Admission, Limiter
from doorward.ports.sealer import Sealer

__all__ = ["NOTHING", "Admission", "Clock", "Cost", "Database", "Hasher", "Keyring", "Limiter", "Sealer", "Verified"]
