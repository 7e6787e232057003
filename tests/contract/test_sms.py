"""One suite for everything that carries text messages, each against a real server that writes down what comes."""

import asyncio
import io
import json
import re
import traceback
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl

import pytest

from doorward import log
from doorward.adapters.guarded_http import GuardedHttp
from doorward.adapters.sms_gateway import GatewayMessenger
from doorward.adapters.twilio import API, TwilioMessenger
from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.sms import TextMessenger
from tests.support.elsewhere import Elsewhere, Seen, elsewhere, raw, reply
from tests.support.logs import restored_logging

Messenger: TypeAlias = TwilioMessenger | GatewayMessenger

SID = "AC" + "0123456789abcdef" * 2
SECRET = "canary-5d1e77b0"
NUMBER = "+4915123456789"
TEXT = 'Your code is 123456.\nTell {to} nobody, "not even" us & co. ä😀\n@id.example.org #123456'
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    async with elsewhere(tmp_path, reply(201, b'{"sid": "SM1", "status": "queued"}')) as running:
        yield running


@pytest.fixture(params=["twilio", "gateway of json", "gateway of forms"])
def messenger(request: pytest.FixtureRequest, server: Elsewhere) -> Messenger:
    return made(request.param, server)


def made(kind: str, server: Elsewhere) -> Messenger:
    outbound = server.outbound(seconds=1)
    url, headers = f"{server.url}/send?key={SECRET}", {"Authorization": f"Bearer {SECRET}"}
    if kind == "twilio":
        return TwilioMessenger(outbound, SID, SECRET, "+15005550006", server.url)
    if kind == "gateway of json":
        return GatewayMessenger(outbound, url, headers, '{"to": {to}, "content": {"text": {text}}}')
    return GatewayMessenger(outbound, url, headers, "to={to}&text={text}&from=Doorward", FORM)


def told(seen: Seen) -> tuple[str, str]:
    """Number and text, whatever the form."""
    if seen.headers["content-type"] == FORM:
        form = {name.lower(): value for name, value in parse_qsl(seen.body.decode(), strict_parsing=True)}
        return form["to"], form.get("text") or form["body"]
    body = json.loads(seen.body)
    return body["to"], body["content"]["text"]


async def outcome(messenger: TextMessenger) -> str:
    """What became of a message; that no secret is in an exception is checked each time."""
    error: Deferred | Rejected
    try:
        await messenger.send("m1", NUMBER, TEXT)
    except (Deferred, Rejected) as raised:
        error = raised
    else:
        return "sent"
    said = "".join(traceback.format_exception(error))
    assert not any(secret in said for secret in (SECRET, NUMBER, NUMBER[1:], "123456", SID))
    assert error.__cause__ is None
    assert error.__context__ is None
    return f"{type(error).__name__}: {error.reason}"


async def test_the_number_and_the_text_arrive_as_they_are(server: Elsewhere, messenger: Messenger) -> None:
    assert await outcome(messenger) == "sent"
    assert [told(seen) for seen in server.seen] == [(NUMBER, TEXT)]
    assert server.seen[0].method == "POST"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_it_was_sent_when_the_other_side_says_so(server: Elsewhere, messenger: Messenger, status: int) -> None:
    server.answer = reply(status)
    assert await outcome(messenger) == "sent"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_trouble_that_passes_leaves_the_message_in_the_queue(
    server: Elsewhere, messenger: Messenger, status: int
) -> None:
    server.answer = reply(status, f"{SECRET} {NUMBER}".encode())
    said = await outcome(messenger)
    assert said.startswith("Deferred: ")
    assert str(status) in said


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_what_is_refused_for_good_is_given_up(server: Elsewhere, messenger: Messenger, status: int) -> None:
    server.answer = reply(status, f"{SECRET} {NUMBER}".encode())
    said = await outcome(messenger)
    assert said.startswith("Rejected: ")
    assert str(status) in said


async def test_wrong_credentials_are_the_operators_to_mend_and_cost_no_message(
    server: Elsewhere, messenger: Messenger
) -> None:
    server.answer = reply(401)
    said = await outcome(messenger)
    assert said.startswith("Deferred: ")
    assert "look at [sms]" in said


async def test_a_redirect_does_not_take_the_credentials_elsewhere(server: Elsewhere, messenger: Messenger) -> None:
    server.answer = reply(307, headers={"location": f"{server.url}/thief"})
    assert await outcome(messenger) != "sent"
    assert server.connections == 1


async def test_no_answer_or_a_broken_one_leaves_the_message_in_the_queue(
    server: Elsewhere, messenger: Messenger
) -> None:
    for broken in (raw(b""), raw(b"nonsense\r\n\r\n"), raw(b"x", pause_seconds=5), reply(200, b"x" * 300_000)):
        server.answer = broken
        assert (await outcome(messenger)).startswith("Deferred: ")


async def test_where_the_guard_says_no_the_message_stays_in_the_queue(server: Elsewhere, messenger: Messenger) -> None:
    inside = replace(messenger, outbound=GuardedHttp(resolve=lambda _host, _port: ["127.0.0.1"]))
    assert (await outcome(inside)).startswith("Deferred: ")
    assert not server.connections


