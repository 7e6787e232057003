"""Something sent that comes back once: the link and the code that prove whose an address or a number is.

The room promises that a token is stored only as its SHA-256 and a code only under a key; that each is used at most
once, however many try at the same moment; that looking at a link changes nothing; that a code takes five wrong tries in
all, newer codes included; and that a code works only for the browser or the session that asked for it.
"""

from doorward.confirmations.model import (
    CODE_SECONDS,
    LIFETIME_SECONDS,
    Completed,
    Confirmation,
    Opened,
    Purpose,
    State,
    Submitted,
)
from doorward.confirmations.service import Confirmations, holder_of_cookie, holder_of_session

__all__ = [
    "CODE_SECONDS",
    "LIFETIME_SECONDS",
    "Completed",
    "Confirmation",
    "Confirmations",
    "Opened",
    "Purpose",
    "State",
    "Submitted",
    "holder_of_cookie",
    "holder_of_session",
]
