"""The real server in a process of its own: TLS, bounds, workers, how it starts and how it stops."""

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.certificates import Key, ec_key, rsa_key, write_certificate
from tests.support.serving import Running, refused, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

EVERYWHERE = "0.0.0.0"  # noqa: S104  what is to be refused
TINY = "tests.support.tiny"
WAIT_SECONDS = 20
CLOSED = "EOF|HANDSHAKE_FAILURE|PROTOCOL_VERSION"  # uvloop closes without sending the alert


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests that leave it as it is."""
    with running(TINY, "--data", str(tmp_path_factory.mktemp("data")), "--port", "0") as server:
        yield server


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same over TLS."""
    folder = tmp_path_factory.mktemp("secure")
    cert, key = write_certificate(folder, rsa_key(), 1)
    with running(TINY, "--data", str(folder), "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        yield server


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), WAIT_SECONDS)


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake(server: Running, context: ssl.SSLContext, name: str | None = "localhost") -> tuple[str, str, int]:
    """Version, cipher suite and serial number of the certificate."""
    with connect(server) as raw, context.wrap_socket(raw, server_hostname=name) as secured:
        version, cipher = secured.version(), secured.cipher()
        der = secured.getpeercert(binary_form=True)
        assert version is not None
        assert cipher is not None
        assert der is not None
        return version, cipher[0], x509.load_der_x509_certificate(der).serial_number


def read_all(connection: socket.socket) -> bytes:
    found = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return found
        if not more:
            return found
        found += more


def receive(connection: socket.socket) -> bytes:
    """What has come by now."""
    try:
        return connection.recv(65536)
    except TimeoutError:
        return b""


def ask(server: Running, path: str) -> bytes:
    """The body that comes back."""
    with connect(server) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return read_all(connection).partition(b"\r\n\r\n")[2]


def say(server: Running, *parts: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with connect(server) as connection:
        for part in parts:
            connection.sendall(part)
        return read_all(connection)


# TLS -----------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("12.1.1")
def test_tls_1_3_is_preferred(secure: Running) -> None:
    version, cipher, _ = handshake(secure, client_context())
    assert version == "TLSv1.3"
    assert cipher.startswith("TLS_")


@pytest.mark.asvs("12.1.2")
@pytest.mark.parametrize(
    "suite", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]
)
def test_tls_1_2_is_spoken_with_authenticated_encryption(secure: Running, suite: str) -> None:
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    assert handshake(secure, context)[:2] == ("TLSv1.2", suite)


@pytest.mark.asvs("12.1.2")
@pytest.mark.parametrize(
    "suite",
    ["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"],
)
def test_suites_without_authenticated_encryption_or_forward_secrecy_are_refused(secure: Running, suite: str) -> None:
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=CLOSED):
        handshake(secure, context)


@pytest.mark.asvs("12.1.1")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_1_1_and_older_are_refused(secure: Running, version: ssl.TLSVersion) -> None:
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError, match=CLOSED):
        handshake(secure, context)