async def test_no_secret_and_no_number_gets_into_the_log(server: Elsewhere, messenger: Messenger) -> None:
    written = io.StringIO()
    with restored_logging():
        log.configure(form="json", level="debug", stream=written)
        for answer in (reply(201, SECRET.encode(), {"x-echo": SECRET}), reply(500, NUMBER.encode()), raw(b"")):
            server.answer = answer
            await outcome(messenger)
    assert not any(secret in written.getvalue() for secret in (SECRET, NUMBER, "123456"))
    assert SECRET not in repr(messenger)


async def test_twenty_at_once_are_twenty_messages(server: Elsewhere, messenger: Messenger) -> None:
    patient = replace(messenger, outbound=server.outbound())
    await asyncio.gather(*(patient.send(f"m{n}", NUMBER, str(n)) for n in range(20)))
    assert sorted(int(told(seen)[1]) for seen in server.seen) == list(range(20))


# Twilio --------------------------------------------------------------------------------------------------------------

# github.com/twilio/twilio-oai at d50069b44ea8, spec/json/twilio_api_v2010.json, operation CreateMessage:
# POST /2010-04-01/Accounts/{AccountSid}/Messages.json at https://api.twilio.com, basic authentication, a form, 201.
DESCRIBED = {
    "To": re.compile(r"\+[1-9]\d{1,14}"),  # required; format phone-number (E.164)
    "From": re.compile(r"\+[1-9]\d{1,14}|[A-Za-z0-9 ]{1,11}|\d{3,8}"),  # format phone-number, or a sender's name
    "MessagingServiceSid": re.compile(r"MG[0-9a-fA-F]{32}"),  # its pattern; instead of From
    "Body": re.compile(r"(?s).{1,1600}"),  # "up to 1,600 characters"
    "ValidityPeriod": re.compile(r"[1-9]\d{0,3}|[12]\d{4}|3[0-5]\d{3}|36000"),  # "integers from 1 to 36000"
}
ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")


@pytest.mark.parametrize("sender", ["+15005550006", "Doorward", "12345", "MG" + "0f" * 16])
async def test_twilio_is_asked_as_its_description_says(server: Elsewhere, sender: str) -> None:
    await TwilioMessenger(server.outbound(), SID, SECRET, sender, server.url).send("m1", NUMBER, TEXT)
    (seen,) = server.seen
    found = re.fullmatch(r"/2010-04-01/Accounts/([^/]+)/Messages\.json", seen.target)
    assert found
    assert ACCOUNT_SID.fullmatch(found[1])
    scheme, _, credentials = seen.headers["authorization"].partition(" ")
    assert (scheme, b64decode(credentials).decode()) == ("Basic", f"{SID}:{SECRET}")
    assert seen.headers["content-type"] == FORM
    form = dict(parse_qsl(seen.body.decode(), strict_parsing=True))
    assert all(DESCRIBED[name].fullmatch(value) for name, value in form.items())
    assert {"To", "Body"} <= form.keys()
    assert ("From" in form) != ("MessagingServiceSid" in form)


def test_twilio_lives_where_its_description_says() -> None:
    assert API == "https://api.twilio.com"


@pytest.mark.parametrize("code", [21211, 21408, 21610, 21612, 21614])
async def test_what_twilio_has_against_a_number_is_told_by_its_code_alone(server: Elsewhere, code: int) -> None:
    answer = {"code": code, "message": f"The number {NUMBER} is no good", "more_info": "https://...", "status": 400}
    server.answer = reply(400, json.dumps(answer).encode())
    assert await outcome(made("twilio", server)) == f"Rejected: Twilio answered 400 (error {code})"


async def test_twilios_code_for_bad_credentials_costs_no_message_whatever_the_status(server: Elsewhere) -> None:
    server.answer = reply(403, b'{"code": 20003}')
    assert (await outcome(made("twilio", server))).startswith("Deferred: ")


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b'{"code": "21211"}', b'{"code": true}', b"\xff", b"[" * 50_000])
async def test_an_error_of_twilio_that_cannot_be_read_is_still_one(server: Elsewhere, body: bytes) -> None:
    server.answer = reply(400, body)
    assert await outcome(made("twilio", server)) == "Rejected: Twilio answered 400"


# The gateway ---------------------------------------------------------------------------------------------------------


async def test_a_gateway_gets_its_headers_and_one_id_for_every_try(server: Elsewhere) -> None:
    messenger = made("gateway of json", server)
    for _ in range(2):
        await messenger.send("m7", NUMBER, TEXT)
    assert {seen.headers["idempotency-key"] for seen in server.seen} == {"m7"}
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {SECRET}"}
    assert {seen.target for seen in server.seen} == {f"/send?key={SECRET}"}


async def test_what_stands_in_a_text_cannot_add_to_the_body(server: Elsewhere) -> None:
    for text in ('", "to": "+15005550001', "&to=%2B15005550001", "{to}{text}", "\\", "\u2028\x00"):
        for kind in ("gateway of json", "gateway of forms"):
            await made(kind, server).send("m1", NUMBER, text)
            assert told(server.seen[-1]) == (NUMBER, text)
