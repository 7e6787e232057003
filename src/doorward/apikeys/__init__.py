"""Keys for programs: scoped, expiring, replaced without a gap, hashed at rest (C48).

The promise: a key acts for its owner within its scopes and never in a sensitive step; its secret is shown once and kept
as its SHA-256; a key that has ended opens nothing from the commit of its end, on every worker and node.
"""

from doorward.apikeys.exporting import export_keys
from doorward.apikeys.model import (
    DEFAULT_DAYS,
    LONGEST_DAYS,
    MAX_KEYS,
    OVERLAP_HOURS,
    OWN_SCOPES,
    ApiKey,
    Asked,
    Made,
    Scope,
    check_scopes,
    decode,
    read_form,
)
from doorward.apikeys.routes import KeysApi
from doorward.apikeys.service import ApiKeys

__all__ = [
    "DEFAULT_DAYS",
    "LONGEST_DAYS",
    "MAX_KEYS",
    "OVERLAP_HOURS",
    "OWN_SCOPES",
    "ApiKey",
    "ApiKeys",
    "Asked",
    "KeysApi",
    "Made",
    "Scope",
    "check_scopes",
    "decode",
    "export_keys",
    "read_form",
]
