"""Whose the links of this room are."""

from doorward.confirmations import Confirmation
from doorward.users import LEAVING, User, contact_key


def is_theirs(found: Confirmation, user: User) -> bool:
    """Whether a link still belongs to the user: not shut out, and with the address it was sent to (C23)."""
    if user.status not in {"active", LEAVING}:
        return False
    if found.purpose == "password":  # handed to the browser that knew the old one; no address is in it
        return True
    return user.email is not None and user.email_verified and contact_key("email", user.email) == found.target_key
