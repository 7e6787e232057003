"""The account: what a signed-in user does with their own record, and what members see of each other."""

from doorward.account.activity import Activity, export_activity
from doorward.account.activity_routes import ActivityRoutes
from doorward.account.api import UsersApi
from doorward.account.contact_routes import ContactRoutes
from doorward.account.contacts import Contacts
from doorward.account.data_routes import DataRoutes
from doorward.account.export import Export, Exporting, Part, export_sent
from doorward.account.frame import Frame
from doorward.account.key_routes import KeyPages
from doorward.account.leaving import Leaving
from doorward.account.phones import Phones
from doorward.account.routes import AccountRoutes
from doorward.account.service import Account
from doorward.account.step_api import StepsApi
from doorward.account.step_routes import StepPages
from doorward.account.steps import Steps

__all__ = [
    "Account",
    "AccountRoutes",
    "Activity",
    "ActivityRoutes",
    "ContactRoutes",
    "Contacts",
    "DataRoutes",
    "Export",
    "Exporting",
    "Frame",
    "KeyPages",
    "Leaving",
    "Part",
    "Phones",
    "StepPages",
    "Steps",
    "StepsApi",
    "UsersApi",
    "export_activity",
    "export_sent",
]
