"""Users: who they are, what they may say about themselves, and who reads it.

The promise: every wrong field of a body is named at once, nothing privileged is ever written through it, and nobody is
shown a field that its declaration does not let them read.
"""

from doorward.users.addresses import decode_address
from doorward.users.directory import Directory
from doorward.users.exporting import export_contacts, export_profile
from doorward.users.fields import CoreRead, Declaration, Writer, check_declarations
from doorward.users.forms import core_field
from doorward.users.importing import Importer, Refused, Totals
from doorward.users.model import (
    LEAVING,
    LEAVING_DAYS,
    Changes,
    ContactKind,
    Departure,
    NewUser,
    SessionsEnd,
    Status,
    User,
    Viewer,
    contact_key,
    identifier_key,
)
from doorward.users.order import index_statements
from doorward.users.phones import is_country, masked, normalise_phone
from doorward.users.reserved import reserved_keys
from doorward.users.rules import core_rule
from doorward.users.schema import Schema
from doorward.users.service import UsersService
from doorward.users.sources import FORMATS, read_source
from doorward.users.store import list_contacts, list_names

__all__ = [
    "FORMATS",
    "LEAVING",
    "LEAVING_DAYS",
    "Changes",
    "ContactKind",
    "CoreRead",
    "Declaration",
    "Departure",
    "Directory",
    "Importer",
    "NewUser",
    "Refused",
    "Schema",
    "SessionsEnd",
    "Status",
    "Totals",
    "User",
    "UsersService",
    "Viewer",
    "Writer",
    "check_declarations",
    "contact_key",
    "core_field",
    "core_rule",
    "decode_address",
    "export_contacts",
    "export_profile",
    "identifier_key",
    "index_statements",
    "is_country",
    "list_contacts",
    "list_names",
    "masked",
    "normalise_phone",
    "read_source",
    "reserved_keys",
]
