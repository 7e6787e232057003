"""What carriers of messages say when they did not take one."""


class Deferred(Exception):  # noqa: N818  no error: the message stays in the queue and is tried again
    """Not now. `reason` is for the operator: it holds no address, no text of the message and no secret."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Rejected(Exception):  # noqa: N818  as above: the message is given up
    """Never: trying the same again would not help. `reason` as with Deferred."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
