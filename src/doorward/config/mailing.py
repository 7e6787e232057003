"""Rules for what the configuration says about mail. No sentence quotes a value: `url` holds a password."""

from collections.abc import Iterator

from doorward.config.schema import Path
from doorward.config.settings import Settings
from doorward.kernel.smtp import parse_mail_server, parse_sender


def mail_url(value: str) -> str | None:
    """What is wrong with the address of a mail server."""
    try:
        parse_mail_server(value)
    except ValueError as error:
        return str(error)
    return None


def mail_from(value: str) -> str | None:
    """What is wrong with a sender; none at all may be right."""
    try:
        if value:
            parse_sender(value)
    except ValueError as error:
        return str(error)
    return None


def check_mail(settings: Settings) -> Iterator[tuple[tuple[Path, ...], str]]:
    """What a mail server needs besides its address; as `checks.check_together`."""
    if settings.mail.url is not None and not settings.mail.from_:
        yield (("mail", "from"), ("mail", "url")), "is needed with url: who mails are from, as Example <id@example.org>"
