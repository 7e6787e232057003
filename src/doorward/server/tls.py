"""TLS 1.2 and 1.3 with authenticated encryption only, and a certificate that is read again when its file changes."""

import os
import ssl
import stat
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from doorward.kernel.startup import StartRefused

# TLS 1.2: forward secrecy and AEAD (RFC 9325 §4.2). Those of TLS 1.3 are all so and are not chosen here.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
HANDSHAKE_SECONDS: Final = 10
LOOK_SECONDS: Final = 1

_Signature: TypeAlias = tuple[tuple[int, int, int] | None, ...]
_log = structlog.get_logger("doorward.server")


class TlsRefused(StartRefused):
    """The certificate or its key cannot be used; the message says why."""


class Certificate:
    """The certificate in force. `context` stays the same for the life of a listener; what it shows does not."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Read both files. Raises TlsRefused."""
        self._files = (cert, key)
        self._current = open_context(cert, key)
        self._tried = self._last = self._signature()
        self.context = open_context(cert, key)
        # A new SSLContext for each new certificate: loading into the live one keeps the old beside it whenever the
        # kind of key changes (RSA to ECDSA), and is left half done when the key does not fit.
        self.context.sni_callback = self._show_current

    def look(self) -> None:
        """Take a changed certificate over once it has settled for one look; a broken one is told and left alone."""
        now = self._signature()
        settled = now == self._last
        self._last = now
        if not settled or now == self._tried:
            return
        self._tried = now
        try:
            self._current = open_context(*self._files)
        except TlsRefused as refused:
            _log.warning("certificate_not_replaced", reason=str(refused))
        else:
            _log.info("certificate_replaced", file=str(self._files[0]))

    def _show_current(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _signature(self) -> _Signature:
        return tuple(_identity(file) for file in self._files)


def open_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A server's context with this certificate. Raises TlsRefused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _refuse_exposed(key)
    try:
        context.load_cert_chain(cert, key, password=_refuse_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsRefused(_explain(cert, key, error)) from error
    return context


def _refuse_password() -> str:
    # Without this, OpenSSL would ask on the terminal and a server would wait for ever.
    raise ValueError("the key is encrypted")


def _explain(cert: Path, key: Path, error: Exception) -> str:
    match error:
        case ssl.SSLError(reason="KEY_VALUES_MISMATCH"):
            return f"The key {key} does not belong to the certificate {cert}."
        case ssl.SSLError():
            return f"The certificate {cert} and its key {key} cannot be read: they must be PEM."
        case OSError():
            return f"The certificate {cert} cannot be read: {error.strerror}."
        case _:
            return f"The key {key} cannot be used: {error}."


def _refuse_exposed(key: Path) -> None:
    try:
        status = key.stat()
    except OSError as error:
        raise TlsRefused(f"The key {key} cannot be read: {error.strerror}.") from error
    # A group may read it: Debian keeps keys as root:ssl-cert 0640.
    if status.st_mode & 0o027 or status.st_uid not in {os.geteuid(), 0}:
        mode = stat.S_IMODE(status.st_mode)
        raise TlsRefused(
            f"The key {key} is open to others (mode {mode:04o}, owner {status.st_uid}). Run: chmod 600 {key}"
        )


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
