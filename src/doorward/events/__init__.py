"""What apps are told of users: written with its cause, delivered as Standard Webhooks, read again from a cursor.

The promise: an event is there if and only if what it tells came about; every endpoint hears of it at least once, in
order; and none holds personal data.
"""

from doorward.events.delivery import EventSender
from doorward.events.model import TYPES, Event, EventType, Webhook
from doorward.events.routes import EventsApi
from doorward.events.service import Tell, UserEvents, tell_nobody
from doorward.events.webhooks import Added, Webhooks, webhook_url_fault

__all__ = [
    "TYPES",
    "Added",
    "Event",
    "EventSender",
    "EventType",
    "EventsApi",
    "Tell",
    "UserEvents",
    "Webhook",
    "Webhooks",
    "tell_nobody",
    "webhook_url_fault",
]
