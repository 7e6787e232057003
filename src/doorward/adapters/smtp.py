"""Mail by SMTP (RFC 5321, RFC 6409), with TLS that is verified, or to this machine.

A connection carries several mails, one recipient each. What an exception says is for the operator: the reply's code and
words, without addresses and credentials.
"""

import re
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final, NoReturn

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from doorward.adapters.mime import Envelope, seal_envelope
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.secret import scrub
from doorward.kernel.smtp import MailServer, Sender
from doorward.ports import Clock
from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.mailer import OutgoingMail

# Who hangs up before the last reply sends the same mail twice, so RFC 5321 §4.5.3.2.6 asks for ten minutes. But people
# wait for their codes; a mail server that thinks longer needs a longer [mail] timeout_seconds.
LAST_REPLY_SECONDS: Final = 180
GOODBYE_SECONDS: Final = 2
CALM_SECONDS: Final = 5  # after a failure to connect nobody tries
CALM_SECONDS_CREDENTIALS: Final = 60  # longer, or the mail server locks the account
MAILS_OF_A_CONNECTION: Final = 50  # many servers allow a hundred
LONGEST_REASON: Final = 200
_FOR_GOOD: Final = 500  # RFC 5321 §4.2.1: a reply from here on will be the same next time
# They speak of us, not of this mail: authentication wanted, too weak, failed, to be encrypted (RFC 4954 §6).
_ABOUT_US: Final = frozenset({530, 534, 535, 538})
_ADDRESS: Final = re.compile(r"[^\s<>,;:()]+@[^\s<>,;:()]+")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")  # RFC 3463


class _Client(SMTP):
    """Without CRAM-MD5: the password travels within TLS or not beyond this machine."""

    AUTH_METHODS: ClassVar[tuple[str, ...]] = ("plain", "login")  # type: ignore[misc]  # theirs is no ClassVar


@dataclass(slots=True)
class _Line:
    """A connection and how many mails it has carried."""

    client: _Client
    carried: int = 0


@dataclass(slots=True)
class SmtpMailer:
    """Fulfils `ports.mailer.Mailer`.

    `greeting`: the name we call ourselves by (EHLO). `timeout_seconds`: for each answer, though the last may take
    three minutes. `tls`: whom to trust; by default the machine's certificate authorities.
    """

    server: MailServer
    sender: Sender
    clock: Clock
    greeting: str = "localhost"
    timeout_seconds: float = 30
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    _idle: deque[_Line] = field(default_factory=deque, init=False, repr=False)
    _calm: tuple[Instant, str] = field(default=(0, ""), init=False, repr=False)

    async def send(self, mail: OutgoingMail) -> None:
        """Hand over one mail; see `ports.mailer`."""
        envelope = seal_envelope(mail, self.sender, self.clock.now())
        async with self._line() as line:
            await _hand_over(line.client, envelope)

    async def close(self) -> None:
        """Take leave of the server. A later mail connects anew."""
        while self._idle:
            client = self._idle.pop().client
            with suppress(SMTPException, OSError):
                await client.quit(timeout=GOODBYE_SECONDS)
            client.close()

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[_Line]:
        line = await self._reused() or _Line(await self._connect())
        try:
            yield line
        except (Deferred, Rejected):
            self._keep(line)  # the server said no; the connection is as good as before, unless it hung up
            raise
        except BaseException:
            line.client.close()  # who knows what was said on it
            raise
        self._keep(line)

    def _keep(self, line: _Line) -> None:
        line.carried += 1
        if line.client.is_connected and line.carried < MAILS_OF_A_CONNECTION:
            self._idle.append(line)
        else:
            line.client.close()

    async def _reused(self) -> _Line | None:
        """A connection that still answers. Asking costs a round trip and spares a mail that dies with an old one."""
        while self._idle:
            line = self._idle.pop()
            with suppress(SMTPException, OSError):
                await line.client.rset()
                return line
            line.client.close()
        return None

    async def _connect(self) -> _Client:
        now = self.clock.now()
        until, reason = self._calm
        if now < until:
            raise Deferred(reason)
        client = _Client(
            hostname=self.server.host,
            port=self.server.port,
            username=self.server.username,
            password=self.server.password,
            local_hostname=self.greeting,
            timeout=self.timeout_seconds,
            use_tls=self.server.protection == "tls",
            start_tls=self.server.protection == "starttls",
            tls_context=self._context() if self.server.protection != "none" else None,
        )
        calm = CALM_SECONDS
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except SMTPAuthenticationError as error:
            calm, reason = CALM_SECONDS_CREDENTIALS, _credentials_refused(error)
        except (SMTPException, OSError) as error:
            reason = _unreachable(error, self.server)
        else:
            self._calm = (0, "")
            return client
        client.close()
        self._calm = (now + calm * SECOND, reason)
        raise Deferred(reason)

    def _context(self) -> ssl.SSLContext:
        if self.tls is None:
            self.tls = ssl.create_default_context()
        return self.tls


