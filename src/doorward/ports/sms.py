"""Text messages to telephones."""

from typing import Protocol


class TextMessenger(Protocol):
    """Hands text messages to whoever carries them."""

    async def send(self, message_id: str, to: str, text: str) -> None:
        """Hand over one message. `to`: a number in E.164; `message_id`: the same for every try at one message.

        Returns when it was taken, which does not say that it arrived. Raises Deferred or Rejected
        (`doorward.ports.delivery`).
        """
        ...
