"""Doorward as tests of apps run it: who they can be, what they can read, how they move its clock, and what is left."""

import json
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from doorward.cli import main
from doorward.config import WrongSettings
from doorward.kernel.startup import StartFailed, StartRefused
from doorward.testing import Server, SoftwareAuthenticator, User, doorward_server, eventually
from doorward.testing.making import State
from tests.support.logs import restored_logging

NUMBER = "+4915123456789"


@pytest.fixture
def doorward() -> Iterator[Server]:
    with doorward_server('roles = ["editor"]') as server:
        yield server


def own(doorward: Server, user: User) -> dict[str, object]:
    told: dict[str, object] = doorward.sign_in(user).program(f"{doorward.issuer}/api/users/me").json()
    return told


# Who somebody can be -------------------------------------------------------------------------------------------------


def test_somebody_has_a_name_a_handle_and_an_address_that_is_proven(doorward: Server) -> None:
    ada, other = doorward.user("Ada Lovelace"), doorward.user("Ada Lovelace")
    told = own(doorward, ada)
    assert (ada.uid, other.uid) == ("adalovelace", "adalovelace2")
    assert (told["id"], told["name"], told["uid"]) == (ada.sub, "Ada Lovelace", ada.uid)
    assert (told["email"], told["email_verified"]) == ("adalovelace@example.org", True)


def test_an_address_can_be_missing_or_unproven(doorward: Server) -> None:
    unproven, without = doorward.user("Ada", email_verified=False), doorward.user("Bob", email=None)
    assert (own(doorward, unproven)["email"], own(doorward, unproven)["email_verified"]) == ("ada@example.org", False)
    assert own(doorward, without)["email"] is None


def test_roles_are_what_they_are_said_to_be(doorward: Server) -> None:
    assert own(doorward, doorward.user("Ada", roles=["editor"], admin=True))["roles"] == ["admin", "editor"]
    bob = doorward.user("Bob")
    doorward.set_roles(bob, "editor")
    assert own(doorward, bob)["roles"] == ["editor"]


@pytest.mark.parametrize(
    "state",
    [
        {"password": None, "passkey": True},
        {"passkey": True},
        {"second_step": True},
        {"passkey": True, "second_step": True},
        {"password": "seven quiet herons at noon", "phone": NUMBER, "recovery_codes": True},
    ],
    ids=str,
)
def test_whoever_has_factors_signs_in_with_them_again_and_again(doorward: Server, state: State) -> None:
    ada = doorward.user("Ada", **state)
    for _ in range(2):
        assert doorward.sign_in(ada).path == "/account"


def test_a_recovery_code_is_one_that_works(doorward: Server) -> None:
    ada, browser = doorward.user("Ada", second_step=True, recovery_codes=True), doorward.browser()
    browser.open(f"{doorward.issuer}/sign-in")
    browser.submit({"identifier": ada.uid, "password": ada.password or ""}, "/sign-in")
    browser.open(f"{doorward.issuer}/sign-in/step?with=recovery_code")
    browser.submit({"code": "0000-0000-0000-0000"}, "/sign-in/step")
    assert browser.path == "/sign-in/step"
    browser.submit({"code": ada.recovery_codes[0]}, "/sign-in/step")
    assert browser.path == "/sign-in/set-up", "it stood in for the app, which is to be set up anew"


@pytest.mark.parametrize("state", [{"disabled": True}, {"must_reset": True}, {"leaving": True}], ids=str)
def test_whoever_may_not_in_gets_no_session(doorward: Server, state: State) -> None:
    ada = doorward.user("Ada", **state)
    with pytest.raises(AssertionError, match="Ada is not signed in"):
        doorward.sign_in(ada)


def test_whoever_must_choose_another_password_is_mailed_a_link(doorward: Server) -> None:
    ada, browser = doorward.user("Ada", must_reset=True), doorward.browser()
    browser.sign_in(ada)
    browser.open(doorward.mail.last("ada@example.org").link)
    browser.submit({"password": "nine loud herons at midnight"})
    ada.password = "nine loud herons at midnight"
    assert doorward.sign_in(ada).path == "/account"


