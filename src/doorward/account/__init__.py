"""The account: what a signed-in user does with their own record, and what members see of each other."""

from doorward.account.api import UsersApi
from doorward.account.contact_routes import ContactRoutes
from doorward.account.contacts import Contacts
from doorward.account.data_routes import DataRoutes
from doorward.account.export import Export, Exporting, Part, export_sent
from doorward.account.frame import Frame
from doorward.account.leaving import Leaving
from doorward.account.phones import Phones
from doorward.account.routes import AccountRoutes
from doorward.account.service import Account

__all__ = [
    "Account",
    "AccountRoutes",
    "ContactRoutes",
    "Contacts",
    "DataRoutes",
    "Export",
    "Exporting",
    "Frame",
    "Leaving",
    "Part",
    "Phones",
    "UsersApi",
    "export_sent",
]
