"""What happened, to whom, when. Rows are only ever added, in the transaction of the thing they tell of.

`AuditTrail.record` is a store generator: a service puts it into its own transaction with `yield from`, so a change
without its row, or a row without its change, cannot be. The JSON line of the same event is written only after that
transaction is durable (`Query.then`), so the log never tells of something that was rolled back.
"""

from doorward.audit.model import AuditEvent, Event, Outcome, Payload
from doorward.audit.reading import AuditReader, Verification, list_about
from doorward.audit.refusals import Refusals
from doorward.audit.service import AuditTrail

__all__ = [
    "AuditEvent",
    "AuditReader",
    "AuditTrail",
    "Event",
    "Outcome",
    "Payload",
    "Refusals",
    "Verification",
    "list_about",
]