def test_plain_http_gets_nothing_from_a_secure_port(secure: Running) -> None:
    assert b"200" not in say(secure, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


def test_the_application_knows_that_the_request_came_over_tls(secure: Running) -> None:
    with connect(secure) as raw, client_context().wrap_socket(raw, server_hostname="localhost") as secured:
        secured.sendall(b"GET /scheme HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(secured).endswith(b"https 127.0.0.1")


def serial_soon(server: Running, expected: int, name: str | None = "localhost") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (serial := handshake(server, client_context(), name)[2]) != expected:
        assert time.monotonic() < deadline, f"still {serial}"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_changed_certificate_is_taken_over_and_a_broken_one_is_not(tmp_path: Path) -> None:
    keys: list[Key] = [rsa_key(), ec_key(), rsa_key()]
    cert, key = write_certificate(tmp_path, keys[0], 1)
    arguments = ("--data", str(tmp_path), "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key))
    with running(TINY, *arguments) as server:
        with connect(server) as raw, client_context().wrap_socket(raw, server_hostname="localhost") as kept:
            write_certificate(tmp_path, keys[1], 2)  # another kind of key
            serial_soon(server, 2)
            kept.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in read_all(kept)
        old_key = client_context()
        old_key.maximum_version = ssl.TLSVersion.TLSv1_2
        old_key.set_ciphers("aRSA")
        with pytest.raises(ssl.SSLError):
            handshake(server, old_key)
        cert.write_bytes(b"not a certificate")
        assert "certificate_not_replaced" in server.wait_for_log("cannot be read")
        assert handshake(server, client_context())[2] == 2
        write_certificate(tmp_path, keys[2], 3)
        serial_soon(server, 3, name=None)  # also for clients that name no server


@pytest.mark.parametrize(
    ("mode", "said"), [(0o644, "is open to others"), (0o660, "is open to others"), (0o604, "is open to others")]
)
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int, said: str) -> None:
    cert, key = write_certificate(tmp_path, ec_key(), 1)
    key.chmod(mode)
    status, words = refused(
        TINY, "--data", str(tmp_path), "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)
    )
    assert (status, said in words) == (2, True), words


@pytest.mark.slow
def test_a_missing_an_encrypted_and_a_foreign_key_are_refused(tmp_path: Path) -> None:
    for name, write, said in (
        ("missing", lambda folder: (write_certificate(folder, ec_key(), 1)[0], folder / "absent"), "No such file"),
        ("encrypted", lambda folder: write_certificate(folder, ec_key(), 1, b"password"), "the key is encrypted"),
        ("foreign", lambda folder: (write_certificate(folder, ec_key(), 1)[0], _foreign(folder)), "does not belong"),
        ("empty", lambda folder: (_empty(folder), write_certificate(folder, ec_key(), 1)[1]), "they must be PEM"),
    ):
        folder = tmp_path / name
        folder.mkdir(0o700)
        cert, key = write(folder)
        status, words = refused(
            TINY, "--data", str(folder), "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)
        )
        assert (status, said in words) == (2, True), words


def _foreign(folder: Path) -> Path:
    (folder / "other").mkdir()
    return write_certificate(folder / "other", ec_key(), 1)[1]


def _empty(folder: Path) -> Path:
    (folder / "empty.pem").touch()
    return folder / "empty.pem"


# Where it listens ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("12.2.1")
@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "example.org"])
def test_plain_http_on_an_address_that_others_reach_is_refused(tmp_path: Path, host: str) -> None:
    status, words = refused(TINY, "--data", str(tmp_path), "--port", "0", "--host", host)
    assert status == 2
    assert "DOORWARD_SERVER__HOST: server.host: passwords would cross the network in plain http" in words


def test_behind_a_trusted_proxy_plain_http_is_allowed_and_forwarding_headers_stay_the_applications_business(
    tmp_path: Path,
) -> None:
    arguments = ("--host", EVERYWHERE, "--trusted-proxies", "10.0.0.0/8")
    with running(TINY, "--data", str(tmp_path), "--port", "0", *arguments) as server:
        assert "behind a proxy" in server.greeting
        assert server.process.stdout is not None
        assert "[server] public_url" in server.process.stdout.readline()
        answer = say(
            server,
            b"GET /scheme HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n"
            b"Connection: close\r\n\r\n",
        )
        assert answer.endswith(b"http 127.0.0.1")


def test_localhost_listens_on_both_loopback_addresses_with_one_port(tmp_path: Path) -> None:
    with running(TINY, "--data", str(tmp_path), "--port", "0", "--host", "localhost") as server:
        families = {info[0] for info in socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)}
        for family in families:
            address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
            with socket.create_connection((address, server.port), WAIT_SECONDS):
                pass


def test_a_port_in_use_is_told_and_ends_with_status_1(plain: Running, tmp_path: Path) -> None:
    status, words = refused(TINY, "--data", str(tmp_path), "--port", str(plain.port))
    assert status == 1
    assert (
        words
        == f"Port {plain.port} on 127.0.0.1 is already in use. Stop what uses it, or choose another with --port.\n"
    )


# Starting and stopping -----------------------------------------------------------------------------------------------


def test_the_greeting_names_the_real_port_and_leaves_the_link_in_a_private_file(tmp_path: Path) -> None:
    with running(TINY, "--data", str(tmp_path), "--port", "0") as server:
        lines = server.greeting.splitlines()
        assert lines[0].startswith("Doorward 0.1.0  ready in ")
        assert lines[0].endswith(f"data {tmp_path}   localhost only")
        assert lines[1] == f"  Sign-up / sign-in   http://localhost:{server.port}/"
        assert lines[2].startswith(f"  Create first admin  in the file {tmp_path}/setup-link   (1 hour, one use")
        assert lines[3] == f"  API reference       http://localhost:{server.port}/api/docs"
        link = tmp_path / "setup-link"
        assert link.read_text("ascii") == f"http://localhost:{server.port}/setup/token\n"
        assert stat.S_IMODE(link.stat().st_mode) == 0o600


