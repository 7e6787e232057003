"""Mail by SMTP against a real server, which is slow, full, rude and gone, and speaks TLS or not."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doorward.adapters.smtp import CALM_SECONDS, MAILS_OF_A_CONNECTION, SmtpMailer
from doorward.kernel.smtp import MailServer, Protection, parse_mail_server, parse_sender
from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.mailer import InlineImage, OutgoingMail
from doorward.testing import MovableClock
from tests.support.certificates import ec_key, write_certificate
from tests.support.smtp_server import SmtpServer, smtp_server

SENDER = parse_sender("Example <id@example.org>")
MAIL = OutgoingMail("01a2-3", "ada@example.com", "Hello", "Your code is 123456.\n", "<p>Your code is 123456.</p>\n")
LOGIN = ("doorward", "seven quiet@herons")

Start = Callable[..., SmtpServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts mail servers."""
    running: list[AbstractContextManager[SmtpServer]] = []

    def start(*arguments: str, port: int = 0) -> SmtpServer:
        context = smtp_server(tmp_path / "accepted.jsonl", *arguments, port=port)
        server = context.__enter__()
        running.append(context)
        return server

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate for localhost that only those trust who are told to."""
    cert, key = write_certificate(tmp_path, ec_key(), 1)
    return str(cert), str(key)


def mailer(
    server: SmtpServer, *, protection: Protection = "none", trusted: str | None = None, **more: object
) -> SmtpMailer:
    username, password = LOGIN if more.pop("login", False) else (None, None)
    place = MailServer(
        "localhost" if protection != "none" else "127.0.0.1", server.port, protection, username, password
    )
    tls = None if trusted is None else ssl.create_default_context(cafile=trusted)
    return SmtpMailer(place, SENDER, MovableClock(), tls=tls, **more)  # type: ignore[arg-type]  # fields of it


async def sent(of: SmtpMailer, mail: OutgoingMail = MAIL) -> Deferred | Rejected | None:
    """What came of one mail."""
    try:
        await of.send(mail)
    except (Deferred, Rejected) as refusal:
        return refusal
    finally:
        await of.close()
    return None


# what arrives


async def test_a_mail_arrives_as_it_was_meant(start: Start) -> None:
    server = start()
    logo = InlineImage("logo", "png", b"\x89PNG\r\n\x1a\n")
    assert await sent(mailer(server), replace(MAIL, subject="Grüße", text="ü\n.\n..\n", images=[logo])) is None
    (got,) = server.accepted()
    assert (got["from"], got["to"]) == ("id@example.org", ["ada@example.com"])
    headers = got["headers"]
    assert headers["from"] == "Example <id@example.org>"
    assert headers["to"] == "ada@example.com"
    assert headers["subject"] == "Grüße"
    assert headers["message-id"] == "<01a2-3@example.org>"
    assert headers["auto-submitted"] == "auto-generated"
    assert headers["date"] == "Mon, 23 Nov 2026 05:00:00 +0000"
    assert got["parts"] == [["text/plain", "ü\n.\n..\n"], ["text/html", MAIL.html]]


async def test_one_connection_carries_many_mails_and_is_replaced_in_time(start: Start) -> None:
    server = start()
    one = mailer(server)
    for number in range(MAILS_OF_A_CONNECTION + 1):
        await one.send(replace(MAIL, message_id=f"{number}"))
    await one.close()
    assert len(server.accepted()) == MAILS_OF_A_CONNECTION + 1


async def test_an_international_domain_is_looked_up_by_its_ascii_form(start: Start) -> None:
    server = start()
    assert await sent(mailer(server), replace(MAIL, to="ada@straße.example")) is None
    assert server.accepted()[0]["to"] == ["ada@xn--strae-oqa.example"]  # not strasse.example, which is another domain


async def test_an_international_mailbox_needs_a_server_that_takes_it(start: Start, tmp_path: Path) -> None:
    server = start()
    assert await sent(mailer(server), replace(MAIL, to="jürgen@example.com")) is None
    assert server.accepted()[0]["to"] == ["jürgen@example.com"]
    with smtp_server(tmp_path / "other.jsonl", "--plain-ascii") as other:
        assert isinstance(await sent(mailer(other), replace(MAIL, to="jürgen@example.com")), Rejected)


@pytest.mark.asvs("1.2.1")
@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "ada@example.com\r\nRCPT TO:<eve@example.com>"},
        {"to": "ada@example.com\nBcc: eve@example.com"},
        {"to": "ada@example.com, eve@example.com"},
        {"to": "ada@example.com> BODY=8BITMIME"},
        {"to": '"ada\r\n"@example.com'},
        {"to": "Ada <ada@example.com>"},
        {"to": "ada@exa mple.com"},
        {"to": "ada@example.com\x00"},
        {"subject": "Hello\r\nBcc: eve@example.com"},
        {"subject": "Hello\nX: y"},
        {"subject": "Hello\x85Bcc: eve@example.com"},
        {"message_id": "1>\r\nBcc: <eve"},
    ],
    ids=repr,
)
async def test_nothing_becomes_a_second_line_or_recipient(start: Start, wrong: dict[str, Any]) -> None:
    server = start()
    assert isinstance(await sent(mailer(server), replace(MAIL, **wrong)), Rejected)
    assert server.accepted() == []


async def test_dots_and_bare_line_breaks_in_a_text_do_not_end_it(start: Start) -> None:
    server = start()
    text = "one\r\n.\r\nMAIL FROM:<eve@example.com>\n.\ntwo\r.\rthree\n"
    assert await sent(mailer(server), replace(MAIL, text=text)) is None
    (got,) = server.accepted()
    assert got["parts"][0][1].split() == text.split()


# what the server says


@pytest.mark.parametrize("step", ["451", "452", "421", "drop_before", "drop_after"])
async def test_what_may_pass_is_deferred_and_arrives_the_second_time(start: Start, step: str) -> None:
    server = start("--plan", f"{step},ok")
    one = mailer(server)
    refusal = await sent(one)
    assert isinstance(refusal, Deferred)
    assert "ada" not in refusal.reason
    assert await sent(one) is None
    assert [mail["headers"]["message-id"] for mail in server.accepted()] == ["<01a2-3@example.org>"] * (
        2 if step == "drop_after" else 1
    )


async def test_what_will_not_pass_is_rejected_and_the_connection_goes_on(start: Start) -> None:
    server = start()
    one = mailer(server)
    refusal = await asyncio.create_task(sent(one, replace(MAIL, to="refused-ada@example.com")))
    assert isinstance(refusal, Rejected)
    assert refusal.reason == "the mail server said 550 5.1.1 <[address]>: nobody of that name here"
    assert await sent(one) is None


async def test_a_sender_who_is_refused_is_a_mistake_of_ours_and_loses_nothing(start: Start) -> None:
    one = mailer(start())
    one.sender = parse_sender("local-id@example.org")
    refusal = await sent(one)
    assert isinstance(refusal, Deferred)
    assert "[mail] from" in refusal.reason


async def test_a_server_that_never_answers_is_left() -> None:
    class Silent(asyncio.Protocol):
        pass

    silent = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0)
    place = MailServer("127.0.0.1", silent.sockets[0].getsockname()[1], "none")
    refusal = await sent(SmtpMailer(place, SENDER, MovableClock(), timeout_seconds=0.2))
    silent.close()
    assert isinstance(refusal, Deferred)
    assert refusal.reason.endswith("did not answer in time")


async def test_a_server_that_is_gone_is_left_alone_for_a_while(start: Start) -> None:
    server = start()
    one = mailer(server)
    clock = one.clock
    assert isinstance(clock, MovableClock)
    server.process.kill()
    server.process.wait()
    refusal = await sent(one)
    assert isinstance(refusal, Deferred)
    assert "cannot be reached" in refusal.reason
    start(port=server.port)
    assert isinstance(await sent(one), Deferred), "it was asked again at once"
    clock.advance(CALM_SECONDS)
    assert await sent(one) is None


async def test_a_connection_that_died_meanwhile_costs_no_mail(start: Start) -> None:
    server = start()
    one = mailer(server)
    await one.send(MAIL)
    server.process.kill()
    server.process.wait()
    start(port=server.port)
    assert await sent(one) is None


# TLS and credentials


@pytest.mark.asvs("12.3.1")
@pytest.mark.parametrize("protection", ["starttls", "tls"])
async def test_starttls_and_tls_carry_mail_and_credentials(
    start: Start, certificate: tuple[str, str], protection: Protection
) -> None:
    cert, key = certificate
    server = start("--tls", protection, "--cert", cert, "--key", key, "--login", ":".join(LOGIN))
    assert await sent(mailer(server, protection=protection, trusted=cert, login=True)) is None
    assert len(server.accepted()) == 1


@pytest.mark.asvs("12.3.2")
@pytest.mark.parametrize("protection", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_mail_and_no_password(
    start: Start, certificate: tuple[str, str], protection: Protection
) -> None:
    cert, key = certificate
    server = start("--tls", protection, "--cert", cert, "--key", key)
    refusal = await sent(mailer(server, protection=protection, login=True))
    assert isinstance(refusal, Deferred)
    assert "is not trusted" in refusal.reason
    assert server.accepted() == []


@pytest.mark.asvs("12.3.2")
async def test_a_certificate_for_another_name_gets_no_mail(start: Start, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    server = start("--tls", "tls", "--cert", cert, "--key", key)
    one = mailer(server, protection="tls", trusted=cert)
    one.server = replace(one.server, host="127.0.0.1")
    refusal = await sent(one)
    assert isinstance(refusal, Deferred)
    assert "is not trusted" in refusal.reason


@pytest.mark.asvs("12.3.1")
async def test_a_server_that_hides_starttls_gets_nothing(start: Start) -> None:
    server = start()  # as somebody in the middle makes it look
    refusal = await sent(mailer(server, protection="starttls", login=True))
    assert isinstance(refusal, Deferred)
    assert "STARTTLS" in refusal.reason
    assert server.accepted() == []


async def test_plain_speech_where_tls_is_wanted_is_told(start: Start) -> None:
    refusal = await sent(mailer(start(), protection="tls"))
    assert isinstance(refusal, Deferred)
    assert "look at scheme and port" in refusal.reason


async def test_wrong_credentials_keep_mail_and_are_not_told(start: Start) -> None:
    one = mailer(start("--login", "doorward:right"), login=True)
    refusal = await sent(one)
    assert isinstance(refusal, Deferred)
    assert refusal.reason == "the mail server refused user or password (535 5.7.8): look at [mail] url"
    assert LOGIN[1] not in repr(one)


async def test_a_server_that_wants_credentials_keeps_mail(start: Start) -> None:
    refusal = await sent(mailer(start("--login", "doorward:right")))
    assert isinstance(refusal, Deferred)
    assert "look at user and password" in refusal.reason


@pytest.mark.asvs("12.3.1")
@pytest.mark.parametrize(
    ("url", "protection"),
    [
        ("smtp://mail.example.org", "starttls"),
        ("smtp://user:pass@192.0.2.1:25", "starttls"),
        ("smtp://localhost.example.org", "starttls"),
        ("smtps://mail.example.org", "tls"),
        ("smtps://localhost", "tls"),
        ("smtp://localhost:1025", "none"),
        ("smtp://127.0.0.1", "none"),
        ("smtp://[::1]", "none"),
    ],
)
def test_plain_smtp_is_for_this_machine_alone(url: str, protection: Protection) -> None:
    assert parse_mail_server(url).protection == protection


def test_credentials_of_an_address_may_hold_anything_encoded() -> None:
    place = parse_mail_server("smtp://a%40b:p%2F%3A%40@mail.example.org")
    assert (place.username, place.password, place.port) == ("a@b", "p/:@", 587)
    assert "p/:@" not in repr(place)


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example.org", "mail.example.org", "smtp://", "smtp://user:secret@", "smtp://user@mail.example.org",
        "smtp://user:secret@mail.example.org:0", "smtp://user:secret@mail.example.org:99999",
        "smtp://mail.example.org/path", "smtp://mail.example.org?tls=no", "smtp://mail.example.org\r\n",
        "smtp://user:sec%0Aret@mail.example.org", "smtp://mäil.example.org", "smtp://-mail-.example.org",
    ],
)  # fmt: skip
def test_an_unclear_address_of_a_mail_server_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_mail_server(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["", "Example", "a@example.org, b@example.org", "Example <a@example.org>, b@example.org", "Ex\nBcc: x <a@b.org>",
     "Example <a@example.org", "a@jürgen.example", "<a@b.org> <c@d.org>"],
)  # fmt: skip
def test_a_sender_is_one_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"address"):
        parse_sender(text)


def test_a_sender_may_have_a_name() -> None:
    assert parse_sender('"Example, Inc." <id@example.org>').name == "Example, Inc."
    assert parse_sender("id@example.org").address == "id@example.org"
