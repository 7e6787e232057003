"""The account: what a signed-in user does with their own record, and what members see of each other."""

from doorward.account.api import UsersApi
from doorward.account.routes import AccountRoutes
from doorward.account.service import Account

__all__ = ["Account", "AccountRoutes", "UsersApi"]
