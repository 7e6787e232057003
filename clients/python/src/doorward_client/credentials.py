"""How an app shows the issuer who it is: by a secret (RFC 6749 §2.3.1), or by a signature (RFC 7523 §2.2)."""

import base64
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from joserfc.errors import InvalidKeyTypeError, JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doorward_client.clock import Clock
from doorward_client.errors import Unavailable
from doorward_client.flows import Call
from doorward_client.jws import encode, sign
from doorward_client.provider import VerificationKey
from doorward_client.settings import Settings
from doorward_client.strict_json import read_object

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. Its `kid` is sent where the file names one, so that the issuer finds the public half."""

    alg: str
    kid: str | None
    jwk: ECKey | OKPKey | RSAKey

    @classmethod
    def load(cls, path: Path | str) -> "SigningKey":
        """Read a file with a JWK, or PEM without a passphrase. Raises ValueError, naming the setting."""
        try:
            return cls._read(Path(path).read_bytes())
        except (OSError, ValueError, TypeError, JoseError) as error:
            raise ValueError(f"private_key: {path} holds no key that can be used ({error})") from error

    @classmethod
    def _read(cls, content: bytes) -> "SigningKey":
        document = read_object(content) if content.lstrip().startswith(b"{") else _from_pem(content)
        if "d" not in document:
            raise ValueError("only the public half")
        public = {name: document[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in document}
        known = VerificationKey.read(public, "")  # refuses what is too weak, and knows the algorithm
        return cls(known.alg, document.get("kid"), type(known.jwk).import_key(dict(document)))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT with these claims."""
        header = {"alg": self.alg, "typ": "JWT", **({} if self.kid is None else {"kid": self.kid})}
        start = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
        return f"{start}.{encode(sign(self.alg, start.encode(), self.jwk))}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an app has to show. Without any it can verify tokens, and that is all."""

    settings: Settings
    clock: Clock
    key: SigningKey | None

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> "Credentials":
        """Those that the settings name. Raises ValueError for a key that cannot be used."""
        return cls(settings, clock, None if settings.private_key is None else SigningKey.load(settings.private_key))

    @property
    def secret(self) -> str:
        """What nobody but the app knows, to derive keys from; empty when there is nothing."""
        if self.key is not None:
            return str(self.key.jwk.as_dict(private=True)["d"])
        return self.settings.client_secret or ""

    def post(self, url: str, form: Mapping[str, str]) -> Call:
        """A form that says who sends it. Raises Unavailable when there is nothing to show."""
        if self.key is None:
            return Call("POST", url, form, basic(self.settings))
        assertion = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(self.key)}
        return Call("POST", url, {**form, **assertion})

    def _assertion(self, key: SigningKey) -> str:
        now, me = int(self.clock.now()), self.settings.client_id
        claims = {"iss": me, "sub": me, "aud": self.settings.issuer, "iat": now, "exp": now + ASSERTION_SECONDS}
        return key.sign({**claims, "jti": secrets.token_urlsafe(16)})  # counts once


def basic(settings: Settings) -> Mapping[str, str]:
    """The header that shows the secret. Raises Unavailable when there is none."""
    if not settings.client_secret:
        raise Unavailable("this app has no client secret")
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _from_pem(content: bytes) -> Mapping[str, Any]:
    for kind in (ECKey, OKPKey, RSAKey):
        with suppress(InvalidKeyTypeError):
            found: Mapping[str, Any] = kind.import_key(content).as_dict(private=True)
            return found
    raise ValueError("of another kind")
