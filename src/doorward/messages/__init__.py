"""Mail and text messages: written down in the transaction of their cause, sent by a worker, never lost.

The room promises that a message is sent if and only if what it tells of was committed; that what fills it, codes and
links among it, is sealed at rest and gone once it was sent; that one goes to one recipient; and that no log line or
error holds its contents.
"""

from doorward.messages.delivery import Delivery
from doorward.messages.exporting import export_messages
from doorward.messages.limits import SendLimits
from doorward.messages.mailbox import Mailbox
from doorward.messages.model import MAILS, TEXTS, Kind, Message, MessageState, Values
from doorward.messages.outbox import Outbox
from doorward.messages.rendering import RenderedMail, Renderer
from doorward.messages.routes import MailboxRoutes

__all__ = [
    "MAILS",
    "TEXTS",
    "Delivery",
    "Kind",
    "Mailbox",
    "MailboxRoutes",
    "Message",
    "MessageState",
    "Outbox",
    "RenderedMail",
    "Renderer",
    "SendLimits",
    "Values",
    "export_messages",
]