def test_whoever_is_leaving_is_asked_whether_to_come_back(doorward: Server) -> None:
    ada, browser = doorward.user("Ada", leaving=True), doorward.browser()
    browser.sign_in(ada)
    assert browser.path == "/sign-in/keep"
    browser.submit({})
    assert own(doorward, ada)["uid"] == "ada"


def test_whoever_was_signed_in_is_out_when_they_are_disabled_deleted_or_signed_out(doorward: Server) -> None:
    for end in (doorward.disable, doorward.delete, doorward.end_sessions):
        somebody = doorward.user("Somebody")
        browser = doorward.sign_in(somebody)
        end(somebody)
        assert browser.program(f"{doorward.issuer}/api/sessions/current").status_code == 401


def test_whoever_was_disabled_can_be_let_in_again(doorward: Server) -> None:
    ada = doorward.user("Ada", disabled=True)
    doorward.enable(ada)
    assert doorward.sign_in(ada).path == "/account"


# What is sent --------------------------------------------------------------------------------------------------------


def test_what_a_test_arranges_sends_nothing(doorward: Server) -> None:
    doorward.user("Ada", passkey=True, second_step=True, recovery_codes=True, phone=NUMBER, admin=True)
    doorward.user("Bob", must_reset=True)
    assert [*doorward.mail.all(), *doorward.sms.all()] == []


def test_a_mail_is_there_when_the_answer_is_in_the_words_that_are_read(doorward: Server) -> None:
    browser = doorward.browser()
    browser.open(f"{doorward.issuer}/sign-up")
    fields = {"uid": "ada", "name": "Ada", "email": "ada@example.org", "password": "seven quiet herons at noon"}
    browser.submit(fields, "/sign-up")
    (letter,) = doorward.mail.all()
    assert (letter.to, letter.template) == ("ada@example.org", "confirm_sign_up")
    assert letter.code is not None
    assert letter.code in letter.subject
    assert letter.link in (letter.html or "")
    assert urlsplit(letter.link).netloc == urlsplit(doorward.issuer).netloc
    assert doorward.mail.all("bob@example.org") == []
    with pytest.raises(AssertionError, match=r"nothing was sent to bob@example\.org"):
        doorward.mail.last("bob@example.org")
    browser.submit({"code": letter.code}, "/verify")
    assert browser.program(f"{doorward.issuer}/api/users/me").json()["uid"] == "ada"


def test_a_text_message_brings_a_code(doorward: Server) -> None:
    ada = doorward.user("Ada")
    browser = doorward.sign_in(ada)
    browser.open(f"{doorward.issuer}/account/phone")
    browser.submit({"phone": NUMBER}, "/account/phone")
    letter = doorward.sms.last(NUMBER)
    assert letter.code is not None
    assert letter.code in letter.text
    assert letter.html is None
    assert NUMBER not in {mail.to for mail in doorward.mail.all()}
    browser.submit({"code": letter.code}, "/account/phone/code")
    kept = doorward.call(lambda services: services.users.contact(ada.id, "phone"))
    assert kept is not None
    assert kept[0] == NUMBER
    assert kept[1] is not None, "it is proven"


# The clock -----------------------------------------------------------------------------------------------------------


def test_time_goes_on_and_jumps_forward_only(doorward: Server) -> None:
    clock, app = doorward.clock, doorward.clock.for_apps()
    before, seconds, steady = clock.now(), app.now(), app.monotonic()
    eventually(lambda: clock.now() > before)
    clock.advance(30, minutes=1, hours=1, days=1)
    jumped = 30 + 60 + 3600 + 86400
    assert clock.now() - before >= jumped * 1_000_000
    assert app.now() - seconds >= jumped
    assert jumped <= app.monotonic() - steady < jumped + 60
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(10, minutes=-1)


@pytest.mark.asvs("7.3.2")
def test_a_session_of_the_server_ends_when_its_time_is_over(doorward: Server) -> None:
    browser = doorward.sign_in(doorward.user("Ada"))
    doorward.clock.advance(days=29)
    assert browser.program(f"{doorward.issuer}/api/sessions/current").status_code == 200
    doorward.clock.advance(days=2)
    assert browser.program(f"{doorward.issuer}/api/sessions/current").status_code == 401