def test_with_an_administrator_no_link_is_made_and_an_old_one_goes(tmp_path: Path) -> None:
    (tmp_path / "has-admin").touch()
    (tmp_path / "setup-link").touch()
    with running(TINY, "--data", str(tmp_path), "--port", "0") as server:
        assert "Create first admin" not in server.greeting
        assert not (tmp_path / "setup-link").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_greeting_names_the_development_mailbox_where_there_is_one(tmp_path: Path, workers: str) -> None:
    (tmp_path / "has-mailbox").touch()
    with running(TINY, "--data", str(tmp_path), "--port", "0", "--workers", workers) as server:
        lines = server.greeting.splitlines()
        assert lines[3] == f"  Mail & SMS inbox    http://localhost:{server.port}/dev/mail?key=k"


def test_the_link_is_printed_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", TINY, "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"API reference" not in shown:
            shown += os.read(ours, 4096)
        process.terminate()
    os.close(ours)
    assert b"/setup/token   (1 hour, one use; again: doorward admin link)" in shown
    assert not (tmp_path / "setup-link").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_lets_answers_under_way_finish_and_ends_with_status_0(
    tmp_path: Path, how: signal.Signals, workers: int
) -> None:
    with running(TINY, "--data", str(tmp_path), "--port", "0", "--workers", str(workers)) as server:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, server, "/slow")
            wait_until((tmp_path / "slow").exists)
            assert server.stop(how) == 0
            assert answer.result() == b"slow"
        assert len(list(tmp_path.glob("stopped-*"))) == workers


@pytest.mark.slow
def test_an_application_that_cannot_start_ends_with_status_1_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    for workers in ("1", "2"):
        status, words = refused(TINY, "--data", str(tmp_path), "--port", "0", "--workers", workers)
        assert status == 1
        assert "The database does not answer" in words


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with running(TINY, "--data", str(tmp_path), "--port", "0", "--workers", "2") as server:
        before = {ask(server, "/pid") for _ in range(20)}
        for _ in range(2):
            ask(server, "/die")
        server.wait_for_log("worker_replaced")
        deadline = time.monotonic() + WAIT_SECONDS
        while {ask(server, "/pid")} <= before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.stop() == 0


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with running(TINY, "--data", str(tmp_path), "--port", "0", "--workers", "2") as server:
        port = server.port
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        deadline = time.monotonic() + WAIT_SECONDS
        while len(list(tmp_path.glob("stopped-*"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)


# What strangers send -------------------------------------------------------------------------------------------------

SECURITY_HEADERS = (b"content-security-policy:", b"strict-transport-security:", b"x-content-type-options: nosniff")


def assert_refused(answer: bytes, status: bytes) -> None:
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert all(header in answer for header in SECURITY_HEADERS)
    assert b"connection: close" in answer
    assert b"application/problem+json" in answer
    assert b"server:" not in answer


@pytest.mark.asvs("3.4.1")
@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_with_every_security_header(plain: Running, sent: bytes) -> None:
    assert_refused(say(plain, sent), b"400")


@pytest.mark.asvs("4.2.5")
@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"a" * 17_000,
        b"\r\n".join(b"X-%d: a" % number for number in range(101)),
        b"Cookie: " + b"a" * 200_000,
        b"\r\n".join(b"X-%d: %s" % (number, b"a" * 400) for number in range(50)),
    ],
)
def test_a_head_that_is_too_large_is_refused(plain: Running, head: bytes) -> None:
    assert_refused(say(plain, b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"), b"431")


def test_a_head_that_never_ends_is_refused_while_it_arrives(plain: Running) -> None:
    with connect(plain) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        sent = 0
        connection.settimeout(0.01)
        while not (answer := receive(connection)):
            sent += connection.send(b"a" * 1000)
            connection.settimeout(0.01 if sent < 18_000 else WAIT_SECONDS)
        assert_refused(answer, b"431")
        assert sent < 32_000


def test_a_long_but_allowed_head_and_a_body_behind_it_are_read(plain: Running) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nX: "
        + b"a" * 15_000
        + b"\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n"
    )
    assert say(plain, head, b"b" * 100_000).endswith(b"\r\n\r\n100000")


def test_requests_sent_in_one_go_are_each_answered(plain: Running) -> None:
    one = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n" + b"c" * 9000
    last = b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = say(plain, one * 3 + last[:20], last[20:])
    assert answer.count(b"HTTP/1.1 200 OK") == 4


def test_an_offer_to_upgrade_is_ignored(plain: Running) -> None:
    for protocol in (b"websocket", b"h2c"):
        sent = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n"
        with connect(plain) as connection:
            connection.sendall(sent)
            assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_no_answer_names_the_server_software(plain: Running) -> None:
    with connect(plain) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"server:" not in read_all(connection).lower()