async def _hand_over(client: _Client, envelope: Envelope) -> None:
    """One transaction of mail. Raises Deferred or Rejected."""
    options: tuple[str, ...] = ()
    encoding = "ascii"
    if envelope.international:
        if not client.supports_extension("smtputf8"):
            raise Rejected("the mail server takes no addresses beyond ASCII (SMTPUTF8)")
        options, encoding = ("SMTPUTF8", "BODY=8BITMIME"), "utf-8"
    try:
        await client.mail(envelope.sender, options=options, encoding=encoding)
        await client.rcpt(envelope.recipient, encoding=encoding)
        await client.data(envelope.content, timeout=max(LAST_REPLY_SECONDS, client.timeout or 0))
    except SMTPResponseException as error:
        _judge(error)
    except SMTPTimeoutError:
        raise Deferred("the mail server did not answer in time") from None
    except (SMTPServerDisconnected, OSError):
        raise Deferred("the mail server broke the connection off") from None


def _judge(error: SMTPResponseException) -> NoReturn:
    """Whether a reply is about this mail for good, or about the moment or about us."""
    said = f"the mail server said {_quoted(error)}"
    if error.code in _ABOUT_US:
        raise Deferred(f"{said}: look at user and password in [mail] url") from None
    if isinstance(error, SMTPSenderRefused) and error.code >= _FOR_GOOD:
        raise Deferred(f"{said} to the sender: look at [mail] from") from None
    if error.code >= _FOR_GOOD:
        raise Rejected(said) from None
    raise Deferred(said) from None


def _quoted(error: SMTPResponseException) -> str:
    words = " ".join("".join(char if char.isprintable() else " " for char in str(error.message)).split())
    return f"{error.code} {scrub(_ADDRESS.sub('[address]', words))}"[:LONGEST_REASON]


def _credentials_refused(error: SMTPAuthenticationError) -> str:
    # Its words are left out: they may quote what we said.
    status = _STATUS.search(str(error.message))
    told = " ".join([str(error.code), *([status[0]] if status else [])])
    return f"the mail server refused user or password ({told}): look at [mail] url"


def _unreachable(error: Exception, server: MailServer) -> str:
    """Why there is no connection, in words that say what to look at."""
    place = f"{server.host}:{server.port}"
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    match cause:
        case ssl.SSLCertVerificationError():
            reason = f"the certificate of {place} is not trusted: {scrub(cause.verify_message)}"
        case ssl.SSLError():
            reason = f"no TLS with {place} ({cause.reason}): look at scheme and port in [mail] url"
        case TimeoutError():
            reason = f"{place} did not answer in time"
        case SMTPResponseException():
            reason = f"{place} said {_quoted(cause)}"
        case SMTPServerDisconnected():
            reason = f"{place} broke the connection off"
        case OSError() if cause.strerror:
            reason = f"{place} cannot be reached: {cause.strerror}"
        case _:  # a sentence of the library's, such as that STARTTLS is missing
            reason = f"{place}: {scrub(str(error))}"
    return reason[:LONGEST_REASON]