def test_the_code_of_an_app_is_never_the_same_twice(doorward: Server) -> None:
    app = doorward.user("Ada", second_step=True).app
    assert app is not None
    before = doorward.clock.now()
    codes = [app.code() for _ in range(5)]
    assert len(set(codes)) == 5
    assert doorward.clock.now() - before >= 4 * 30 * 1_000_000 - 30 * 1_000_000


# Passkeys ------------------------------------------------------------------------------------------------------------


def test_a_newcomer_makes_a_passkey_instead_of_a_password() -> None:
    with doorward_server('[signup]\nidentifier = "uid"\n') as doorward:
        device, browser = SoftwareAuthenticator(), doorward.browser()
        browser.open(f"{doorward.issuer}/sign-up/passkey")
        browser.submit({"uid": "ada", "name": "Ada"})
        browser.use_passkey(device)
        again = doorward.browser()
        again.open(f"{doorward.issuer}/sign-in")
        again.use_passkey(device)
        assert again.program(f"{doorward.issuer}/api/users/me").json()["uid"] == "ada"


def test_a_page_without_passkeys_offers_none(doorward: Server) -> None:
    browser = doorward.browser()
    browser.open(f"{doorward.issuer}/recovery")
    with pytest.raises(AssertionError, match="0 places for passkeys"):
        browser.use_passkey(SoftwareAuthenticator())


# Apps ----------------------------------------------------------------------------------------------------------------


def test_a_public_client_gets_tokens_too(doorward: Server) -> None:
    app = doorward.add_app(name="Page", kind="spa", scopes=["coins"])
    assert app.client_secret is None
    granted = doorward.tokens(doorward.user("Ada"), app, "openid coins")
    assert set(granted["scope"].split()) == {"openid", "coins"}
    answer = httpx.get(
        f"{doorward.issuer}/oauth/userinfo", headers={"authorization": f"Bearer {granted['access_token']}"}
    )
    assert answer.status_code == 200


def test_a_program_has_credentials_of_its_own(doorward: Server) -> None:
    app = doorward.add_app(name="Report", kind="service", scopes=["reports"])
    answer = httpx.post(
        f"{doorward.issuer}/oauth/token",
        data={"grant_type": "client_credentials", "scope": "reports"},
        auth=(app.client_id, app.client_secret or ""),
    )
    assert answer.json()["scope"] == "reports"


def test_an_app_that_does_not_start_says_so(doorward: Server) -> None:
    async def broken(_scope: object, _receive: object, send: Callable[[object], Awaitable[None]]) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartFailed, match="The app did not start"):
        doorward.serve(lambda _: broken)


def test_the_command_line_works_on_it_while_it_runs(doorward: Server) -> None:
    ada = doorward.user("Ada")
    with restored_logging():
        shown = CliRunner().invoke(main, ["user", "show", "ada", "--json", "--data", str(doorward.data)])
    assert json.loads(shown.stdout)["id"] == ada.id


# Beginning and end ---------------------------------------------------------------------------------------------------


def test_two_at_once_know_nothing_of_each_other(doorward: Server) -> None:
    ada = doorward.user("Ada")
    with doorward_server() as other:
        assert other.issuer != doorward.issuer
        with pytest.raises(AssertionError, match="Ada is not signed in"):
            other.sign_in(ada)
    assert doorward.sign_in(ada).path == "/account"


def test_nothing_is_left_of_it() -> None:
    threads, handler = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)
    with doorward_server() as doorward:
        folder, port = doorward.data, urlsplit(doorward.issuer).port
        assert (folder / "doorward.db").exists()
        assert signal.getsignal(signal.SIGTERM) is handler
    assert not folder.parent.exists()
    assert set(threading.enumerate()) <= threads
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_a_mistake_in_the_configuration_is_told() -> None:
    with pytest.raises(WrongSettings, match="did you mean"), doorward_server("[signup]\nidentifer = 1\n"):
        pass


def test_what_stops_it_from_starting_is_told(tmp_path: Path) -> None:
    (tmp_path / "recovery.txt").write_text("{{ nothing_of_the_kind }}")
    config = f'[mail]\ntemplates = "{tmp_path}"\n'
    with pytest.raises(StartRefused, match="recovery"), doorward_server(config):
        pass


def test_what_never_comes_is_not_waited_for_in_vain() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.1 s"):
        eventually(lambda: False, seconds=0.1)
