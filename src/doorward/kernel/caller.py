"""Who sent a request, as far as the network tells."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of one request. `address` comes from the socket unless a trusted proxy said otherwise (C13).

    `user_agent`: as it was sent, empty where no request was. `locale`: the language they read, empty where nobody does.
    """

    address: str
    user_agent: str = ""
    request_id: str = ""
    locale: str = ""


OURSELVES = Caller(address="local")  # a chore of the server
LOCAL_OPERATOR = Caller(address="local")  # at the command line
