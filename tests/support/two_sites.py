"""Doorward and an app on two https names that share nothing, with certificates of a private CA, in one Chromium.

Names of localhost would prove nothing: all its ports are one site. No name is looked up anywhere: the browser is told
where they are, and so is this process.
"""

import base64
import hashlib
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.certificates import ec_key
from tests.support.chromium import QUIET
from tests.support.ports import free_port
from tests.support.serving import ROOT, operate, running

ID, APP, OTHER = "id.doorward-a.test", "app.doorward-b.test", "elsewhere.doorward-c.test"
FAR = "api.doorward-d.test"
ISSUER, ORIGIN, ELSEWHERE = f"https://{ID}", f"https://{APP}", f"https://{OTHER}"
RESOURCE, FAR_RESOURCE = f"{ORIGIN}/api", f"https://{FAR}"
DOCUMENT = ROOT / "docs/javascript.md"
PASSWORD = "seven quiet herons at noon"


@dataclass(frozen=True)
class Authority:
    """A private CA. A browser trusts it by `fingerprint`, a Python process by `root`."""

    root: Path
    chain: Path
    key: Path
    fingerprint: str


def authority(folder: Path) -> Authority:
    """A new CA, and one certificate of it for every name that tests use."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("A CA of tests", ID)]
    root_key, key = ec_key(), ec_key()
    root = _signed(names[0], root_key, names[0], root_key, x509.BasicConstraints(ca=True, path_length=0))
    hosts = x509.SubjectAlternativeName([x509.DNSName(name) for name in (ID, APP, OTHER, FAR)])
    leaf = _signed(names[1], key, names[0], root_key, hosts)
    pem = [one.public_bytes(serialization.Encoding.PEM) for one in (leaf, root)]
    made = Authority(folder / "root.pem", folder / "chain.pem", folder / "key.pem", _fingerprint(root_key))
    made.root.write_bytes(pem[1])
    made.chain.write_bytes(b"".join(pem))
    made.key.touch(0o600)
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(by, hashes.SHA256())
    )


def _fingerprint(key: ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


@contextmanager
def found_here(ports: Mapping[str, int]) -> Iterator[None]:
    """Let this process find each name at its port on the loopback."""
    outside: Callable[..., Any] = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host in ports:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", ports[host]))]
        return outside(host, port, *rest, **more)

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = outside


CHROMIUM = "/usr/bin/chromium"


@contextmanager
def browser_of_two_sites(authority: Authority, ports: Mapping[str, int]) -> Iterator[Browser]:
    """A Chromium that finds the names and trusts the CA. As it comes, it refuses cookies of third parties."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=finding(authority, ports))
        yield browser
        browser.close()


@contextmanager
def lenient(browser: Browser, folder: Path, authority: Authority, ports: Mapping[str, int]) -> Iterator[BrowserContext]:
    """A profile that lets cookies of third parties through, as they used to be."""
    (folder / "Default").mkdir()
    settings = {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}
    (folder / "Default/Preferences").write_text(json.dumps(settings))
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=CHROMIUM, args=finding(authority, ports)
    )
    yield context
    context.close()


def finding(authority: Authority, ports: Mapping[str, int]) -> list[str]:
    """What tells a Chromium where the names are, and whom to trust."""
    rules = ",".join(f"MAP {name}:443 127.0.0.1:{port}" for name, port in ports.items())
    trust = f"--ignore-certificate-errors-spki-list={authority.fingerprint}"
    return [*QUIET, f"--host-resolver-rules={rules}", trust]


@dataclass
class Heard:
    """A request that arrived at an app, or elsewhere."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class TwoSites:
    """Doorward at ISSUER, an app with its API at ORIGIN, another API elsewhere, and a server of somebody else."""

    authority: Authority
    ports: Mapping[str, int]
    data: Path
    config: Path
    client_id: str = ""
    heard: list[Heard] = field(default_factory=list)

    def operate(self, *arguments: str, typed: str | None = None) -> str:
        """What the operator does at the command line."""
        return operate(*arguments, "--data", str(self.data), "--config", str(self.config), typed=typed)

    def json(self, *arguments: str, typed: str | None = None) -> Any:
        """The same, for programs."""
        return json.loads(self.operate(*arguments, "--json", typed=typed))

    def example(self, language: str) -> str:
        """The first piece of the document in a language, with the names of this test for its own."""
        text: str = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[0]
        for shown, here in (
            ("https://id.example.org", ISSUER),
            ("https://app.example.org", ORIGIN),
            ("notes-1a2b3c4d", self.client_id),
            ("sha384-…", self.json("client", "script")["integrity"]),
        ):
            text = text.replace(shown, here)
        assert "example.org" not in text
        return text


@contextmanager
def two_sites(folder: Path, build: Callable[[TwoSites], WSGIApplication], config: str = "") -> Iterator[TwoSites]:
    """Start both. `build`: the app, which serves every name that is not Doorward's."""
    made = authority(folder)
    ports = {ID: free_port(), APP: 0, OTHER: 0, FAR: 0}
    data, file = folder / "data", folder / "doorward.toml"
    file.write_text(f'[server]\npublic_url = "{ISSUER}"\n[signup]\nidentifier = "uid"\n{config}')
    options = ("--port", str(ports[ID]), "--tls-cert", str(made.chain), "--tls-key", str(made.key))
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(made.root)  # the app's Python side asks Doorward for its keys
    try:
        with running("doorward.cli", "serve", "--data", str(data), "--config", str(file), *options):
            sites = TwoSites(made, ports, data, file)
            sites.client_id = sites.json(
                "client", "add", "Notes", "--type", "spa", "--dpop", "--redirect-uri", f"{ORIGIN}/",
                "--redirect-uri", f"{ORIGIN}/far",
                "--resource", RESOURCE, "--resource", FAR_RESOURCE,
            )["client_id"]  # fmt: skip
            with _https(build(sites), made) as port:
                ports.update({APP: port, OTHER: port, FAR: port})
                with found_here(ports):
                    yield sites
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  as werkzeug names it
        """Say nothing."""


@contextmanager
def _https(app: WSGIApplication, authority: Authority) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.chain, authority.key)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
